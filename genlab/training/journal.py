"""The record of a run: metrics.jsonl and the previews are the truth; TensorBoard is drawn from them."""

import json
import math
import os
import re
import textwrap
import warnings
import wave
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from PIL import Image
from torch import Tensor

from genlab.kinds import Exhibit, Sound
from genlab.training.animation import animation
from genlab.training.checkpoint import write_atomically

Line = dict[str, Any]

FOLDERS = {"images": ".png", "texts": ".txt", "sounds": ".wav"}
"""The folder of each form of exhibit, and the ending of its files."""
_EVALUATION = ".evaluation"
"""The ending of TensorBoard's file with the metrics of an evaluation."""
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, wave.Error, Image.DecompressionBombError)
"""The errors of exhibits that are damaged."""


class Journal:
    """Metrics and exhibits of a run; they are cut back to `step` if the run is resumed from there."""

    def __init__(self, folder: Path, step: int, texts: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        self.folder, self.path = folder, folder / "metrics.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [line for line in read(folder) if line["step"] <= step and line["split"] != "test"]
        write_atomically(self.path, "".join(map(_encode, lines)).encode())
        for _, path in list(self._exhibits(after=step)):
            path.unlink()
        # It may show steps that are cut back.
        self._animated.unlink(missing_ok=True)
        self._recent: dict[str, deque[Line]] = {}
        self.board = Board(folder / "tensorboard", texts, settings)
        for line in lines:
            self._remember(line)
            self.board.scalars(line)
        self._redraw()

    def write(self, line: Line) -> None:
        """Add one line; it is in the file at once."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_encode(line))
        self._remember(line)
        self.board.scalars(line)

    @property
    def recent(self) -> list[Line]:
        """The newest lines, one split after the other, so that many lines of one split do not push out the others."""
        return [line for lines in self._recent.values() for line in lines]

    def exhibit(self, name: str, step: int, exhibit: Exhibit) -> None:
        """Write a PNG, a text or a sound to its folder, and the same to TensorBoard."""
        if exhibit.picture:
            path = self._path("images", name, step)
            exhibit.picture.save(path, compress_level=1)
            self.board.picture(path, step)
        if exhibit.text is not None:
            path = self._path("texts", name, step)
            path.write_text(exhibit.text, encoding="utf-8")
            self.board.text(path, step)
        if exhibit.sound:
            path = self._path("sounds", name, step)
            with open(path, "wb") as file:
                write_wav(file, exhibit.sound)
            self.board.sound(path, step)

    def animate(self) -> None:
        """Write an animation of the samples so far, if there are several pictures of them."""
        pictures = [(step, path) for step, path in self._exhibits() if path.name.startswith("samples-")]
        encoded = animation([(step, path) for step, path in pictures if path.suffix == ".png"])
        if encoded:
            write_atomically(self._animated, encoded)

    def sync(self) -> None:
        """Flush all lines to the disk, so that a checkpoint can follow."""
        with open(self.path, "a", encoding="utf-8") as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close TensorBoard's file; no line can follow."""
        self.board.close()

    @property
    def _animated(self) -> Path:
        return self.folder / "images" / "samples.gif"

    def _path(self, folder: str, name: str, step: int) -> Path:
        (self.folder / folder).mkdir(exist_ok=True)
        return self.folder / folder / f"{name}-{step:010d}{FOLDERS[folder]}"

    def _remember(self, line: Line) -> None:
        self._recent.setdefault(line["split"], deque(maxlen=2000)).append(line)

    def _redraw(self) -> None:
        """Show the exhibits in TensorBoard again; one that a power failure has damaged does not stop the run."""
        shows: dict[str, Callable[[Path, int], None]] = {
            ".png": self.board.picture,
            ".txt": self.board.text,
            ".wav": self.board.sound,
        }
        bad = []
        for step, path in self._exhibits():
            try:
                shows[path.suffix](path, step)
            except UNREADABLE:
                bad.append(str(path))
        if bad:
            warnings.warn(
                f"TensorBoard does not show these files; they cannot be read: {', '.join(bad)}.", stacklevel=2
            )

    def _exhibits(self, after: int = -1) -> Iterator[tuple[int, Path]]:
        """Yield the step and the path of each exhibit."""
        for folder, ending in FOLDERS.items():
            for path in sorted((self.folder / folder).glob(f"*-*{ending}")):
                digits = path.stem.rsplit("-", 1)[1]
                if digits.isdigit() and int(digits) > after:
                    yield int(digits), path


class Silent(Journal):
    """The journal of a process that writes no files because another one does; it only remembers the lines."""

    def __init__(self, folder: Path, step: int, texts: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        self._recent: dict[str, deque[Line]] = {}
        for line in read(folder):
            if line["step"] <= step and line["split"] != "test":
                self._remember(line)

    def write(self, line: Line) -> None:
        """Remember one line."""
        self._remember(line)

    def exhibit(self, name: str, step: int, exhibit: Exhibit) -> None:
        """Do nothing."""

    def animate(self) -> None:
        """Do nothing."""

    def sync(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Board:
    """TensorBoard's files, which are drawn again each time that a run starts or resumes."""

    def __init__(self, folder: Path, texts: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        # Only TensorBoard's own files are deleted: a user may have put others beside them.
        for old in folder.glob("events.out.tfevents.*") if not folder.is_symlink() else ():
            old.unlink()
        self.writer = SummaryWriter(str(folder), flush_secs=10)
        for name, text in texts.items():
            self.writer.add_text(name, text)
        # The first of the three summaries fixes the columns of the HParams tab, for all runs in the way of one of them.
        # Without it TensorBoard looks at all runs, and shows first the settings that differ between them.
        _, session, self.end = hparams(dict(settings), {})
        self.writer.file_writer.add_summary(session)

    def scalars(self, line: Line) -> None:
        """Show every metric of a line by split and player."""
        for name, value in line.items():
            if name not in ("step", "epoch", "split"):
                shown = math.nan if value is None else value
                self.writer.add_scalar(f"{line['split']}/{name}", shown, line["step"])

    def picture(self, path: Path, step: int) -> None:
        """Show a PNG with the bytes of its file: encoding it again would take longer than all else here."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        with Image.open(path) as opened:
            size = {"width": opened.width, "height": opened.height, "colorspace": len(opened.getbands())}
            opened.verify()
        image = Summary.Image(encoded_image_string=path.read_bytes(), **size)
        self.writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=_tag(path), image=image)]), step)

    def text(self, path: Path, step: int) -> None:
        """Show a text file; indented lines are code to TensorBoard, which keeps their line breaks."""
        self.writer.add_text(_tag(path), textwrap.indent(path.read_text(encoding="utf-8"), "    "), step)

    def sound(self, path: Path, step: int) -> None:
        """Show a WAV file with the bytes of its file."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        with wave.open(str(path), "rb") as opened:
            facts = {"sample_rate": opened.getframerate(), "num_channels": opened.getnchannels()}
            frames = opened.getnframes()
        audio = Summary.Audio(
            encoded_audio_string=path.read_bytes(), content_type="audio/wav", length_frames=frames, **facts
        )
        self.writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=_tag(path), audio=audio)]), step)

    def close(self) -> None:
        """Tell the HParams tab that the run has ended, and close the file."""
        self.writer.file_writer.add_summary(self.end)
        self.writer.close()


