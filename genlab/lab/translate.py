"""Translate pictures with a trained model: into another domain, or from an input to its target."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from genlab.contract import Restores, Translates, home
from genlab.data import held_out
from genlab.evaluation.translation import redrawn
from genlab.kinds import Classes, Image
from genlab.lab.abilities import cannot
from genlab.lab.given import Given, given
from genlab.lab.inputs import Inputs
from genlab.lab.methods import MODEL, Values, draw, means, measured, write_metrics
from genlab.lab.results import Format, Results, as_picture
from genlab.lab.run import Run, at_least, in_parts
from genlab.lab.side_by_side import side_by_side
from genlab.randomness import reseed
from genlab.registry import ConfigError
from genlab.runs.run import Run as Folder

COUNT = 48
"""Items of a data set that are translated."""
INPUT, TRANSLATED, TARGET, BACK, REDRAWN = "input", "translated", "target", "and back", "redrawn"
_LONGEST = 128
"""Smaller pictures are enlarged by a whole number in a comparison, up to about this many pixels."""


@dataclass(frozen=True)
class Translated:
    """Pictures and their translations."""

    given: Given
    """The inputs, as the model sees them."""
    kind: Image
    """The kind of the translations."""
    rows: dict[str, Tensor]
    """The pictures that a sheet shows: `input`, `translated`, and what is known besides: `target`, `and back`."""
    metrics: dict[str, Values] = field(default_factory=dict)
    """By method: one value for each picture, by the name of the metric. Empty if no target is known."""
    notes: tuple[str, ...] = ()
    """Sentences about what was translated."""

    @property
    def translated(self) -> Tensor:
        """The translations, N x C x H x W in [0, 1]."""
        return self.rows[TRANSLATED]

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """The mean of each metric over the pictures, by method."""
        return means(self.metrics)

    def write(self, results: Results, form: Format = "png", *, compare: bool = False) -> None:
        """Write a sheet, the translations as single files or as arrays, and the metrics of each picture.

        With `compare`, there is also a file NAME-compare.png for each picture, with all of its versions side by side.
        """
        draw(results, self.kind, self.rows)
        if self.metrics:
            write_metrics(results, self.given, self.metrics)
        results.items("translated", self.given.files, self.kind, self.translated, form)
        for place, name in enumerate(self.given.files if compare else ()):
            panels = {label: as_picture(items[place]) for label, items in self.rows.items()}
            times = max(1, _LONGEST // max(panels[TRANSLATED].size))
            large = {
                label: panel.resize((panel.width * times, panel.height * times), 0) for label, panel in panels.items()
            }
            results.picture(f"{name}-compare", side_by_side(large))


def translate(
    run: Run,
    inputs: Inputs | None = None,
    *,
    to: str | int | None = None,
    as_is: bool = False,
    count: int = COUNT,
    seed: int = 0,
    skip_bad: bool = False,
) -> Translated:
    """Translate pictures; see `Run.translate`."""
    model, count = refuse_unable(run), at_least(1, "count", count)
    if model.domains:
        if as_is:
            raise ConfigError(f"{run.name} always translates pictures as they are. Leave out as_is.")
        return _between_domains(run, model, inputs, to, count, skip_bad)
    if to is not None:
        raise ConfigError(f"{run.name} translates in one direction only, got to={to!r}. Leave out the class.")
    return _to_targets(run, model, inputs, as_is, count, seed, skip_bad)


def refuse_unable(run: Run) -> Translates:
    """Return the model of a run; raise a ConfigError if it cannot translate."""
    if "translate" not in run.abilities or not isinstance(run.model, Translates):
        advice = "Train a model that can: genlab train model=pix2pix, or model=cyclegan"
        raise cannot(Folder(run.path), "translate", run.abilities, advice)
    return run.model


def _to_targets(
    run: Run, model: Translates, inputs: Inputs | None, as_is: bool, count: int, seed: int, skip_bad: bool
) -> Translated:
    """Translate inputs to targets. The inputs are made from pictures if the model can do that."""
    pairs, kind = "y" in run.kinds and run.config["model"].get("task") == "pairs", run.kinds["x"]
    assert isinstance(kind, Image)
    if pairs and inputs is None:
        items, truth = (given(run, None, count=count, column=column) for column in ("y", "x"))
        return _measured(model, items, kind, truth.items)
    if pairs or as_is:
        items = given(run, inputs, count=count, kind=model.source, skip_bad=skip_bad)
        return _measured(model, items, kind, None)
    pictures = given(run, inputs, count=count, skip_bad=skip_bad)
    assert isinstance(model, Restores)
    reseed(home(run.model), seed, "lab/translate")
    sources = in_parts(
        lambda places: model.damage({"x": pictures.items[places].to(home(run.model))})[0],
        torch.arange(len(pictures)),
        "preparing",
    )
    return _measured(model, replace(pictures, items=sources), kind, pictures.items)


def _measured(model: Translates, items: Given, kind: Image, truth: Tensor | None) -> Translated:
    """Translate inputs, and compare the results with the targets if these are known."""
    found = _translated(model, items.items, None)
    rows = {INPUT: items.items, TRANSLATED: found}
    if truth is None:
        return Translated(items, kind, rows)
    metrics = {MODEL: measured(kind, found, truth), INPUT: measured(kind, items.items.expand_as(truth), truth)}
    return Translated(items, kind, {**rows, TARGET: truth}, metrics)


def _between_domains(
    run: Run, model: Translates, inputs: Inputs | None, to: str | int | None, count: int, skip_bad: bool
) -> Translated:
    """Translate pictures into the domain `to`, or pictures of known classes into the other domain."""
    kind, classes = run.kinds["x"], run.kinds["label"]
    assert isinstance(kind, Image)
    assert isinstance(classes, Classes)
    wanted = None if to is None else _domain(model, classes, to)
    if inputs is None:
        items, rows = _own(run, model, wanted, count)
    else:
        items, rows = given(run, inputs, count=count, skip_bad=skip_bad), None
    label = items.columns.get("label") if items.kinds.get("label", classes) == classes else None
    if wanted is None and label is None:
        named = " or ".join(repr(classes.names[number]) for number in model.domains)
        raise ConfigError(f"The class of these pictures is not known. Say what they are translated to: {named}.")
    first, second = model.domains
    if wanted is not None:
        target = torch.full((len(items),), wanted)
    else:
        assert label is not None
        target = torch.where(label == second, first, second)
    found = _translated(model, items.items, target)
    pictures = {INPUT: items.items, TRANSLATED: found}
    pictures[BACK] = _translated(model, found, torch.where(target == first, second, first))
    truth = None if rows is None else _redrawn(run, rows, target)
    notes = tuple(_sentence(classes, model, target, number) for number in model.domains if (target == number).any())
    if truth is None:
        return Translated(items, kind, pictures, notes=notes)
    metrics = {MODEL: measured(kind, found, truth), INPUT: measured(kind, items.items, truth)}
    return Translated(items, kind, {**pictures, REDRAWN: truth}, metrics, notes)


def _domain(model: Translates, classes: Classes, to: str | int) -> int:
    """Return the number of a domain; raise a ConfigError for another class of the data."""
    number = classes.number(to)
    if number not in model.domains:
        named = " or ".join(repr(classes.names[each]) for each in model.domains)
        raise ConfigError(f"The model translates to {named}, got {classes.names[number]!r}.")
    return number


def _own(run: Run, model: Translates, wanted: int | None, count: int) -> tuple[Given, Tensor]:
    """Return test items of the run's own data that are in the other domain, and their rows."""
    dataset, name = run.dataset, str(run.config["data"]["name"])
    part = dataset.of_classes([number for number in model.domains if number != wanted])
    split = "test" if len(part.splits["test"]) else "train"
    rows = held_out.spread(part, split, count)
    if not len(rows):
        raise ConfigError(f"The {split} split of {name} has no items that can be translated. Pass files.")
    items = torch.cat([batch["x"] for batch in held_out.batches(dataset, rows, torch.device("cpu"))])
    names = tuple(f"{name}/{split}/{row}" for row in rows.tolist())
    assert dataset.labels is not None
    return Given(items, names, {"label": dataset.labels[rows]}, files=names), rows


def _redrawn(run: Run, rows: Tensor, target: Tensor) -> Tensor | None:
    """Return the same items drawn with their new class, if the data can be drawn."""
    parts = dict[int, Tensor]()
    for number in sorted(set(target.tolist())):
        found = redrawn(run.dataset, rows[target == number], number)
        if found is None:
            return None
        parts[number] = found
    whole = torch.empty(len(rows), *next(iter(parts.values())).shape[1:])
    for number, found in parts.items():
        whole[target == number] = found
    return whole


def _translated(model: Translates, images: Tensor, to: Tensor | None) -> Tensor:
    assert isinstance(model, torch.nn.Module)
    place = home(model)

    def apply(places: Tensor) -> Tensor:
        return model.translate(images[places].to(place), None if to is None else to[places].to(place))

    return in_parts(apply, torch.arange(len(images)), "translating")


def _sentence(classes: Classes, model: Translates, target: Tensor, number: int) -> str:
    other = next(each for each in model.domains if each != number)
    count = int((target == number).sum())
    return f"{count:,} from {classes.names[other]!r} to {classes.names[number]!r}."
