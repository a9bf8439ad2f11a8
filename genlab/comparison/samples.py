"""What several models make of the same noise, side by side."""

from collections.abc import Callable, Sequence
from typing import BinaryIO, NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from genlab.comparison.comparison import Row
from genlab.contract import Model, Samples
from genlab.kinds.density import density
from genlab.randomness import generator
from genlab.registry import ConfigError
from genlab.runs.run import Run

ROWS, COLUMNS, POINTS = 4, 8, 4096
# In pixels: the side of a cell at which images are enlarged to, and that of the largest.
_CELL, _LARGEST, _PLOT = 40, 96, 256
_GAP, _BETWEEN, _LINE, _WIDEST = 2, 16, 16, 1800
_INK, _EDGE, _GROUND = (30, 30, 30), (200, 200, 200), (255, 255, 255)


class Panel(NamedTuple):
    """What one run made."""

    label: str
    samples: Tensor
    """Images in the order of their grid, or points."""


def drawn(rows: Sequence[Row], open_model: Callable[[Run], Model]) -> tuple[list[Panel], list[str]]:
    """The samples of all that can make some, and a sentence for each of them whose model cannot be opened."""
    panels, left_out = [], []
    for row in rows:
        abilities = row.run.facts.get("abilities")
        if abilities is not None and "sample" not in abilities:
            continue
        try:
            model = open_model(row.run)
        except (ConfigError, OSError) as error:
            left_out.append(f"There are no samples of {row.name}: {error}")
            continue
        if isinstance(model, Samples):
            panels.append(Panel(row.label, _sampled(model)))
    return panels, left_out


def sheet(panels: Sequence[Panel]) -> Image.Image:
    """Each grid below the name of its run, as many in a line as are read well."""
    points = [panel.samples.flatten(1) for panel in panels if panel.samples.shape[2] == 1]
    tiles = [(panel.label, _plot(panel, points) if panel.samples.shape[2] == 1 else _grid(panel)) for panel in panels]
    width = max(tile.width for _, tile in tiles)
    across = max(1, min(len(tiles), _WIDEST // (width + _BETWEEN)))
    labels = [_lines(label, width) for label, _ in tiles]
    head = max(len(lines) for lines in labels) * _LINE + 4
    height = max(tile.height for _, tile in tiles) + head
    size = (across * (width + _BETWEEN) + _BETWEEN, -(-len(tiles) // across) * (height + _BETWEEN) + _BETWEEN)
    whole = Image.new("RGB", size, _GROUND)
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(13)
    for number, (lines, (_, tile)) in enumerate(zip(labels, tiles, strict=True)):
        left, top = _BETWEEN + number % across * (width + _BETWEEN), _BETWEEN + number // across * (height + _BETWEEN)
        for place, line in enumerate(lines):
            pen.text((left, top + head - 4 - (len(lines) - place) * _LINE), line, _INK, font)
        whole.paste(tile, (left, top + head))
    return whole


def written(panels: Sequence[Panel]) -> Callable[[BinaryIO], None] | None:
    """What writes them as a PNG, if there are any."""
    return (lambda file: sheet(panels).save(file, format="PNG")) if panels else None


def _sampled(model: Samples) -> Tensor:
    """The same noise for every model that asks for as much of it; of the classes one after the other."""
    classes, count = getattr(model, "classes", 0), ROWS * COLUMNS
    with torch.no_grad():
        labels = torch.arange(count) % classes if classes else None
        made = model.sample(count, labels, generator(0, "compare"))
        if made.shape[2] == 1:
            labels = torch.arange(POINTS) % classes if classes else None
            made = model.sample(POINTS, labels, generator(0, "compare"))
    return made.clamp(0, 1) if made.shape[2] > 1 else made


def _grid(panel: Panel) -> Image.Image:
    """The images in rows; small ones keep their pixels' edges."""
    cells = [_picture(image) for image in panel.samples]
    width, height = cells[0].size
    whole = Image.new("RGB", (COLUMNS * (width + _GAP) - _GAP, ROWS * (height + _GAP) - _GAP), _GROUND)
    for number, cell in enumerate(cells):
        whole.paste(cell, (number % COLUMNS * (width + _GAP), number // COLUMNS * (height + _GAP)))
    return whole


def _picture(image: Tensor) -> Image.Image:
    pixels = image.mul(255).round().to(torch.uint8).movedim(0, -1)
    found = Image.fromarray((pixels.squeeze(2) if len(image) == 1 else pixels).contiguous().numpy()).convert("RGB")
    longest = max(found.size)
    if longest > _LARGEST:
        found.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
        return found
    times = max(1, _CELL // longest)
    return found.resize((found.width * times, found.height * times), Image.Resampling.NEAREST)


def _plot(panel: Panel, every: Sequence[Tensor]) -> Image.Image:
    """Where the points lie, in the same window for all runs."""
    alike = torch.cat([points for points in every if points.shape[1] == panel.samples.shape[3]])
    greys = density(panel.samples.flatten(1), alike.min(), alike.max(), _PLOT)
    plot = Image.fromarray(greys.mul(255).to(torch.uint8).numpy()).convert("RGB")
    return ImageOps.expand(plot, border=1, fill=_EDGE)


def _lines(label: str, width: int) -> list[str]:
    """A label in lines of so many pixels, broken between words where that can be."""
    font, lines = ImageFont.load_default(13), [""]
    for word in label.split(" "):
        joined = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(joined) > width:
            lines.append(word)
        else:
            lines[-1] = joined
    return [part for line in lines for part in _cut(line, width)]


def _cut(line: str, width: int) -> list[str]:
    font, parts = ImageFont.load_default(13), [""]
    for letter in line:
        if font.getlength(parts[-1] + letter) > width:
            parts.append("")
        parts[-1] += letter
    return parts