def show_evaluation(folder: Path, step: int, metrics: Mapping[str, float]) -> None:
    """Show metrics of an evaluation in TensorBoard, in place of those of an earlier one.

    `folder` is that of a run which no process trains: TensorBoard stops reading a file when it finds a newer one. The
    tab HParams shows the columns in the order of their names, so `evaluation/...` come first.
    """
    from torch.utils.tensorboard import SummaryWriter

    board = folder / "tensorboard"
    for old in board.glob(f"events.out.tfevents.*{_EVALUATION}") if not board.is_symlink() else ():
        old.unlink()
    with SummaryWriter(str(board), filename_suffix=_EVALUATION) as writer:
        for name, value in metrics.items():
            writer.add_scalar(f"evaluation/{name}", value, step)


def write_projector(
    folder: Path, vectors: Mapping[str, Tensor], words: Mapping[str, Sequence[str]], pictures: Tensor | None
) -> None:
    """Write tables of vectors for TensorBoard's projector, with words and a small square picture for each row."""
    from torch.utils.tensorboard import SummaryWriter

    # The projector takes the first line of words for a header only if there are several columns.
    header = [re.sub(r"\s", " ", name) for name in words] if len(words) > 1 else None
    columns = [[re.sub(r"\s", " ", word) for word in column] for column in words.values()]
    rows: Any = list(zip(*columns, strict=True)) if header else columns[0]
    with SummaryWriter(str(folder)) as writer:
        for name, table in vectors.items():
            writer.add_embedding(table, metadata=rows, label_img=pictures, tag=name, metadata_header=header)


def write_wav(file: BinaryIO, sound: Sound) -> None:
    """Write samples in [-1, 1] as a WAV file of 16-bit PCM."""
    samples = sound.samples.detach().float().cpu().clamp(-1, 1).mul(32767).round().to(torch.int16)
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(sound.rate)
        written.writeframes(samples.numpy().astype("<i2").tobytes())


def read(folder: Path) -> list[Line]:
    """Return the lines of a run's metrics.jsonl, up to the first one that a crash has cut short."""
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


def _tag(path: Path) -> str:
    return path.stem.rsplit("-", 1)[0]


def _encode(line: Line) -> str:
    """Convert a line to JSON, which has no NaN: numbers that are not finite become null."""
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in line.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"
