"""Samples of several models from the same noise, side by side."""

from collections.abc import Callable, Sequence
from typing import BinaryIO, NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from genlab.comparison.comparison import Row
from genlab.comparison.files import as_writer
from genlab.contract import Batch, Samples, conditions
from genlab.kinds import Exhibit, Kind, Points
from genlab.kinds import Row as Captioned
from genlab.kinds.plot import density
from genlab.randomness import generator
from genlab.registry import ConfigError
from genlab.runs.open import Opened
from genlab.runs.run import Run

COUNT, COLUMNS, POINTS = 32, 8, 4096
# In pixels: the largest tile, the side of a plot, and the widest sheet.
_LARGEST, _PLOT, _WIDEST = 800, 256, 1800
_BETWEEN, _LINE = 16, 16
_INK, _EDGE, _GROUND = (30, 30, 30), (200, 200, 200), (255, 255, 255)


class Panel(NamedTuple):
    """The samples of one run."""

    label: str
    kind: Kind
    samples: Tensor


def drawn(rows: Sequence[Row], open_run: Callable[[Run], Opened]) -> tuple[list[Panel], list[str]]:
    """Draw samples of all models that can sample; return a sentence for each model that cannot be opened."""
    panels, left_out = [], []
    for row in rows:
        abilities = row.run.facts.get("abilities")
        if abilities is not None and "sample" not in abilities:
            continue
        try:
            opened = open_run(row.run)
        except (ConfigError, OSError) as error:
            left_out.append(f"There are no samples of {row.name}: {error}")
            continue
        if isinstance(opened.model, Samples):
            kind = opened.kinds["x"]
            count = POINTS if isinstance(kind, Points) else COUNT
            panels.append(Panel(row.label, kind, _sampled(opened.model, count)))
    return panels, left_out


def files(panels: Sequence[Panel]) -> dict[str, Callable[[BinaryIO], None]]:
    """Return a function that writes each file: a PNG for pictures, a text file for texts."""
    tiles, texts = list[tuple[str, Image.Image]](), list[str]()
    for panel in panels:
        exhibit = _exhibit(panel, panels)
        if exhibit.picture:
            tiles.append((panel.label, exhibit.picture))
        if exhibit.text:
            texts.append(f"{panel.label}:\n{exhibit.text}")
    written: dict[str, Callable[[BinaryIO], None]] = {}
    if tiles:
        written["samples.png"] = lambda file: sheet(tiles).save(file, format="PNG")
    if texts:
        written["samples.txt"] = as_writer("\n".join(texts))
    return written


def sheet(tiles: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Draw each tile below its label, as many in a line as fit."""
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


def _sampled(model: Samples, count: int) -> Tensor:
    """Sample from the same noise for every model; classes take turns."""
    condition: Batch = {name: torch.arange(count) % len(classes) for name, classes in conditions(model).items()}
    with torch.no_grad():
        return model.sample(count, condition or None, generator(0, "compare"))


def _exhibit(panel: Panel, panels: Sequence[Panel]) -> Exhibit:
    """Show the samples of one run: items in rows, points in a window that is the same for all runs."""
    if isinstance(panel.kind, Points):
        alike = torch.cat([other.samples for other in panels if other.kind == panel.kind])
        greys = density(panel.samples, alike.min(), alike.max(), _PLOT)
        plot = Image.fromarray(greys.mul(255).to(torch.uint8).numpy()).convert("RGB")
        return Exhibit(picture=ImageOps.expand(plot, border=1, fill=_EDGE))
    exhibit = panel.kind.exhibit([Captioned("", items) for items in torch.split(panel.samples, COLUMNS)])
    if exhibit.picture:
        exhibit.picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    return exhibit


def _lines(label: str, width: int) -> list[str]:
    """Break a label into lines of at most this many pixels, between words if possible."""
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
