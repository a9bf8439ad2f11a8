"""Vary one unit of a code at a time, and see what it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from genlab.contract import Batch, Decodes, Draws, Encodes, Weighs, home
from genlab.data import held_out
from genlab.data.dataset import Column
from genlab.kinds import Kind, Points, Row
from genlab.lab import sefa
from genlab.lab.given import given
from genlab.lab.inputs import Inputs
from genlab.lab.interpolate import dots, points_behind, test_items, told_classes
from genlab.lab.prior import Mixture, Prior
from genlab.lab.results import Format, Results
from genlab.lab.run import Label, PriorName, at_least, whole
from genlab.lab.styles import layers_of, styled
from genlab.metrics.codes import kl_of_units
from genlab.metrics.disentanglement import information
from genlab.registry import ConfigError

if TYPE_CHECKING:
    from genlab.lab.run import Run

KL, VARIANCE, CHANGE, STRENGTH = "KL", "variance", "change", "strength"
"""The metrics of a unit: nats and variance over the data, or the change of the item if the model does not encode.

The strength of a direction is the change of the layers' factors for a step of length 1.
"""

Axes = Literal["units", "sefa"]
"""Units of codes, or directions of styles."""

_MEASURED = 2_000
"""Test items whose codes order and describe the units."""
_FOLLOWS = 0.1
"""A unit follows a factor if it holds at least this share of the factor's entropy."""


@dataclass(frozen=True)
class Unit:
    """One unit of a code, and what is known about it."""

    number: int
    metrics: dict[str, float]
    """By name; the first one is the metric that orders the units."""
    factors: dict[str, float]
    """Information of the unit about each known factor of the data, as a share of the factor's entropy."""
    word: str = "unit"
    """`unit`, or `direction` if styles are varied along directions."""

    @property
    def follows(self) -> tuple[str, float] | None:
        """The factor that the unit knows most about, and how much; None if it follows no factor."""
        name = max(self.factors, key=self.factors.__getitem__, default=None)
        return None if name is None or self.factors[name] < _FOLLOWS else (name, self.factors[name])

    @property
    def caption(self) -> str:
        """The caption of a row."""
        name, value = next(iter(self.metrics.items()))
        parts = [f"{self.word} {self.number}: {name} {value:.3g}{' nats' if name == KL else ''}"]
        if self.follows:
            parts.append(f"follows {self.follows[0]} ({self.follows[1]:.0%})")
        return ", ".join(parts)


@dataclass(frozen=True)
class Traversal:
    """Items in which one unit of a code is varied, U units and S values of each."""

    kind: Kind
    units: tuple[Unit, ...]
    values: Tensor
    """The values of each unit, U x S."""
    items: Tensor
    """U x S x the shape of one item."""
    code: Tensor
    """The code whose units are varied, D, or the style that is varied."""
    start: Tensor
    """The item and its reconstruction, or the sample of the drawn code."""
    data: Tensor | None = None
    """Points of the data, which are shown beside points."""
    sentences: tuple[str, ...] = ()

    @property
    def table(self) -> dict[str, dict[str, float | str]]:
        """The metrics of each unit and the factor that it follows, by the name of the unit."""
        return {f"{unit.word} {unit.number}": {**unit.metrics, **_followed(unit)} for unit in self.units}

    def write(self, results: Results, form: Format = "png") -> None:
        """Write a sheet with a row for each unit, an animation and a table; with `npz` also the items as arrays."""
        data = [] if self.data is None else [Row("data", self.data)]
        rows = [Row(unit.caption, self._dots(items)) for unit, items in zip(self.units, self.items, strict=True)]
        first = Row("item, reconstruction" if len(self.start) > 1 else "sample", self._dots(self.start))
        results.sheet("traversal", self.kind, [*data, first, *rows])
        frames = [self.kind.exhibit([*data, *self._frame(step)]).picture for step in range(self.values.shape[1])]
        if pictures := [frame for frame in frames if frame]:
            results.animation("traversal", pictures)
        names = list(dict.fromkeys(name for unit in self.units for name in (*unit.metrics, *unit.factors)))
        known = [{**unit.metrics, **unit.factors} for unit in self.units]
        rows_of_table = [
            [unit.number, *(row.get(name, "") for name in names)] for unit, row in zip(self.units, known, strict=True)
        ]
        word = self.units[0].word
        results.table(f"{word}s", [word, *names], rows_of_table)
        if form == "npz":
            numbers = torch.tensor([unit.number for unit in self.units])
            columns = {word: numbers, "value": self.values}
            results.items("traversal", [], self.kind, self.items.flatten(0, 1), "npz", **columns)

    def _frame(self, step: int) -> list[Row]:
        """Return one picture of the animation: all units at the same step, or the points up to it."""
        numbers = [str(unit.number) for unit in self.units]
        if self.data is not None:
            parts = [self._dots(items[: step + 1]) for items in self.items]
            return [Row(f"{self.units[0].word} {number}", part) for number, part in zip(numbers, parts, strict=True)]
        return [Row(f"{self.units[0].word}s {', '.join(numbers)}", self.items[:, step])]

    def _dots(self, items: Tensor) -> Tensor:
        return items if self.data is None else dots(items, self.data)


