"""What a data set holds, in words and as a picture."""

import hashlib
import textwrap
from collections import Counter
from collections.abc import Iterator

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genlab.data.dataset import Images
from genlab.kinds.density import density

_CHUNK = 1024
_COLUMNS, _ROWS, _CELL, _GAP = 8, 8, 96, 8
_LETTER, _LINE = 6, 13
_DARK, _WHITE = (30, 30, 30), (255, 255, 255)


def described(images: Images) -> list[tuple[str, str]]:
    """Each fact by its name: counts, shape, splits, classes, attributes, mean, deviation, copies, bad files."""
    mean, deviation = moments(images.pixels)
    rows = [
        ("images", f"{len(images.pixels):,}" + (" crops side by side" if images.grid is not None else "")),
        ("shape", " x ".join(map(str, images.shape)) + " (channels, height, width)"),
        ("splits", ", ".join(f"{name} {len(rows):,}{_pictures(images, rows)}" for name, rows in images.splits.items())),
    ]
    if images.labels is not None:
        rows.append(("classes", _counted(images.labels, images.names)))
    for name, attribute in images.attributes.items():
        values = attribute.values
        span = f"{float(values.min()):.4g} to {float(values.max()):.4g}, mean {float(values.double().mean()):.4g}"
        rows.append((name, _counted(values, attribute.choices) if attribute.choices else span))
    rows += [("mean", _listed(mean)), ("deviation", _listed(deviation)), ("copies", f"{copies(images.pixels):,}")]
    if images.bad_files:
        shown = [*images.bad_files[:10], *(["..."] if len(images.bad_files) > 10 else [])]
        rows.append(("bad files", "\n".join([f"{len(images.bad_files):,}, left out:", *shown])))
    return [*rows, ("fingerprint", images.fingerprint)]


def moments(pixels: Tensor) -> tuple[list[float], list[float]]:
    """The mean and the standard deviation of each channel, of pixels in [0, 1] or of points as they are."""
    channels = pixels.shape[1] if pixels.dtype == torch.uint8 else pixels.shape[3]
    total, squares, count = torch.zeros(channels).double(), torch.zeros(channels).double(), 0
    for chunk in _values(pixels):
        total, squares, count = total + chunk.sum(0), squares + chunk.square().sum(0), count + len(chunk)
    mean = total / count
    return mean.tolist(), (squares / count - mean.square()).clamp(min=0).sqrt().tolist()


def copies(pixels: Tensor) -> int:
    """How many images are equal, pixel for pixel, to one before them."""
    seen = Counter(
        hashlib.blake2b(row.data, digest_size=16).digest()
        for chunk in torch.split(pixels, _CHUNK)
        for row in chunk.numpy()
    )
    return len(pixels) - len(seen)


def picture(images: Images) -> Image.Image:
    """A grid of images with what is known of each below it; of points, where they lie."""
    if images.pixels.dtype != torch.uint8:
        points = images.pixels.flatten(1)
        greys = density(points, points.min(), points.max(), side=384)
        return Image.fromarray(greys.mul(255).to(torch.uint8).numpy()).convert("RGB")
    chosen = _chosen(images)
    texts = [_caption(images, row) for row in chosen]
    lines = max(len(text) for text in texts)
    height = _CELL + lines * _LINE + _GAP
    sheet = Image.new("RGB", (_COLUMNS * (_CELL + _GAP) + _GAP, -(-len(chosen) // _COLUMNS) * height + _GAP), _WHITE)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, (row, text) in enumerate(zip(chosen, texts, strict=True)):
        left, top = _GAP + place % _COLUMNS * (_CELL + _GAP), _GAP + place // _COLUMNS * height
        sheet.paste(_enlarged(images.pixels[row]), (left, top))
        draw.multiline_text((left, top + _CELL), "\n".join(text), _DARK, font, spacing=1)
    return sheet


def _pictures(images: Images, rows: Tensor) -> str:
    """How many pictures these are cut out of, if they are."""
    if images.grid is None:
        return ""
    count = int((images.grid[rows, :2] == 0).all(1).sum())
    return f" (of {count:,} picture{'s' if count != 1 else ''})"


def _values(pixels: Tensor) -> Iterator[Tensor]:
    """The values of each channel, or of each coordinate, a chunk of images at a time."""
    for chunk in torch.split(pixels, _CHUNK):
        if pixels.dtype == torch.uint8:
            yield chunk.movedim(1, -1).flatten(0, 2).double() / 255
        else:
            yield chunk.flatten(1).double()


def _counted(values: Tensor, names: tuple[str, ...]) -> str:
    counts = values.long().bincount(minlength=len(names)).tolist()
    return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def _chosen(images: Images) -> list[int]:
    """Training images spread over the whole set; where there are classes, of each in turn."""
    train = images.splits["train"]
    count = _COLUMNS * _ROWS
    if images.labels is None:
        return sorted({int(train[place * len(train) // count]) for place in range(min(count, len(train)))})
    members = [train[images.labels[train] == number].tolist() for number in range(images.classes)]
    turns = [row for turn in zip(*(row[:count] for row in members if row), strict=False) for row in turn]
    return turns[:count] or train[:count].tolist()


def _caption(images: Images, row: int) -> list[str]:
    """The class of an image and what is known of it, in lines that fit below it; of a yes or no, the yes alone."""
    words = [images.names[int(images.labels[row])]] if images.labels is not None else []
    for name, attribute in images.attributes.items():
        if images.labels is not None and torch.equal(attribute.values, images.labels):
            continue  # the class again
        value = attribute.values[row]
        if attribute.choices == ("no", "yes"):
            words += [name] if value else []
        elif attribute.choices:
            words.append(f"{name}={attribute.choices[int(value)]}")
        else:
            words.append(f"{name}={float(value):.3g}")
    # What belongs together is held together while the lines are broken.
    lines = textwrap.wrap("  ".join(word.replace(" ", "\0") for word in words), _CELL // _LETTER)
    return [line.replace("\0", " ") for line in lines[:6]]


def _enlarged(pixels: Tensor) -> Image.Image:
    """An image as large as a cell; small ones keep their pixels' edges."""
    shown = pixels.movedim(0, -1).squeeze(2) if len(pixels) == 1 else pixels.movedim(0, -1)
    image = Image.fromarray(shown.contiguous().numpy()).convert("RGB")
    scale = _CELL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS)
