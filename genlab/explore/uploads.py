"""Items that a person gives to the page: a picture file, a text, or the number of a test item."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import torch
from PIL import Image as Pillow
from torch import Tensor

from genlab.data import held_out
from genlab.data.files.decode import FORMATS
from genlab.data.files.first_pass import quiet_pillow
from genlab.explore.survey import Survey
from genlab.kinds import Image, Points, Tokens
from genlab.lab import picture
from genlab.lab.inputs import items
from genlab.registry import ConfigError

LARGEST_FILE = 20_000_000
"""Bytes of a picture file."""
LARGEST_PICTURE = 50_000_000
"""Pixels of a picture: a small file can unpack to far more than memory holds."""
LARGEST_TEXT = 10_000


@dataclass(frozen=True)
class Upload:
    """The content of a file, a text, or the number of a test item."""

    file: bytes = b""
    text: str | None = None
    number: int | None = None


def opened(content: bytes) -> Pillow.Image:
    """Decode a picture: upright, in 8 bits; raise a ConfigError if it cannot be used."""
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"The file is larger than {LARGEST_FILE // 10**6} MB.")
    with quiet_pillow():
        try:
            image = Pillow.open(io.BytesIO(content), formats=FORMATS)
        except Pillow.DecompressionBombError:
            raise ConfigError("The picture has far too many pixels.") from None
        except Exception:  # Pillow raises almost anything for a damaged file.
            raise ConfigError(f"The file is no picture. Use {', '.join(FORMATS)}.") from None
        # Known from the header: nothing is unpacked yet.
        if image.width * image.height > LARGEST_PICTURE:
            size = f"{image.width:,} x {image.height:,}"
            raise ConfigError(
                f"The picture has too many pixels: {size}. Use at most {LARGEST_PICTURE // 10**6} million."
            )
        try:
            image.load()
        except Exception:  # as above
            raise ConfigError("The picture is damaged and cannot be read.") from None
        return picture.open_plain(image)


def item_of(survey: Survey, upload: Upload) -> tuple[Tensor, str]:
    """Return one item as the model sees it, 1 x its shape, and a caption."""
    if upload.number is not None:
        return test_item(survey, upload.number)
    run, kind = survey.run, survey.kind
    if isinstance(kind, Image):
        image = opened(upload.file)
        return items(kind, image, run.fitting), f"your picture, {image.width:,} x {image.height:,}"
    text = (upload.text or "").strip()
    if isinstance(kind, Points):
        found = _numbers(text)
        if len(found) != kind.dimensions:
            raise ConfigError(f"A point has {kind.dimensions} numbers, got {len(found)}. Example: 0.5, -1.2")
        return torch.tensor([found]), "your point"
    assert isinstance(kind, Tokens)
    return items(kind, [text], run.fitting), "your text"


def test_item(survey: Survey, number: int) -> tuple[Tensor, str]:
    """Return a test item by its place on the map, and a caption."""
    dataset, rows = survey.dataset, survey.rows
    if dataset is None:
        raise ConfigError("The data of this run cannot be read, so there are no test items.")
    if not 0 <= number < len(rows):
        raise ConfigError(f"number must be from 0 to {len(rows) - 1:,}.")
    row = rows[number : number + 1]
    item = torch.cat([batch["x"] for batch in held_out.batches(dataset, row, torch.device("cpu"))])
    named = f", {dataset.classes[int(dataset.labels[row])]}" if dataset.labels is not None else ""
    return item, f"test item {int(row):,}{named}"


def _numbers(text: str) -> list[float]:
    try:
        found = [float(part) for part in re.split(r"[\s,;]+", text) if part]
    except ValueError:
        raise ConfigError(f"{text[:40]!r} holds something that is no number.") from None
    if not all(abs(number) < 1e6 for number in found):
        raise ConfigError("The numbers must be finite and below a million.")
    return found
