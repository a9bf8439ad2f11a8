"""The effect of a setting on a metric as a small drawing, which needs no script."""

import math
from collections.abc import Callable, Sequence
from statistics import mean

from genlab.comparison.effects import Effect
from genlab.comparison.measured import direction
from genlab.report.html import Html, element
from genlab.training.console import number

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _FOOT = 250, 160, 58, 12, 10, 26
_LETTER = 6.2
"""The width of a letter of a label."""


def strip(effect: Effect) -> Html:
    """Draw all runs as points over the values of the setting, and their means; a line joins the means of numbers."""
    across = _across(effect)
    every = [value for values in effect.points.values() for value in values]
    low, high = min(every), max(every)
    room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0

    def down(value: float) -> float:
        share = (value - low + room) / (high - low + 2 * room)
        return round(_HEIGHT - _FOOT - share * (_HEIGHT - _FOOT - _TOP), 1)

    means = {value: mean(values) for value, values in effect.points.items()}
    dots = [
        element(
            "circle", element("title", f"{value}: {number(one)}"), cx=across[value], cy=down(one), r=3, class_="dot"
        )
        for value, values in effect.points.items()
        for one in values
    ]
    bars = [_bar(across[value], down(one)) for value, one in means.items()]
    line = " ".join(f"{across[value]},{down(one)}" for value, one in means.items())
    drawn = [
        *_frame(sorted({low, high}), down),
        *dots,
        *([element("polyline", points=line, class_="mean")] if effect.numbers else bars),
        *_labels(list(effect.points), across),
    ]
    words = f"{effect.metric} by {effect.settings[0]}: " + "; ".join(
        f"mean {number(one)} at {value} ({len(effect.points[value])} runs)" for value, one in means.items()
    )
    picture = element("svg", *drawn, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=words)
    better = direction(effect.metric)
    return element("figure", picture, element("figcaption", effect.metric, f" ({better} is better)" if better else ""))


def _across(effect: Effect) -> dict[str, float]:
    """Return the place of each value from left to right; numbers that span much are spread by their logarithm."""
    values = list(effect.points)
    evenly = [float(place) for place in range(len(values))]
    places = [effect.numbers[value] for value in values] if effect.numbers else evenly
    if not all(map(math.isfinite, places)):
        places = evenly
    elif effect.numbers and min(places) > 0 and max(places) / min(places) >= 8:
        places = [math.log(place) for place in places]
    low, high = min(places), max(places)
    inset = 14
    room = _WIDTH - _LEFT - _RIGHT - 2 * inset
    return {
        value: round(_LEFT + inset + room * ((place - low) / (high - low) if high > low else 0.5), 1)
        for value, place in zip(values, places, strict=True)
    }


def _frame(ends: Sequence[float], down: Callable[[float], float]) -> list[Html]:
    """Return the axes, and the lowest and the highest value at theirs."""
    foot = _HEIGHT - _FOOT
    axes = element("path", d=f"M{_LEFT} {_TOP}V{foot}H{_WIDTH - _RIGHT}", class_="axis")
    return [axes, *(element("text", number(end), x=_LEFT - 6, y=down(end) + 4, class_="end") for end in ends)]


def _bar(across: float, down: float) -> Html:
    return element("line", x1=across - 9, x2=across + 9, y1=down, y2=down, class_="mean")


def _labels(values: Sequence[str], across: dict[str, float]) -> list[Html]:
    """Return the labels below the drawing, as many as have room."""
    found, free = list[Html](), 0.0
    for value in values:
        cut = value if len(value) <= 12 else f"...{value[-9:]}"
        half = len(cut) * _LETTER / 2
        if across[value] - half >= free:
            place = min(across[value], _WIDTH - half)
            found.append(element("text", cut, x=place, y=_HEIGHT - 8, class_="middle"))
            free = place + half + 6
    return found
