"""The training items that are nearest to samples or to given items, which shows whether a model copies them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from genlab.contract import Encodes, conditions, home
from genlab.data import held_out
from genlab.data.progress import progress
from genlab.kinds import Classes, Image, Kind, Points, Row, Spectrogram
from genlab.lab.given import Given, given
from genlab.lab.inputs import Inputs
from genlab.lab.results import Results
from genlab.lab.run import at_least, whole
from genlab.lab.spaces import counted, flat, numbers_called
from genlab.metrics import memory
from genlab.metrics.memory import Neighbours
from genlab.registry import ConfigError

if TYPE_CHECKING:
    from genlab.lab.run import Run

COUNT, NEIGHBOURS = 16, 5
_MEASURED = 256
"""Samples, and test items beside them, whose copies are counted."""
_SHOWN, _LISTED = 32, 3
"""Items on the sheet, and training items that a sentence lists."""
_BATCH = 500


@dataclass(frozen=True)
class Nearest:
    """Items, and the training items that are nearest to each of them."""

    given: Given
    """The samples, or the items that the user has named."""
    rows: dict[str, Tensor]
    """The row in the data of each neighbour, nearest first, by space (`code` and, of images, `pixels`): N x K."""
    distances: dict[str, Tensor]
    """The root mean square of the differences between the numbers, by space: N x K."""
    neighbours: dict[str, Tensor]
    """The neighbours themselves, by space: N x K x the shape of one item."""
    labels: dict[str, list[list[str]]]
    """The class of each neighbour by space; empty if the data has no labels."""
    metrics: dict[str, dict[str, float]]
    """Share of copies and distance to the nearest training item: of the items and, as a baseline, of test items."""
    kind: Kind
    notes: tuple[str, ...] = ()

    def write(self, results: Results) -> None:
        """Write nearest.csv and, of everything but points, a sheet."""
        if not isinstance(self.kind, Points):
            results.sheet("nearest", self.kind, list(self._sheet()))
        header = ["item", "space", "rank", "row", "distance", *(["label"] if self.labels else [])]
        results.table("nearest", header, self._table())

    def _table(self) -> Iterator[list[Any]]:
        for place, name in enumerate(self.given.names):
            for space, rows in self.rows.items():
                distances = self.distances[space][place].tolist()
                for rank, row in enumerate(rows[place].tolist()):
                    label = [self.labels[space][place][rank]] if self.labels else []
                    yield [name, space, rank + 1, row, f"{distances[rank]:.6f}", *label]

    def _sheet(self) -> Iterator[Row]:
        """Yield one row for each item: the item and its neighbours in each space, with a gap between the spaces."""
        for place, name in enumerate(self.given.names[:_SHOWN]):
            item = self.given.items[place : place + 1]
            listed = {
                space: f"nearest in {space}: {'  '.join(f'{far:.3f}' for far in distances[place].tolist())}"
                for space, distances in self.distances.items()
            }
            if not isinstance(self.kind, Image):
                yield Row(name, item)
                yield from (Row(listed[space], found[place]) for space, found in self.neighbours.items())
                continue
            # The gap of a sound is silence, which is black.
            gap = torch.zeros_like(item) if isinstance(self.kind, Spectrogram) else torch.ones_like(item)
            groups = [part for found in self.neighbours.values() for part in (gap, found[place])]
            yield Row("; ".join([name, *listed.values()]), torch.cat([item, *groups]))


def nearest(
    run: Run,
    inputs: Inputs | None = None,
    *,
    count: int = COUNT,
    neighbours: int = NEIGHBOURS,
    seed: int = 0,
    skip_bad: bool = False,
) -> Nearest:
    """Search the training items that are nearest to `count` samples, or to `inputs`.

    The spaces are the codes, if the model encodes, and the pixels. Copies are counted among at least 256 samples.
    """
    count, neighbours = at_least(1, "count", count), at_least(1, "neighbours", neighbours)
    whole("seed", seed)
    available = len(run.dataset.splits["train"])
    if neighbours > available:
        raise ConfigError(f"neighbours must be at most the {available:,} training items, got {neighbours}.")
    if inputs is None:
        found, more = _samples(run, count, seed)
    else:
        found = given(run, inputs, count=count, skip_bad=skip_bad)
        more = found.items[:0]
    tested = held_out.chosen(run.dataset, "test", _MEASURED)
    tests = _read(run, tested) if len(tested) else found.items[:0]
    asked = torch.cat([found.items, more, tests])
    searched = _searched(run, asked, neighbours)
    parts = [len(found) + len(more), len(tests)]
    nouns = [counted(parts[0], "sample" if inputs is None else "given item"), counted(parts[1], "test item")]
    metrics = _metrics(run.kinds["x"], searched, dict(zip(nouns, parts, strict=True)))
    rows, distances, items = _looked_up(run, found.items, searched, neighbours)
    notes = [*_equal(run, found, rows, distances), *_judged(metrics, nouns, generated=inputs is None)]
    labels = {space: _labels(run, each) for space, each in rows.items()} if run.dataset.classes else {}
    return Nearest(found, rows, distances, items, labels, metrics, run.kinds["x"], tuple(notes))


def _samples(run: Run, count: int, seed: int) -> tuple[Given, Tensor]:
    """Return samples, and as many more as are needed to measure the share of copies; all classes come in turn."""
    classes = conditions(run.model).get("label")
    most = max(count, _MEASURED)
    labels = torch.arange(most) % len(classes) if classes else None
    try:
        items = run.sample(most, label=labels, seed=seed)
    except ConfigError as error:
        raise ConfigError(f"{str(error).removesuffix('.')}; or name items: genlab nearest {run.path} PATHS") from None
    names = [f"sample {number}" for number in range(count)]
    if classes and labels is not None:
        names = [f"{name} ({classes.names[label]})" for name, label in zip(names, labels.tolist(), strict=False)]
    return Given(items[:count], tuple(names)), items[count:]


def _read(run: Run, rows: Tensor) -> Tensor:
    """Return items of the data, in the order of the rows, which may repeat."""
    # A split holds each row once.
    once, places = np.unique(rows.numpy(), return_inverse=True)
    parts = held_out.batches(run.dataset, torch.from_numpy(once), torch.device("cpu"), _BATCH)
    items = torch.cat([batch["x"] for batch in parts])
    return items[torch.from_numpy(places.reshape(rows.shape))]


def _training(run: Run, doing: str) -> Iterator[Tensor]:
    """Yield all training items in batches, with progress."""
    rows = run.dataset.splits["train"]
    with progress(math.ceil(len(rows) / _BATCH), doing, "searched", "batches") as advance:
        for batch in held_out.batches(run.dataset, rows, home(run.model), _BATCH):
            yield batch["x"]
            advance()


def _searched(run: Run, asked: Tensor, neighbours: int) -> dict[str, Neighbours]:
    """Search all training items in each space: the codes if there are any, and the numbers of the items."""
    kind, place, found = run.kinds["x"], home(run.model), dict[str, Neighbours]()
    if isinstance(run.model, Encodes):
        codes = (run.encode(items) for items in _training(run, "searching codes"))
        found["code"] = memory.nearest(run.encode(asked), codes, neighbours)
    space = numbers_called(kind)
    numbers = (flat(kind, items) for items in _training(run, f"searching {space}"))
    # The rule for copies needs 50 neighbours.
    most = max(neighbours, memory.NEIGHBOURS)
    found[space] = memory.nearest(flat(kind, asked).to(place), numbers, most)
    return {name: Neighbours(each.distances.cpu(), each.places.cpu()) for name, each in found.items()}


def _metrics(kind: Kind, searched: dict[str, Neighbours], parts: dict[str, int]) -> dict[str, dict[str, float]]:
    """Measure the items and the test items, which follow each other in each space."""
    found, start = dict[str, dict[str, float]](), 0
    for noun, size in parts.items():
        values = dict[str, float]()
        for space, each in searched.items():
            distances = each.distances[start : start + size]
            if isinstance(kind, Image) and space != "code":
                values |= memory.copies(distances[:, : memory.NEIGHBOURS])
            values |= {f"{name}-{space}": value for name, value in memory.nearest_training(distances).items()}
        start += size
        if size:
            found[noun] = values
    return found


def _looked_up(
    run: Run, items: Tensor, searched: dict[str, Neighbours], neighbours: int
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Return the rows, the distances and the neighbours of the items, in each space."""
    kind, training = run.kinds["x"], run.dataset.splits["train"]
    rows, distances, found = dict[str, Tensor](), dict[str, Tensor](), dict[str, Tensor]()
    for space, each in searched.items():
        near = training[each.places[: len(items), :neighbours]]
        apart, there = each.distances[: len(items), :neighbours], _read(run, near)
        if space != "code":
            # The search rounds; here the distance of equal items is exactly zero.
            other = flat(kind, there.flatten(0, 1)).view(*near.shape, -1)
            apart = (flat(kind, items)[:, None] - other).double().square().mean(2).sqrt()
        order = apart.sort(stable=True, dim=1).indices
        rows[space], distances[space] = near.gather(1, order), apart.gather(1, order)
        found[space] = torch.stack([one[places] for one, places in zip(there, order, strict=True)])
    return rows, distances, found


