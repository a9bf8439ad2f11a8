"""The contents of a data set, in words and as a picture."""

import hashlib
import textwrap
from collections import Counter
from collections.abc import Iterator

import torch
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor

from genlab.data.dataset import Column, Dataset
from genlab.data.held_out import spread
from genlab.kinds import Classes, Image, Points, Row
from genlab.kinds.plot import density

_CHUNK = 1024
_COLUMNS, _ROWS, _CELL, _GAP = 8, 8, 96, 8
_LETTER, _LINE, _FONT = 6, 13, 11
_DARK, _WHITE = (30, 30, 30), (255, 255, 255)
_PLANE = 384
_BAD_FILES = 10


def described(dataset: Dataset) -> list[tuple[str, str]]:
    """Return facts by name: kind, count, splits, classes, attributes, mean, std, copies, bad files, fingerprint."""
    facts = [
        ("kind", dataset.kind.describe()),
        (dataset.kind.plural, dataset.describe_items()),
        ("splits", ", ".join(map(dataset.describe_split, dataset.splits))),
    ]
    if "y" in dataset.columns:
        facts.append(("paired with", dataset.columns["y"].kind.describe()))
    if dataset.labels is not None:
        facts.append(("classes", _counted(dataset.labels, dataset.classes)))
    facts += [(name, _summarised(column)) for name, column in dataset.attributes.items()]
    if moments_of := moments(dataset.columns["x"]):
        facts += [(name, _listed(values)) for name, values in zip(("mean", "std"), moments_of, strict=True)]
    facts.append(("copies", f"{copies(dataset.columns['x'].rows):,}"))
    if dataset.bad_files:
        more = ["..."] if len(dataset.bad_files) > _BAD_FILES else []
        lines = [f"{len(dataset.bad_files):,}, left out:", *dataset.bad_files[:_BAD_FILES], *more]
        facts.append(("bad files", "\n".join(lines)))
    return [*facts, ("fingerprint", dataset.fingerprint)]


def moments(column: Column) -> tuple[list[float], list[float]] | None:
    """Return mean and standard deviation of each channel or coordinate; None for kinds without measured values."""
    if not isinstance(column.kind, Image | Points):
        return None
    width = column.kind.shape[0]
    total, squares, count = torch.zeros(width).double(), torch.zeros(width).double(), 0
    for chunk in _values(column):
        total, squares, count = total + chunk.sum(0), squares + chunk.square().sum(0), count + len(chunk)
    mean = total / count
    return mean.tolist(), (squares / count - mean.square()).clamp(min=0).sqrt().tolist()


def copies(rows: Tensor) -> int:
    """Count the items that are equal, byte for byte, to one before them."""
    seen = Counter(
        hashlib.blake2b(row.data, digest_size=16).digest()
        for chunk in torch.split(rows, _CHUNK)
        for row in chunk.numpy()
    )
    return len(rows) - len(seen)


def picture(dataset: Dataset) -> Pillow.Image:
    """Draw training items: images in a grid with what is known of each, points as a density, others as text."""
    column = dataset.columns["x"]
    if isinstance(column.kind, Image):
        return _grid(dataset)
    if isinstance(column.kind, Points):
        greys = density(column.rows, column.rows.min(), column.rows.max(), side=_PLANE)
        return Pillow.fromarray(greys.mul(255).to(torch.uint8).numpy()).convert("RGB")
    items = column.kind.load(column.rows[spread(dataset, "train", _COLUMNS * _ROWS)])
    exhibit = column.kind.exhibit([Row("", items)])
    return exhibit.picture or _written(exhibit.text or "")


def _grid(dataset: Dataset) -> Pillow.Image:
    """Draw images of all classes, each above its caption."""
    chosen = spread(dataset, "train", _COLUMNS * _ROWS).tolist()
    texts = [_caption(dataset, row) for row in chosen]
    lines = max(len(text) for text in texts)
    height = _CELL + lines * _LINE + _GAP
    size = (_COLUMNS * (_CELL + _GAP) + _GAP, -(-len(chosen) // _COLUMNS) * height + _GAP)
    sheet = Pillow.new("RGB", size, _WHITE)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT)
    for place, (row, text) in enumerate(zip(chosen, texts, strict=True)):
        left, top = _GAP + place % _COLUMNS * (_CELL + _GAP), _GAP + place // _COLUMNS * height
        sheet.paste(_enlarged(dataset.columns["x"].rows[row]), (left, top))
        draw.multiline_text((left, top + _CELL), "\n".join(text), _DARK, font, spacing=1)
    return sheet


def _written(text: str) -> Pillow.Image:
    """Draw a text in lines."""
    lines = text.splitlines() or [""]
    width = max(map(len, lines)) * _LETTER * 2
    sheet = Pillow.new("RGB", (width + 2 * _GAP, len(lines) * _LINE * 2 + 2 * _GAP), _WHITE)
    font = ImageFont.load_default(_FONT)
    ImageDraw.Draw(sheet).multiline_text((_GAP, _GAP), "\n".join(lines), _DARK, font, spacing=1)
    return sheet


def _values(column: Column) -> Iterator[Tensor]:
    """Yield the values of each channel, or of each coordinate, a chunk of items at a time."""
    for chunk in torch.split(column.rows, _CHUNK):
        # Channels come second, coordinates too.
        yield column.kind.load(chunk).double().movedim(1, -1).flatten(0, -2)


def _summarised(column: Column) -> str:
    """Return the count of each choice, or the range and the mean of numbers."""
    if isinstance(column.kind, Classes):
        return _counted(column.rows, column.kind.names)
    values = column.rows
    return f"{float(values.min()):.4g} to {float(values.max()):.4g}, mean {float(values.double().mean()):.4g}"


def _counted(values: Tensor, names: tuple[str, ...]) -> str:
    counts = values.bincount(minlength=len(names)).tolist()
    return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def _caption(dataset: Dataset, row: int) -> list[str]:
    """Return the class and the attributes of an image, in lines that fit below it; of yes and no, only yes."""
    words = [dataset.classes[int(dataset.labels[row])]] if dataset.labels is not None else []
    for name, column in dataset.attributes.items():
        if dataset.labels is not None and torch.equal(column.rows, dataset.labels):
            continue  # the class again
        choices = column.kind.names if isinstance(column.kind, Classes) else ()
        value = column.rows[row]
        if choices == ("no", "yes"):
            words += [name] if value else []
        elif choices:
            words.append(f"{name}={choices[int(value)]}")
        else:
            words.append(f"{name}={float(value):.3g}")
    # A line must not break inside an entry.
    lines = textwrap.wrap("  ".join(word.replace(" ", "\0") for word in words), _CELL // _LETTER)
    return [line.replace("\0", " ") for line in lines[:6]]


def _enlarged(pixels: Tensor) -> Pillow.Image:
    """Resize an image to a cell; small ones keep the edges of their pixels."""
    stored = pixels.movedim(0, -1).squeeze(2) if len(pixels) == 1 else pixels.movedim(0, -1)
    image = Pillow.fromarray(stored.contiguous().numpy()).convert("RGB")
    scale = _CELL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Pillow.Resampling.NEAREST if scale >= 1 else Pillow.Resampling.LANCZOS)