@dataclass(frozen=True)
class _Codes:
    """Codes of data items, and what orders their units."""

    means: Tensor
    metrics: dict[str, Tensor]
    """By name, a value for each unit; the first one orders the units."""
    factors: dict[str, list[float]]


def traverse(
    run: Run,
    picture: Inputs | None = None,
    *,
    units: int = 8,
    steps: int = 9,
    reach: float = 2.5,
    directions: Axes = "units",
    layers: str | Sequence[int] | None = None,
    label: Label | None = None,
    prior: PriorName = "auto",
    seed: int = 0,
) -> Traversal:
    """Vary one unit at a time in the code of an item or of a sample; see `Run.traverse`."""
    if not isinstance(run.model, Decodes):
        raise run._cannot("decode")
    units, steps = at_least(1, "units", units), at_least(2, "steps", steps)
    if not 0 < reach < float("inf"):
        raise ConfigError(f"reach must be a number above 0, got {reach}.")
    if directions not in get_args(Axes):
        raise ConfigError(f"directions must be one of {', '.join(get_args(Axes))}, got {directions!r}.")
    if layers is not None and directions == "units":
        raise ConfigError("layers belong to directions of styles. Leave them out, or set directions to sefa.")
    if directions == "sefa":
        styled(run)
    item, code, condition, sentences = _start(run, picture, label, prior, seed)
    if directions == "sefa":
        return _along_directions(run, code, condition, units, steps, reach, layers, sentences)
    measured = _measured(run) if isinstance(run.model, Encodes) else None
    centre, std = _range(run, measured, prior)
    offsets = torch.linspace(-reach, reach, steps)
    every = centre.unsqueeze(1) + std.unsqueeze(1) * offsets
    metrics = measured.metrics if measured else {CHANGE: _change(run, code, condition, every)}
    chosen = next(iter(metrics.values())).argsort(descending=True, stable=True)[:units]
    factors = measured.factors if measured else {}
    kind, decoded = run.kinds["x"], run._decoded(code[None], condition, "decoding")
    return Traversal(
        kind=kind,
        units=tuple(
            Unit(
                number,
                {name: float(values[number]) for name, values in metrics.items()},
                {name: shares[number] for name, shares in factors.items()},
            )
            for number in chosen.tolist()
        ),
        values=every[chosen],
        items=_varied(run, code, condition, chosen, every[chosen]),
        code=code,
        start=decoded if item is None else torch.cat([item, decoded]),
        data=points_behind(run) if isinstance(kind, Points) else None,
        sentences=sentences,
    )


def _along_directions(
    run: Run,
    code: Tensor,
    condition: Batch,
    units: int,
    steps: int,
    reach: float,
    layers: str | Sequence[int] | None,
    sentences: tuple[str, ...],
) -> Traversal:
    """Vary the style of a code along the directions that change the layers most."""
    count = styled(run).layers
    chosen = layers_of(range(count) if layers is None else layers, count)
    found = sefa.along(run, code, condition, chosen, units, steps, reach)
    named = [
        Unit(number, {STRENGTH: strength}, {}, "direction") for number, strength in enumerate(found.strengths.tolist())
    ]
    return Traversal(
        run.kinds["x"], tuple(named), found.values, found.items, found.style, found.start, sentences=sentences
    )