def _labels(run: Run, rows: Tensor) -> list[list[str]]:
    """Return the names of the classes of rows of the data."""
    classes, labels = run.dataset.columns["label"].kind, run.dataset.labels
    assert isinstance(classes, Classes)
    assert labels is not None
    return [[classes.names[number] for number in line] for line in labels[rows].tolist()]


def _equal(run: Run, items: Given, rows: dict[str, Tensor], distances: dict[str, Tensor]) -> Iterator[str]:
    """Yield a sentence about items that are training items themselves."""
    space, data = numbers_called(run.kinds["x"]), str(run.config["data"]["name"])
    equal = (distances[space][:, 0] == 0).nonzero().flatten().tolist()
    if equal:
        listed = [f"{items.names[place]} is {data}/train/{int(rows[space][place, 0])}" for place in equal[:_LISTED]]
        more = f", and {len(equal) - _LISTED:,} more" if len(equal) > _LISTED else ""
        total = f"{len(equal):,} of {len(items):,} {'item is' if len(items) == 1 else 'items are'}"
        yield f"{total} in the training data (distance 0): {', '.join(listed)}{more}."


def _judged(metrics: dict[str, dict[str, float]], nouns: list[str], *, generated: bool) -> Iterator[str]:
    """Yield a sentence about the share of copies if it can be compared with that of test items."""
    shares = [metrics.get(noun, {}).get("copies") for noun in nouns]
    if shares[0] is None or shares[1] is None:
        return
    compared = (
        f"{shares[0]:.0%} of the {nouns[0]} are near copies of training items ({shares[1]:.0%} of the test items)"
    )
    if not memory.memorises(shares[0], shares[1]):
        yield f"{compared}: no sign of memorising." if generated else f"{compared}."
    elif generated:
        yield f"{compared}: the model has memorised training items."
    else:
        yield f"{compared}. If a model generated them, it has memorised training items."
