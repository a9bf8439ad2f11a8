"""Paths between pictures, or between samples, through the codes of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from genlab.contract import Batch, Decodes, Draws, Encodes, conditions
from genlab.data import held_out
from genlab.kinds import Exhibit, Image, Kind, Points, Row, Spectrogram, Tokens
from genlab.lab.features import Features
from genlab.lab.flow import normalised
from genlab.lab.given import given
from genlab.lab.inputs import Inputs
from genlab.lab.results import Format, Results
from genlab.lab.run import Label, PriorName, at_least, whole
from genlab.metrics.paths import detour, largest_step, length
from genlab.randomness import generator
from genlab.registry import ConfigError
from genlab.training.console import Console
from genlab.training.interpolation import evenly, linear, spherical

if TYPE_CHECKING:
    from genlab.lab.run import Run

Mode = Literal["linear", "spherical"]
FADE = "cross-fade"

_MOST_ENDS = 20
_SHOWN, _HEARD, _CLOUD = 16, 4, 1000
"""Pictures in a row of the strip, sounds that it plays, and points of the data behind a path of points."""


@dataclass(frozen=True)
class Ends:
    """The items or samples that a path goes through."""

    codes: Tensor
    """N x D."""
    condition: Batch
    """The class of each end, for a conditional model."""
    items: Tensor
    """The pictures themselves, or the samples: N x the shape of one item."""
    sentences: tuple[str, ...] = ()
    """Facts about the ends for the user."""


@dataclass(frozen=True)
class Interpolation:
    """A path through the codes of a model, and the paths that it is compared with."""

    kind: Kind
    mode: Mode
    reason: str
    """The reason for the mode, as a sentence."""
    items: Tensor
    """The decoded path: F x the shape of one item, with the ends."""
    codes: Tensor
    """F x D."""
    positions: Tensor
    """The position of each item, F: 0 at the first end, 1 at the second, and so on."""
    condition: Batch
    compared: dict[str, Tensor]
    """Items of the same positions: by the other mode, and by mixing the pixels or coordinates of the ends."""
    features: Features
    data: Tensor | None = None
    """Points of the data, which are shown behind a path of points."""
    sentences: tuple[str, ...] = field(default=())

    @cached_property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Length and smoothness of each path in a feature space, by its name; computed at first use.

        `length` is the sum of all steps. `detour` is the length over the distance of the ends. `largest step` is the
        largest step over the mean step, 1 if the path moves evenly. Both are means over the parts of a chain.
        """
        return {name: self._measured(items) for name, items in {self.mode: self.items, **self.compared}.items()}

    def _measured(self, items: Tensor) -> dict[str, float]:
        parts = self._parts(self.features.of(items))
        return {
            "length": sum(length(part) for part in parts),
            "detour": sum(detour(part) for part in parts) / len(parts),
            "largest step": sum(largest_step(part) for part in parts) / len(parts),
        }

    def _parts(self, rows: Tensor) -> list[Tensor]:
        """Return the part between each two ends, with both of them."""
        ends = int(self.positions[-1])
        return [rows[(self.positions >= end) & (self.positions <= end + 1)] for end in range(ends)]

    def write(self, results: Results, form: Format = "png") -> None:
        """Write the strip with all paths and an animation; with `npz` also the path as a file of arrays."""
        results.exhibit("interpolation", self._strip())
        frames = [self.kind.exhibit(self._frame(place)).picture for place in range(len(self.items))]
        if pictures := [frame for frame in frames if frame]:
            results.animation("interpolation", pictures)
        if form == "npz":
            results.items(
                "frames", [], self.kind, self.items, "npz", codes=self.codes, position=self.positions, **self.condition
            )

    def _strip(self) -> Exhibit:
        """Show a row for each path; a chain has a row for each part."""
        rows = list[Row]()
        for name, items in {self.mode: self.items, **self.compared}.items():
            caption = f"{name}, through the codes" if name != FADE else f"{FADE}, without the model"
            if self.data is not None:
                rows.append(Row(caption, dots(items, self.data)))
                continue
            parts = [part[_spread(len(part), _SHOWN)] for part in self._parts(items)]
            rows += [Row(caption if number == 0 else "", part) for number, part in enumerate(parts)]
        if self.data is not None:
            rows = [Row("data", self.data), *rows]
        shown = self.kind.exhibit(rows)
        if isinstance(self.kind, Spectrogram):
            heard = self.items[_spread(len(self.items), _HEARD)]
            return Exhibit(shown.picture, shown.text, self.kind.exhibit([Row("", heard)]).sound)
        return shown

    def _frame(self, place: int) -> list[Row]:
        """Return one picture of the animation: an item, or the points up to this one beside the data."""
        if self.data is None:
            return [Row("", self.items[place : place + 1])]
        return [Row("data", self.data), Row("path", dots(self.items[: place + 1], self.data))]


