"""metrics.jsonl is the truth; TensorBoard is drawn from it."""

import json
import math
import os
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from genlab.training.checkpoint import write_atomically

Line = dict[str, Any]


class Journal:
    """What a run has measured and shown, cut back to `step` when it goes on from there."""

    def __init__(self, folder: Path, step: int, texts: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        self.path, self.images = folder / "metrics.jsonl", folder / "images"
        self.images.mkdir(parents=True, exist_ok=True)
        lines = [line for line in read(folder) if line["step"] <= step and line["split"] != "test"]
        write_atomically(self.path, "".join(map(_encode, lines)).encode())
        for _, path in list(self._pictures(after=step)):
            path.unlink()
        self._recent: dict[str, deque[Line]] = {}
        self.board = Board(folder / "tensorboard", texts, settings)
        for line in lines:
            self._remember(line)
            self.board.scalars(line)
        self._draw_pictures()

    def write(self, line: Line) -> None:
        """One line more, in the file at once."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_encode(line))
        self._remember(line)
        self.board.scalars(line)

    @property
    def recent(self) -> list[Line]:
        """The newest lines of one split after the other: however many there are of one, the others' stay."""
        return [line for lines in self._recent.values() for line in lines]

    def picture(self, name: str, step: int, grid: Tensor) -> Path:
        """A grid as a PNG in images/ and in TensorBoard."""
        path = self.images / f"{name}-{step:010d}.png"
        _as_picture(grid).save(path, compress_level=1)
        self.board.picture(path, step)
        return path

    def sync(self) -> None:
        """All that was written is on the disk: a checkpoint may follow."""
        with open(self.path, "a", encoding="utf-8") as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        """No line will follow."""
        self.board.close()

    def _remember(self, line: Line) -> None:
        self._recent.setdefault(line["split"], deque(maxlen=2000)).append(line)

    def _draw_pictures(self) -> None:
        """Show the pictures in TensorBoard again; one that a power cut has spoilt does not stop the run."""
        bad = []
        for step, path in self._pictures():
            try:
                with Image.open(path) as opened:
                    opened.verify()
                self.board.picture(path, step)
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                bad.append(str(path))
        if bad:
            warnings.warn(
                f"TensorBoard does not show these pictures, which cannot be read: {', '.join(bad)}.", stacklevel=2
            )

    def _pictures(self, after: int = -1) -> Iterator[tuple[int, Path]]:
        for path in sorted(self.images.glob("*-*.png")):
            digits = path.stem.rsplit("-", 1)[1]
            if digits.isdigit() and int(digits) > after:
                yield int(digits), path


class Board:
    """TensorBoard's files, drawn anew each time that a run starts or goes on."""

    def __init__(self, folder: Path, texts: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        # Only TensorBoard's own files: somebody may have put others beside them.
        for old in folder.glob("events.out.tfevents.*") if not folder.is_symlink() else ():
            old.unlink()
        self.writer = SummaryWriter(str(folder), flush_secs=10)
        for name, text in texts.items():
            self.writer.add_text(name, text)
        start, session, self.end = hparams(dict(settings), {"validation/loss": None, "test/loss": None})
        self.writer.file_writer.add_summary(start)
        self.writer.file_writer.add_summary(session)

    def scalars(self, line: Line) -> None:
        """Every figure of a line, by split and player."""
        for name, value in line.items():
            if name not in ("step", "epoch", "split"):
                shown = math.nan if value is None else value
                self.writer.add_scalar(f"{line['split']}/{name}", shown, line["step"])

    def picture(self, path: Path, step: int) -> None:
        """A PNG of images/ under its name, as it lies there: encoding it again takes longer than all else here."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        with Image.open(path) as opened:
            size = {"width": opened.width, "height": opened.height, "colorspace": len(opened.getbands())}
        image = Summary.Image(encoded_image_string=path.read_bytes(), **size)
        value = Summary.Value(tag=path.stem.rsplit("-", 1)[0], image=image)
        self.writer.file_writer.add_summary(Summary(value=[value]), step)

    def close(self) -> None:
        """The run has ended, which the HParams tab is told."""
        self.writer.file_writer.add_summary(self.end)
        self.writer.close()


def read(folder: Path) -> list[Line]:
    """The lines of a run's metrics.jsonl; a last one that was cut short by a crash is left out."""
    path = folder / "metrics.jsonl"
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not isinstance(line, dict) or not {"step", "split"} <= line.keys():
            break
        lines.append(line)
    return lines


def _encode(line: Line) -> str:
    """JSON knows no NaN: what is not finite is null."""
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in line.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"


def _as_picture(grid: Tensor, gap: int = 2) -> Image.Image:
    """Rows x columns x C x H x W in [0, 1] on a white ground; small images are enlarged by a whole number."""
    rows, columns, channels, height, width = grid.shape
    enlarge = max(1, 56 // max(height, width))
    cells = grid.mul(255).round().clamp(0, 255).to("cpu", torch.uint8)
    cells = cells.repeat_interleave(enlarge, 3).repeat_interleave(enlarge, 4)
    cells = torch.nn.functional.pad(cells, (gap, 0, gap, 0), value=255)
    sheet = cells.permute(0, 3, 1, 4, 2).reshape(rows * (gap + height * enlarge), -1, channels)
    sheet = torch.nn.functional.pad(sheet, (0, 0, 0, gap, 0, gap), value=255)
    return Image.fromarray(sheet.squeeze(2).numpy())
