"""Scatter plots of items in one to three dimensions, coloured by a class or by a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genlab import charts
from genlab.data.dataset import Column
from genlab.kinds import Classes
from genlab.randomness import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genlab.charts import Axes, Chart

_LEGEND, _NAMED = 20, 10
"""Classes that fit into a legend, and classes above which their names stand among the points, too."""
_GIVEN, _INK = "given items", "black"
_ROOM = 0.25
"""Room on the right of a chart without a legend, in inches."""
_AXES = 0.5
"""Room for the numbers of the third axis, in inches."""
_LETTERS = 24
"""Letters of a name that the legend shows."""
_STRIP = 0.35
"""Half the height of the strip of a class if there is only one coordinate."""


@dataclass(frozen=True)
class View:
    """One panel: items as points, and a title."""

    title: str
    points: Tensor
    """N x 1, 2 or 3."""
    training: Tensor
    """Training items as points of the same space; they are drawn in the background if they carry the colours."""
    below: str = ""
    """A second line of the title."""


@dataclass(frozen=True)
class Colours:
    """The attribute that colours the items, and its value for each."""

    name: str
    own: Column | None
    """The values of the items; None if they are unknown."""
    training: Column | None = None
    """The values of the training items in the background; None for no background."""

    @property
    def column(self) -> Column | None:
        """The column whose kind the colours show."""
        return self.own or self.training

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty for numbers."""
        kind = self.column.kind if self.column else None
        return kind.names if isinstance(kind, Classes) else ()


def scatter(views: Sequence[View], colours: Colours) -> Chart:
    """Draw one panel for each view, and the legend of the colours on the right."""
    size = views[0].points.shape[1]
    chart, panels = charts.squares(len(views), right=_room(colours) + (_AXES if size == 3 else 0), solid=size == 3)
    for panel, view in zip(panels, views, strict=True):
        _draw(panel, view, colours)
    if 0 < len(colours.classes) <= _LEGEND or colours.training:
        _legend(panels[-1], colours, solid=size == 3)
    elif colours.own and not colours.classes:
        shown = panels[-1].collections[0]
        width, height = chart.get_size_inches()
        bar = chart.add_axes(((width - _room(colours) + 0.2) / width, 0.45 / height, 0.15 / width, 4 / height))
        chart.colorbar(shown, cax=bar, label=colours.name).ax.tick_params(labelsize=8)
    return chart


def _room(colours: Colours) -> float:
    """Return the room that the legend or the colour bar needs, in inches."""
    if colours.classes and len(colours.classes) <= _LEGEND:
        longest = max(len(_short(name)) for name in (*colours.classes, colours.name, _GIVEN))
        return 0.5 + longest * charts.LETTER
    if colours.training:
        return 0.5 + len(_GIVEN) * charts.LETTER
    return 1.0 if colours.own and not colours.classes else _ROOM


def _draw(panel: Axes, view: View, colours: Colours) -> None:
    size, many = view.points.shape[1], len(view.points)
    if colours.training:
        _points(panel, view.training, colours.training, 8, alpha=0.45, linewidths=0)
        _points(panel, view.points, None, max(14, min(40, 4000 / many)), edgecolors="white", linewidths=0.8)
    else:
        _points(panel, view.points, colours.own, max(4, min(36, 12_000 / many)), alpha=0.8, linewidths=0)
    lines = [view.title, *([view.below] if view.below else [])]
    panel.set_title("\n".join(lines), fontsize=9)
    panel.tick_params(labelsize=7)
    if size == 1:
        _strips(panel, colours)
    if size == 2:
        # Distances are the same both ways, as they are for the measures.
        panel.set_aspect("equal", adjustable="datalim")
    if size > 1 and len(colours.classes) > _NAMED:
        _names(panel, view.training if colours.training else view.points, colours)


def _points(panel: Any, points: Tensor, column: Column | None, area: float, **style: Any) -> None:
    """Draw points in the colours of a column; with one coordinate, each class has a strip of its own."""
    rows = [points[:, 0], _heights(points, column)] if points.shape[1] == 1 else list(points.T)
    if column is None:
        look: dict[str, Any] = {"c": _INK if "edgecolors" in style else charts.POINT}
    elif isinstance(column.kind, Classes):
        palette = charts.colours(len(column.kind))
        look = {"c": [palette[number] for number in column.rows.tolist()]}
    else:
        look = {"c": column.rows.numpy(), "cmap": "viridis"}
    panel.scatter(*(row.numpy() for row in rows), s=area, **look, **style)


def _heights(points: Tensor, column: Column | None) -> Tensor:
    values = torch.zeros(len(points)) if column is None else column.rows.float()
    if column is not None and not isinstance(column.kind, Classes):
        return values
    return values + _STRIP * (2 * torch.rand(len(points), generator=generator(0, "embed/strips")) - 1)


def _strips(panel: Axes, colours: Colours) -> None:
    if not colours.classes:
        panel.set_ylabel(colours.name if colours.own else "", fontsize=8)
        if not colours.own:
            panel.set_yticks([])
    elif len(colours.classes) > _LEGEND:
        panel.set_ylabel(f"{colours.name} (number of the class)", fontsize=8)
    else:
        # From the top down, as the legend has them.
        panel.set_yticks(range(len(colours.classes)), [""] * len(colours.classes))
        panel.invert_yaxis()


def _names(panel: Axes, points: Tensor, colours: Colours) -> None:
    """Write the name of each class at the middle of its points."""
    column = colours.training or colours.own
    assert column is not None
    size = 8.0 if len(colours.classes) <= 30 else 6.5
    for number, name in enumerate(colours.classes):
        if len(of_one := points[column.rows == number]):
            charts.write_over(panel, of_one.median(0).values.tolist(), _short(name), size)


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def _legend(panel: Axes, colours: Colours, *, solid: bool) -> None:
    handles, nowhere = list[Any](), [list[float]()] * (3 if solid else 2)
    few = 0 < len(colours.classes) <= _LEGEND
    for name, colour in zip(colours.classes, charts.colours(len(colours.classes)), strict=True) if few else ():
        handles += panel.plot(*nowhere, "o", color=colour, markersize=5, label=_short(name))
    if colours.training:
        handles += panel.plot(*nowhere, "o", color=_INK, mec="white", markersize=6, label=_GIVEN)
    across = 1.12 if solid else 1.02
    panel.legend(
        handles=handles,
        title=_short(colours.name) if few else None,
        loc="upper left",
        bbox_to_anchor=(across, 1.0),
        borderaxespad=0,
        fontsize=8,
        title_fontsize=8,
        alignment="left",
        frameon=False,
    )
