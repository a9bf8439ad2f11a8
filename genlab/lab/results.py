"""The files that a command writes: pictures, sounds, texts, arrays, tables, charts and animations."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from genlab import charts
from genlab.data.files.listing import shown
from genlab.data.progress import progress
from genlab.kinds import Exhibit, Image, Kind, Row, Spectrogram
from genlab.registry import ConfigError
from genlab.runs.results import refuse_unwritable, write_fresh
from genlab.training.journal import write_wav

Format = Literal["png", "npz"]
_LISTED = 8
"""Largest number of files whose names are all printed."""
_NAMED = 3
"""Files that are named if there are more."""


class Results:
    """One folder for the results of a command; an existing file is never overwritten."""

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda text: None) -> None:
        refuse_unwritable(folder)
        self.folder, self.say = folder, say
        self.written = list[Path]()

    def picture(self, name: str, picture: Pillow.Image) -> Path:
        """Write a picture as PNG."""
        return self._write(f"{name}.png", lambda file: picture.save(file, format="PNG"))

    def sheet(self, name: str, kind: Kind, rows: Sequence[Row]) -> list[Path]:
        """Write rows of items as the kind shows them: as a picture, a text, or a picture and a sound."""
        return self.exhibit(name, kind.exhibit(rows))

    def exhibit(self, name: str, exhibit: Exhibit) -> list[Path]:
        """Write the parts of an exhibit."""
        written = []
        if exhibit.picture:
            written.append(self.picture(name, exhibit.picture))
        if text := exhibit.text:
            written.append(self._write(f"{name}.txt", lambda file: _text(file, text)))
        if sound := exhibit.sound:
            written.append(self._write(f"{name}.wav", lambda file: write_wav(file, sound)))
        return written

    def items(
        self, stem: str, names: Sequence[str], kind: Kind, items: Tensor, form: Format, **columns: Tensor
    ) -> None:
        """Write each item into a file of its own name, or with `npz` all into STEM.npz.

        The file of arrays holds the items as `x` and further columns, such as `label`. Images are bytes, N x C x H x W.
        """
        if form == "npz":
            self.arrays(stem, x=stored(kind, items), **{name: values.numpy() for name, values in columns.items()})
            return
        with progress(len(names), "writing", "written", "files") as advance:
            for name, item in zip(names, items, strict=True):
                self.exhibit(name, _one(kind, item))
                advance()

    def arrays(self, name: str, **arrays: NDArray[Any]) -> Path:
        """Write arrays into one file for numpy."""
        return self._write(f"{name}.npz", lambda file: np.savez_compressed(file, **cast(Any, arrays)))

    def table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
        """Write a table as CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        return self._write(f"{name}.csv", lambda file: _text(file, text.getvalue()))

    def chart(self, name: str, chart: charts.Chart) -> Path:
        """Write a chart as PNG."""
        return self._write(f"{name}.png", lambda file: chart.savefig(file, format="png"))

    def animation(self, name: str, frames: Sequence[Pillow.Image], seconds: float = 0.1) -> Path:
        """Write pictures as a GIF that plays forwards and backwards for ever."""
        turning = [*frames, *frames[-2:0:-1]]
        colours = [frame.convert("P", palette=Pillow.Palette.ADAPTIVE) for frame in turning]
        options: Mapping[str, Any] = {"duration": round(1000 * seconds), "loop": 0}
        return self._write(
            f"{name}.gif",
            lambda file: colours[0].save(file, format="GIF", save_all=True, append_images=colours[1:], **options),
        )

    def text(self, name: str, text: str) -> Path:
        """Write a text; `name` has the suffix of the file."""
        return self._write(name, lambda file: _text(file, text))

    def file(self, name: str, write: Callable[[BinaryIO], None]) -> Path:
        """Write a file of any other format; `name` has its suffix."""
        return self._write(name, write)

    def directory(self, name: str, write: Callable[[Path], None]) -> Path:
        """Write a folder of files; if the name is taken, the folder is called NAME-2 and so on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            path = self.folder / (name if number == 1 else f"{name}-{number}")
            with suppress(FileExistsError):
                path.mkdir()
                break
        write(path)
        self.written.append(path)
        return path

    def _write(self, name: str, write: Callable[[BinaryIO], Any]) -> Path:
        try:
            kept = write_fresh(self.folder / name, write)
        except OSError as error:
            raise ConfigError(
                f"{shown(str(self.folder / name))} cannot be written: {error.strerror or error}."
            ) from None
        self.written.append(kept.path)
        return kept.path

    def report(self) -> None:
        """Say which files were written, and where."""
        names = [shown(str(path.relative_to(self.folder))) for path in self.written]
        few = names if len(names) <= _LISTED else [*names[:_NAMED], f"and {len(names) - _NAMED:,} more"]
        listed = ", ".join(few)
        self.say(f"In {shown(str(self.folder))}: {listed}")


def new_folder(run: Path, command: str) -> Path:
    """Return a folder in the run that is not there yet: lab/COMMAND-1, or the next number."""
    return next(folder for number in itertools.count(1) if not (folder := run / "lab" / f"{command}-{number}").exists())


def stored(kind: Kind, items: Tensor) -> NDArray[Any]:
    """Return items as arrays hold them: images as bytes."""
    if isinstance(kind, Image):
        items = items.mul(255).round().clamp(0, 255).byte()
    return items.cpu().numpy()


def as_picture(item: Tensor) -> Pillow.Image:
    """Return one image, C x H x W in [0, 1], as a picture of the same size."""
    pixels = item.detach().cpu().mul(255).round().clamp(0, 255).byte()
    return Pillow.fromarray((pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)).contiguous().numpy())


def _one(kind: Kind, item: Tensor) -> Exhibit:
    """Show one item: an image in its own size, everything else as its kind shows it."""
    if isinstance(kind, Image):
        sound = kind.exhibit([Row("", item[None])]).sound if isinstance(kind, Spectrogram) else None
        return Exhibit(picture=as_picture(item), sound=sound)
    return kind.exhibit([Row("", item[None])])


def _text(file: BinaryIO, text: str) -> None:
    file.write(text.encode())
