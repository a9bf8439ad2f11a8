"""Plots of points with axes, drawn with Pillow: a chart library would take longer than a step of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from genlab.charts import OTHERS, POINT
from genlab.kinds.sheet import fitting

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw

    from genlab.kinds.kind import Row

_SIDE, _DOT, _BARS = 192, 2, 48
"""The side of a panel and of a dot, in pixels, and the bars of a histogram."""
_LEFT, _RIGHT, _BELOW, _LINE, _FONT = 44, 14, 22, 16, 11
"""Room around a panel, the height of a line of its legend, and the size of its letters, in pixels."""
_TOGETHER = 4
"""Largest number of histograms in one panel."""
_ALIKE = 4
"""Axes are of equal scale unless the data is more than this many times longer along one of them."""
_INK, _FRAME = (30, 30, 30), (150, 150, 150)
_DATA = "data"
"""The caption of the row that is shown behind all others."""


class Window(NamedTuple):
    """The part of the plane that is drawn: the lowest and highest coordinates."""

    low: Tensor
    high: Tensor


class _Layer(NamedTuple):
    """The points of one row, with a name and a colour for the legend."""

    name: str
    points: Tensor
    colour: tuple[int, int, int]


def plot(rows: Sequence[Row]) -> Picture:
    """Draw rows of points in panels side by side, all in the window of the first row.

    One coordinate gives histograms, up to four in one panel. Two give densities, each above that of the data. Of longer
    points, the first two coordinates are drawn.
    """
    from PIL import Image

    layers = [_Layer(row.caption, row.items[:, :2].float().cpu(), _colour(number)) for number, row in enumerate(rows)]
    window, dimensions = _window(layers[0].points), layers[0].points.shape[1]
    if dimensions == 1 and len(layers) <= _TOGETHER:
        groups = [layers]
    elif layers[0].name == _DATA:
        groups = [layers[:1], *([layers[0], layer] for layer in layers[1:])]
    else:
        groups = [[layer] for layer in layers]
    panels = [_panel(group, window, wide=1 if dimensions > 1 or len(groups) > 1 else 2) for group in groups]
    height = max(panel.height for panel in panels)
    whole = Image.new("RGB", (sum(panel.width for panel in panels), height), (255, 255, 255))
    left = 0
    for panel in panels:
        whole.paste(panel, (left, height - panel.height))
        left += panel.width
    return whole


def _colour(number: int) -> tuple[int, int, int]:
    # The grey among the other colours is too close to the frame.
    colours = (POINT, *OTHERS[1:])
    text = colours[number % len(colours)]
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _window(points: Tensor) -> Window:
    """Return the extent of the points with a margin, at equal scale if their coordinates spread alike."""
    finite = points[points.isfinite().all(1)]
    if not len(finite):
        finite = torch.zeros(1, points.shape[1])
    low, high = finite.amin(0), finite.amax(0)
    span = high - low
    span = torch.where(span > 0, span, torch.ones_like(span))
    if span.max() <= _ALIKE * span.min():
        span = span.max().expand_as(span)
    middle = (low + high) / 2
    return Window(middle - 0.75 * span, middle + 0.75 * span)


def _panel(layers: Sequence[_Layer], window: Window, wide: int) -> Picture:
    """Draw one panel with its axes, and a legend if the layers have names."""
    from PIL import Image, ImageDraw, ImageFont

    font, plane, high = ImageFont.load_default(_FONT), len(window.low) > 1, 0.0
    named = [layer for layer in layers if layer.name]
    top, width = _LINE * len(named) + 6, wide * _SIDE
    whole = Image.new("RGB", (_LEFT + width + _RIGHT, top + _SIDE + _BELOW), (255, 255, 255))
    pen = ImageDraw.Draw(whole)
    if plane:
        whole.paste(_densities(layers, window), (_LEFT, top))
    else:
        high = _histograms(pen, layers, window, (_LEFT, top, width))
    pen.rectangle((_LEFT - 1, top - 1, _LEFT + width, top + _SIDE), outline=_FRAME)
    for line, layer in enumerate(named):
        pen.rectangle((_LEFT, 4 + line * _LINE, _LEFT + 8, 12 + line * _LINE), fill=layer.colour)
        pen.text((_LEFT + 13, 1 + line * _LINE), fitting(_legend(layer, window), width - 13, font), _INK, font)
    for value, name in _ticks(float(window.low[0]), float(window.high[0]), 4 * wide):
        place = _LEFT + round((value - float(window.low[0])) / float(window.high[0] - window.low[0]) * (width - 1))
        pen.line((place, top + _SIDE, place, top + _SIDE + 3), _FRAME)
        pen.text((place, top + _SIDE + 4), name, _INK, font, anchor="ma")
    low, high = (float(window.low[1]), float(window.high[1])) if plane else (0.0, high)
    for value, name in _ticks(low, high):
        place = top + _SIDE - 1 - round((value - low) / (high - low) * (_SIDE - 1))
        pen.line((_LEFT - 4, place, _LEFT - 1, place), _FRAME)
        pen.text((_LEFT - 6, place), name, _INK, font, anchor="rm")
    return whole


def _legend(layer: _Layer, window: Window) -> str:
    """Return the name of a layer, and how much of it is not in the window."""
    inside = ((layer.points >= window.low) & (layer.points <= window.high)).all(1).float().mean()
    outside = 1 - float(inside) if len(layer.points) else 0.0
    name = " ".join(layer.name.split())
    return f"{name} ({outside:.0%} not shown)" if outside >= 0.005 else name


def _densities(layers: Sequence[_Layer], window: Window) -> Picture:
    """Draw planes that are darker where there are more points, one over the other as on transparent paper."""
    from PIL import Image

    blended = torch.ones(_SIDE, _SIDE, 3)
    for layer in layers:
        greys = density(layer.points, window.low, window.high, _SIDE // _DOT)
        # Half as bright in the places with single points, so that these are seen, too.
        shade = torch.where(greys < 1, 0.35 + 0.65 * (1 - greys), torch.zeros(())).unsqueeze(2)
        colour = torch.tensor(layer.colour) / 255
        shade = shade.repeat_interleave(_DOT, 0).repeat_interleave(_DOT, 1)
        blended = blended * (1 - shade * (1 - colour))
    return Image.fromarray(blended.mul(255).round().to(torch.uint8).numpy())


def _histograms(pen: ImageDraw, layers: Sequence[_Layer], window: Window, place: tuple[int, int, int]) -> float:
    """Draw histograms, the first one filled and the others as lines; return the value at the top of the axis."""
    left, top, width = place
    low, high = float(window.low[0]), float(window.high[0])
    bars = [_shares(layer.points[:, 0], low, high) for layer in layers]
    highest = 1.05 * max(float(shares.max()) for shares in bars) or 1.0
    for number, (layer, shares) in enumerate(zip(layers, bars, strict=True)):
        heights = [top + _SIDE - 1 - round(value / highest * (_SIDE - 1)) for value in shares.tolist()]
        edges = [left + round(bar * width / _BARS) for bar in range(_BARS + 1)]
        if number == 0 and len(layers) > 1:
            for bar, height in enumerate(heights):
                box = (edges[bar], height, edges[bar + 1] - 1, top + _SIDE - 1)
                pen.rectangle(box, fill=_pale(layer.colour) if height < top + _SIDE - 1 else None)
        line = [(x, height) for bar, height in enumerate(heights) for x in (edges[bar], edges[bar + 1] - 1)]
        pen.line(line, layer.colour, width=1 if number == 0 else 2)
    return highest


def _shares(values: Tensor, low: float, high: float) -> Tensor:
    """Return the share of the values in each bar, divided by the width of a bar."""
    inside = values[(values >= low) & (values <= high)]
    counts = ((inside - low) / (high - low) * _BARS).long().clamp(max=_BARS - 1).bincount(minlength=_BARS)
    return counts / max(1, len(values)) / ((high - low) / _BARS)


def _pale(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = ((255 + 255 + part) // 3 for part in colour)
    return red, green, blue


def density(points: Tensor, low: Tensor, high: Tensor, side: int) -> Tensor:
    """Draw points of one or two coordinates between `low` and `high` as side x side grey values in [0, 1].

    One coordinate gives a bar chart, two give a plane that is darker where there are more points. Points outside the
    window are left out. Of longer points, the first two coordinates are drawn.
    """
    places = ((points.float() - low) / (high - low).clamp_min(1e-9) * (side - 1)).round()
    places = places[((places >= 0) & (places < side)).all(1)].long()
    if points.shape[1] == 1:
        heights = places[:, 0].bincount(minlength=side).double()
        levels = torch.arange(side, device=points.device).flip(0).view(-1, 1)
        return (levels >= heights / heights.max().clamp_min(1) * side).float()
    counts = ((side - 1 - places[:, 1]) * side + places[:, 0]).bincount(minlength=side * side).view(side, side)
    return (1 - counts.double().log1p() / counts.max().clamp_min(1).double().log1p()).float()


def _ticks(low: float, high: float, most: int = 4) -> list[tuple[float, str]]:
    """Return a few round numbers between two others, with their texts."""
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= most + 1)
    places = [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [(place, f"{place:.6g}") for place in places]
