"""The chart of a search: the values of all trials, how much each setting matters, and the values by each setting."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, combinations
from typing import TYPE_CHECKING, Any

from genlab.charts import BEST, OTHERS, POINT, dress, panels, scale
from genlab.search.result import Result, completed, front
from genlab.search.study import Search

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from genlab.charts import Axes, Chart

_ACROSS = 4
_HEIGHT = 2.1

Draw = Callable[["Axes"], None]


def chart(search: Search, result: Result) -> Chart | None:
    """Draw the sheet, or return None if no trial has a value."""
    done = completed(search)
    if not done:
        return None
    draws = _draws(search, result, done)
    across = min(_ACROSS, len(draws))
    sheet, grid = panels(-(-len(draws) // across), across, left=0.85, height=_HEIGHT, gap=0.95, foot=0.35)
    places = [panel for row in grid for panel in row]
    for panel, draw in zip(places, draws, strict=False):
        draw(panel)
    for panel in places[len(draws) :]:
        panel.remove()
    return sheet


def _draws(search: Search, result: Result, done: Sequence[FrozenTrial]) -> list[Draw]:
    plan, draws = search.plan, list[Draw]()
    for first, second in combinations(range(len(plan.metrics)), 2):
        draws.append(partial(_front, search, done, first, second))
    for place, metric in enumerate(plan.metrics):
        draws.append(partial(_history, search, done, place))
        if shares := result.importances.get(metric):
            draws.append(partial(_bars, metric, shares))
        draws += [partial(_slice, search, done, place, name) for name in plan.space]
    return draws


def _history(search: Search, done: Sequence[FrozenTrial], place: int, panel: Axes) -> None:
    """Draw the value of each trial by its number, and the best value so far as a line."""
    metric = search.plan.metrics[place]
    numbers, values = [trial.number for trial in done], [trial.values[place] for trial in done]
    better = max if search.plan.directions[place] == "maximize" else min
    panel.step(numbers, list(accumulate(values, better)), where="post", color=BEST, label="best so far")
    panel.plot(numbers, values, "o", color=POINT, markersize=4, label="finished")
    for state, mark, colour in (("PRUNED", "x", OTHERS[0]), ("FAIL", "+", "#aa2222")):
        gone = [trial.number for trial in search.finished if trial.state.name == state]
        if gone:
            # They have no value that compares, so they stand at the edge.
            edge = max(values) if better is min else min(values)
            label = "pruned" if state == "PRUNED" else "failed"
            panel.plot(gone, [edge] * len(gone), mark, color=colour, markersize=4, label=label)
    scale(panel, "y", values)
    panel.set_xlabel("trial", fontsize=8.5)
    panel.locator_params(axis="x", integer=True)
    panel.legend(fontsize=7, frameon=False)
    dress(panel, metric, "by trial")


def _bars(metric: str, shares: dict[str, float], panel: Axes) -> None:
    """Draw the share of the variance that each setting explains, the largest at the top."""
    names = sorted(shares, key=lambda name: shares[name])
    places = range(len(names))
    panel.barh(places, [shares[name] for name in names], color=POINT, height=0.6)
    panel.set_xlim(0, 1.05)
    panel.set_yticks([])
    for place, name in zip(places, names, strict=True):
        # Inside the panel, because names of settings are longer than the room beside it.
        panel.text(0.02, place + 0.33, f"{_short(name)}  {shares[name]:.0%}", fontsize=7.5, va="bottom")
    panel.set_ylim(-0.6, len(names) - 0.1)
    panel.set_xlabel("share of the variance", fontsize=8.5)
    dress(panel, metric, "importance of each setting")


def _slice(search: Search, done: Sequence[FrozenTrial], place: int, name: str, panel: Axes) -> None:
    """Draw the value of each trial by the value of one setting; the best trial has another colour."""
    one: Any = search.plan.space[name]
    points = [(trial.params[name], trial.values[place]) for trial in done]
    better = max if search.plan.directions[place] == "maximize" else min
    best = better(value for _, value in points)
    if hasattr(one, "choices"):
        known = list(one.choices)
        panel.set_xticks(range(len(known)), [textwrap.shorten(str(choice), 14, placeholder="...") for choice in known])
        panel.set_xlim(-0.6, len(known) - 0.4)
        points = [(known.index(choice), value) for choice, value in points]
    elif one.log:
        panel.set_xscale("log")
        panel.tick_params(axis="x", which="minor", labelsize=8)
    # The best one last, so that no other point covers it.
    for along, value in sorted(points, key=lambda point: point[1] == best):
        panel.plot(along, value, "o", color=BEST if value == best else POINT, markersize=4, alpha=0.8)
    scale(panel, "y", [value for _, value in points])
    panel.grid(axis="y", color="#eeeeee")
    panel.set_xlabel(_short(name), fontsize=8.5)
    dress(panel, search.plan.metrics[place], f"by {_short(name)}")


def _front(search: Search, done: Sequence[FrozenTrial], first: int, second: int, panel: Axes) -> None:
    """Draw two metrics against each other; the trials on the front have another colour."""
    best = {trial.number for trial in front(search)}
    for trial in sorted(done, key=lambda trial: trial.number in best):
        colour = BEST if trial.number in best else POINT
        panel.plot(trial.values[first], trial.values[second], "o", color=colour, markersize=4)
        if trial.number in best:
            where = (trial.values[first], trial.values[second])
            panel.annotate(str(trial.number), where, fontsize=7, xytext=(3, 3), textcoords="offset points")
    scale(panel, "x", [trial.values[first] for trial in done])
    scale(panel, "y", [trial.values[second] for trial in done])
    panel.set_xlabel(search.plan.metrics[first], fontsize=8.5)
    panel.set_ylabel(search.plan.metrics[second], fontsize=8.5)
    dress(panel, "front", "with the numbers of its trials")


def _short(name: str, most: int = 26) -> str:
    return name if len(name) <= most else f"...{name[3 - most :]}"
