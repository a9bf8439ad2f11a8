"""Items as several methods give them back, beside the given ones: measured item by item, drawn, and written."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from genlab.kinds import Image, Kind, Points, Row, Tokens
from genlab.kinds.sheet import sheet
from genlab.lab.given import Given
from genlab.lab.results import Format, Results
from genlab.metrics.averages import Averages
from genlab.metrics.pixels import psnr_and_ssim
from genlab.metrics.reconstruction import equal_symbols, errors

MODEL = "model"

Values = Mapping[str, Tensor]
"""One value for each item, by the name of the metric."""

_ACROSS, _DRAWN = 12, 48
"""Items in a row of a sheet, and on a whole sheet."""


def measured(kind: Kind, found: Tensor, truth: Tensor) -> Values:
    """Measure each item against the true one.

    Images have `PSNR` in decibels and `SSIM`, token sequences `equal_symbols`, all other items `squared_error`.
    """
    if isinstance(kind, Image):
        return psnr_and_ssim(found.clamp(0, 1), truth)
    if isinstance(kind, Tokens):
        return equal_symbols(found, truth)
    return {"squared_error": errors(found, truth)["squared_error"]}


def means(metrics: Mapping[str, Values]) -> dict[str, dict[str, float]]:
    """Return the mean of each metric over the items, by method; the infinite PSNR of equal images is left out."""
    found = dict[str, dict[str, float]]()
    for method, values in metrics.items():
        averages = Averages(skip_infinite=("PSNR",))
        averages.add(values)
        found[method] = averages.read()
    return found


def draw(results: Results, kind: Kind, rows: Mapping[str, Tensor]) -> None:
    """Write a sheet with one row for each method, in blocks of a few items; of many items only the first are drawn."""
    total = len(next(iter(rows.values())))
    if not isinstance(kind, Image):
        # A density needs all points, and texts stand one below the other.
        shown = total if not isinstance(kind, Tokens) else _DRAWN
        results.sheet("sheet", kind, [Row(name, items[:shown]) for name, items in rows.items()])
        return
    starts = range(0, min(total, _DRAWN), _ACROSS)
    blocks = [Row(name, items[:_DRAWN][start : start + _ACROSS]) for start in starts for name, items in rows.items()]
    # Not the kind's own way: a spectrogram would be played, too.
    results.picture("sheet", sheet(blocks))
    if total > _DRAWN:
        results.say(f"The sheet shows the first {_DRAWN} of {total:,} {kind.plural}.")


def single_files(kind: Kind, form: Format) -> Format:
    """Return the format for items of a kind: points have no files of their own, so they are always arrays."""
    return "npz" if isinstance(kind, Points) else form


def write_metrics(results: Results, given: Given, metrics: Mapping[str, Values]) -> None:
    """Write one line for each item into metrics.csv, with a column for each metric of each method."""
    columns = {f"{name}-{method}": each for method, values in metrics.items() for name, each in values.items()}
    rows = zip(given.names, *([f"{value:.6g}" for value in each.tolist()] for each in columns.values()), strict=True)
    results.table("metrics", ["item", *columns], rows)