def interpolate(
    run: Run,
    inputs: Inputs | None = None,
    *,
    seeds: Sequence[int] | None = None,
    steps: int = 12,
    mode: Mode | None = None,
    label: Label | None = None,
    prior: PriorName = "auto",
    seed: int = 0,
    features: str | None = None,
    console: Console | None = None,
) -> Interpolation:
    """Return the path between items, or between samples of these seeds; see `Run.interpolate`."""
    if not isinstance(run.model, Decodes):
        raise run._cannot("decode")
    steps = at_least(3, "steps", steps)
    if mode is not None and mode not in get_args(Mode):
        raise ConfigError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}.")
    ends = ends_of(run, inputs, seeds, label=label, prior=prior, seed=seed)
    usual, reason = usual_mode(run, prior)
    chosen: Mode = mode or usual
    other: Mode = "linear" if chosen == "spherical" else "spherical"
    way, kind = evenly(steps), run.kinds["x"]
    positions = _chained(torch.arange(len(ends.codes) - 1).unsqueeze(1) + way)
    # The condition is that of the nearest end.
    condition = {name: values[(positions + 0.5).long()] for name, values in ends.condition.items()}
    modes: tuple[Mode, ...] = (chosen, other)
    codes = {name: _chained(between(run, ends.codes[:-1], ends.codes[1:], way, name, prior)) for name in modes}
    items = {name: run._decoded(path, condition, "decoding") for name, path in codes.items()}
    fade = {} if isinstance(kind, Tokens) else {FADE: _chained(linear(ends.items[:-1], ends.items[1:], way))}
    return Interpolation(
        kind=kind,
        mode=chosen,
        reason=reason if chosen == usual else f"You chose this mode; the default is {usual}. {reason}",
        items=items[chosen],
        codes=codes[chosen],
        positions=positions,
        condition=condition,
        compared={other: items[other], **fade},
        features=Features(run, features or _usual_features(kind), console=console),
        data=points_behind(run) if isinstance(kind, Points) else None,
        sentences=ends.sentences,
    )


def usual_mode(run: Run, prior: PriorName = "auto") -> tuple[Mode, str]:
    """Return the mode that fits the distribution of the codes, and the reason."""
    if run._prior(prior):
        return "spherical", "The path is an arc between the standard normal numbers from which the fitted prior draws."
    if isinstance(run.model, Draws):
        return "spherical", "Codes have a prior around 0: an arc keeps their length, and a line shortens it."
    return "linear", "The codes have no prior around 0, so the path is a line."


def between(run: Run, start: Tensor, end: Tensor, positions: Tensor, mode: Mode, prior: PriorName = "auto") -> Tensor:
    """Return the codes on the path from each code to another, N x A x D for codes N x D and A positions from 0 to 1.

    A linear path is straight. A spherical path follows an arc between the standard normal numbers from which the
    prior draws: these are the codes themselves, or those that the map of the fitted prior gives.
    """
    fitted = run._prior(prior)
    if mode == "linear":
        return linear(start, end, positions)
    if fitted is None:
        return spherical(start, end, positions)
    space = normalised(fitted)
    arcs = spherical(space.numbers(start), space.numbers(end), positions)
    path = space.codes(arcs.flatten(0, 1)).view(len(start), len(positions), -1)
    # The map rounds, and the ends of the path are exactly the given codes.
    path[:, positions == 0], path[:, positions == 1] = start.unsqueeze(1), end.unsqueeze(1)
    return path


def ends_of(
    run: Run,
    inputs: Inputs | None,
    seeds: Sequence[int] | None,
    *,
    label: Label | None = None,
    prior: PriorName = "auto",
    seed: int = 0,
) -> Ends:
    """Return the codes of items or of samples; without both, of two test items that the seed selects."""
    if seeds is not None and inputs is not None:
        raise ConfigError("Pass pictures or seeds, not both.")
    if seeds is None:
        return _of_items(run, inputs, label, whole("seed", seed))
    return _of_seeds(run, tuple(seeds), label, prior)