def _start(
    run: Run, picture: Inputs | None, label: Label | None, prior: PriorName, seed: int
) -> tuple[Tensor | None, Tensor, Batch, tuple[str, ...]]:
    """Return the item, if there is one, the code that is varied, its condition, and sentences about them."""
    if isinstance(run.model, Encodes):
        items = test_items(run, 1, whole("seed", seed)) if picture is None else given(run, picture, count=1).items
        if len(items) != 1:
            raise ConfigError(f"Pass one item to traverse, got {len(items)}.")
        condition = run._told(items, label)
        code = run.encode(items, label=condition.get("label"))[0]
        return items, code, condition, told_classes(run, condition, inferred=label is None)
    if picture is not None:
        raise ConfigError(
            f"{run.name} cannot encode {run.kinds['x'].plural}. Leave out the item: the code is drawn, and another "
            f"seed draws another one: genlab traverse {run.path} --seed 1"
        )
    codes, condition = run.draw(1, label=label, seed=seed, prior=prior)
    condition = {name: values.cpu() for name, values in condition.items()}
    drawn = f"The code is drawn with seed {seed}."
    return None, codes[0], condition, (drawn, *told_classes(run, condition, inferred=False))


@torch.no_grad()
def _measured(run: Run) -> _Codes:
    """Encode test items, and measure each unit."""
    model, dataset, device = run.model, run.dataset, home(run.model)
    assert isinstance(model, Encodes)
    split = "test" if len(dataset.splits["test"]) > 1 else "train"
    rows = held_out.chosen(dataset, split, _MEASURED)
    means, log_variances = list[Tensor](), list[Tensor]()
    for batch in held_out.batches(dataset, rows, device):
        told = run._with_condition({"x": batch["x"]})
        if isinstance(model, Weighs):
            mean, log_variance = model.posterior(told)
            log_variances.append(log_variance.float().cpu())
        else:
            mean = model.encode(told)
        means.append(mean.float().cpu())
    codes = torch.cat(means)
    metrics = {VARIANCE: codes.var(0)}
    if log_variances:
        metrics = {KL: kl_of_units(codes, torch.cat(log_variances)), **metrics}
    attributes = {name: Column(column.kind, column.rows[rows]) for name, column in dataset.attributes.items()}
    return _Codes(codes, metrics, information(codes, attributes) if attributes else {})


def _range(run: Run, measured: _Codes | None, prior: PriorName) -> tuple[Tensor, Tensor]:
    """Return the mean and the std of each unit under the prior, or without a prior over the data."""
    fitted = run._prior(prior)
    if fitted is not None:
        mean, std = moments(fitted)
        return mean.float(), std.float()
    if isinstance(run.model, Draws):
        return torch.zeros(run.model.latent_dim), torch.ones(run.model.latent_dim)
    assert measured is not None
    return measured.means.mean(0), measured.means.std(0)


def moments(prior: Prior) -> tuple[Tensor, Tensor]:
    """Return the mean and the std of each unit under a fitted prior."""
    if not isinstance(prior, Mixture):
        return prior.mean, prior.scale
    variances = prior.factors.square().sum(2) + (prior.means - prior.mean).square()
    return prior.mean, (prior.weights @ variances).sqrt()


def _varied(run: Run, code: Tensor, condition: Batch, units: Tensor, values: Tensor) -> Tensor:
    """Decode the code with each of these units set to each of its values: U x S x the shape of one item."""
    codes = code.repeat(*values.shape, 1)
    for row, unit in enumerate(units.tolist()):
        codes[row, :, unit] = values[row]
    repeated = {name: entry.expand(values.numel()) for name, entry in condition.items()}
    items = run._decoded(codes.flatten(0, 1), repeated, "decoding")
    return items.view(*values.shape, *items.shape[1:])


def _change(run: Run, code: Tensor, condition: Batch, values: Tensor) -> Tensor:
    """Return the root mean square difference of the items at the ends of each unit's range."""
    ends = _varied(run, code, condition, torch.arange(len(code)), values[:, [0, -1]]).float()
    change: Tensor = (ends[:, 1] - ends[:, 0]).square().flatten(1).mean(1).sqrt()
    return change


def _followed(unit: Unit) -> Mapping[str, float | str]:
    if not unit.factors:
        return {}
    name, share = unit.follows or ("-", max(unit.factors.values()))
    return {"follows": name, "share": share}