def _of_items(run: Run, inputs: Inputs | None, label: Label | None, seed: int) -> Ends:
    if not isinstance(run.model, Encodes):
        raise ConfigError(
            f"{run.name} cannot encode {run.kinds['x'].plural}, so it finds no path between them. "
            f"Interpolate between samples: genlab interpolate {run.path} --seeds 1,2"
        )
    items = test_items(run, 2, seed) if inputs is None else given(run, inputs, count=2).items
    _check_ends(list(items), run.kinds["x"].plural)
    condition = run._told(items, label)
    codes = run.encode(items, label=condition.get("label"))
    return Ends(codes, condition, items, told_classes(run, condition, inferred=label is None))


def _of_seeds(run: Run, seeds: tuple[int, ...], label: Label | None, prior: PriorName) -> Ends:
    seeds = tuple(whole("seeds", each) for each in seeds)
    _check_ends([torch.tensor(each) for each in seeds], "seeds")
    classes, labels = conditions(run.model).get("label"), None
    if classes:
        labels = run._condition(0 if label is None else label, len(seeds), drawing=True)["label"]
    elif label is not None:
        run._condition(label, len(seeds), drawing=True)
    drawn = [
        run.draw(1, label=None if labels is None else labels[place : place + 1], seed=each, prior=prior)
        for place, each in enumerate(seeds)
    ]
    codes = torch.cat([part for part, _ in drawn])
    condition = {name: torch.cat([part[name].cpu() for _, part in drawn]) for name in drawn[0][1]}
    items = run._decoded(codes, condition, "decoding")
    return Ends(codes, condition, items, told_classes(run, condition, inferred=False))


def test_items(run: Run, count: int, seed: int) -> Tensor:
    """Return test items that the seed selects."""
    dataset = run.dataset
    rows = dataset.splits["test"] if len(dataset.splits["test"]) else dataset.splits["train"]
    order = torch.randperm(len(rows), generator=generator(seed, "lab/test items"))
    found = held_out.batches(dataset, rows[order[:count]], torch.device("cpu"))
    return torch.cat([batch["x"] for batch in found])


def _check_ends(ends: Sequence[Tensor], what: str) -> None:
    if len(ends) < 2:
        raise ConfigError(f"A path needs at least two {what}, got {len(ends)}.")
    if len(ends) > _MOST_ENDS:
        raise ConfigError(f"A path goes through at most {_MOST_ENDS} {what}, got {len(ends)}.")
    for number, (one, next_one) in enumerate(zip(ends, ends[1:], strict=False), 1):
        if torch.equal(one, next_one):
            pair = f"{what.capitalize()} {number} and {number + 1}"
            raise ConfigError(f"{pair} are equal, so there is no path between them.")


def told_classes(run: Run, condition: Batch, inferred: bool) -> tuple[str, ...]:
    """Say which classes the ends have, and who said so."""
    classes = conditions(run.model).get("label")
    if not classes or "label" not in condition:
        return ()
    names = [classes.names[number] for number in condition["label"].tolist()]
    if len(set(names)) == 1:
        return (f"The class is {names[0]}{', as the model infers' if inferred else ''}.",)
    listed = ", ".join(names)
    return (
        f"The classes of the ends are {listed}{', as the model infers' if inferred else ''}; "
        "the path changes the class halfway.",
    )


def _chained(parts: Tensor) -> Tensor:
    """Return the parts of a chain, N x A x an item, one after the other; neighbours share an end."""
    return torch.cat([parts[0], *(part[1:] for part in parts[1:])])


def _spread(count: int, most: int) -> Tensor:
    """Return at most this many of `count` indices, evenly spaced, with the first and the last."""
    return evenly(min(count, most)).mul(count - 1).round().long()


def dots(points: Tensor, data: Tensor) -> Tensor:
    """Return more points, so that each point of a plane is drawn as a dot beside the data; others stay as they are."""
    if points.shape[1] != 2:
        return points
    pixel = float(data.max() - data.min()) / 128
    around = torch.cartesian_prod(*[torch.tensor([-pixel, 0.0, pixel])] * 2)
    return (points.unsqueeze(1) + around).flatten(0, 1)


def points_behind(run: Run) -> Tensor:
    """Return points of the data, which are shown beside points on a path."""
    return test_items(run, _CLOUD, 0)


def _usual_features(kind: Kind) -> str | None:
    """Return features that need no training, so that the table is there at once; None for the features of the data."""
    return "random" if isinstance(kind, Image) else None
