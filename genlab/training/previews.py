"""Previews of a model: exhibits that follow from its abilities and the kind of its data."""

from collections.abc import Sequence

import torch

from genlab.contract import (
    Batch,
    Decodes,
    Encodes,
    Model,
    Reconstructs,
    Restores,
    Samples,
    Translates,
    Upscales,
    conditions,
    home,
)
from genlab.kinds import Classes, Exhibit, Kinds, Points, Row
from genlab.kinds.resampling import enlarged
from genlab.randomness import reseed
from genlab.training.interpolation import evenly, linear

_COLUMNS, _ROWS, _MOST_CLASSES, _STEPS = 8, 8, 16, 8
_CLOUD = 4096
"""Samples whose density is drawn for points."""


def preview_count(kinds: Kinds) -> int:
    """Return the number of items that `previews` takes: a cloud of points, or an item of each class, up to 16."""
    if isinstance(kinds["x"], Points):
        return 1024
    classes = kinds.get("label")
    return max(_COLUMNS, min(_MOST_CLASSES, len(classes.names))) if isinstance(classes, Classes) else _COLUMNS


def previews(model: Model, kinds: Kinds, batch: Batch, seed: int = 0) -> dict[str, Exhibit]:
    """Return an exhibit for each ability of a model, of these items and of noise that the seed fixes."""
    classes = kinds.get("label")
    names = [classes.names[number] for number in batch["label"].tolist()] if isinstance(classes, Classes) else []
    rows = _clouds(model, batch, seed) if isinstance(kinds["x"], Points) else _items(model, batch, names, seed)
    return {name: kinds["x"].exhibit(found) for name, found in rows.items()}


def _clouds(model: Model, batch: Batch, seed: int) -> dict[str, list[Row]]:
    """Return the points of the data beside generated points."""
    data, rows = Row("data", batch["x"]), {}
    if isinstance(model, Reconstructs):
        rows["reconstructions"] = [data, Row("reconstruction", model.reconstruct(batch))]
    if isinstance(model, Samples):
        _reseed(model, seed)
        rows["samples"] = [data, Row("generated", model.sample(_CLOUD))]
    return rows


def _items(model: Model, batch: Batch, names: Sequence[str], seed: int) -> dict[str, list[Row]]:
    """Return rows of items; `names` are their classes, if the data has any."""
    rows = {}
    if isinstance(model, Reconstructs):
        rows["reconstructions"] = _reconstructions(model, batch, seed)
    if isinstance(model, Samples):
        rows["samples"] = _samples(model, seed)
    if isinstance(model, Encodes) and isinstance(model, Decodes) and len(batch["x"]) > 1:
        rows["interpolations"] = _interpolations(model, batch, names)
    if isinstance(model, Upscales) and isinstance(model, Restores):
        rows["enlargements"] = _enlargements(model, batch, seed)
    if isinstance(model, Translates):
        rows["translations"] = _translations(model, batch, seed)
    return rows


def _reconstructions(model: Model, batch: Batch, seed: int) -> list[Row]:
    """Return the items above their reconstructions, and noisy items between them if the model removes noise."""
    assert isinstance(model, Reconstructs)
    if isinstance(model, Restores):
        _reseed(model, seed)
        noisy, clean = model.damage(batch)
        if not torch.equal(noisy, clean):
            restored = model.reconstruct(batch | {"x": noisy})
            return [Row("clean", clean), Row("noisy", noisy), Row("reconstruction", restored)]
    return [Row("data", batch["x"]), Row("reconstruction", model.reconstruct(batch))]


def _samples(model: Model, seed: int) -> list[Row]:
    """Return rows of samples; a conditional model has a row for each class, with the same noise in each column."""
    assert isinstance(model, Samples)
    for column, classes in conditions(model).items():
        rows = []
        for number, name in enumerate(classes.names[:_MOST_CLASSES]):
            _reseed(model, seed)
            condition = {column: torch.full((_COLUMNS,), number, device=home(model))}
            rows.append(Row(name, model.sample(_COLUMNS, condition)))
        return rows
    _reseed(model, seed)
    parts = model.sample(_ROWS * _COLUMNS).chunk(_ROWS)
    return [Row("" if number else f"samples, seed {seed}", items) for number, items in enumerate(parts)]


def _interpolations(model: Model, batch: Batch, names: Sequence[str]) -> list[Row]:
    """Return paths from the items of the first half to those of the second, through the codes between them."""
    assert isinstance(model, Encodes)
    assert isinstance(model, Decodes)
    count = len(batch["x"]) // 2
    start, end = model.encode({name: values[: 2 * count] for name, values in batch.items()}).chunk(2)
    codes = linear(start, end, evenly(_STEPS)).flatten(0, 1)
    # The path keeps the condition of its first item.
    condition = {name: batch[name][:count].repeat_interleave(_STEPS, 0) for name in conditions(model)}
    paths = model.decode(codes, condition or None).chunk(count)
    ends = [f"item {place + 1}" + (f" ({names[place]})" if names else "") for place in range(2 * count)]
    return [Row(f"{ends[place]} to {ends[count + place]}", items) for place, items in enumerate(paths)]


def _enlargements(model: Model, batch: Batch, seed: int) -> list[Row]:
    """Return small images upscaled by the bicubic filter and by the model, and the originals."""
    assert isinstance(model, Upscales)
    assert isinstance(model, Restores)
    _reseed(model, seed)
    small, original = model.damage(batch)
    bicubic = Row("bicubic", enlarged(small, model.scale))
    return [bicubic, Row("upscaled", model.upscale(small)), Row("original", original)]


def _translations(model: Model, batch: Batch, seed: int) -> list[Row]:
    """Return inputs above their translations; below, the targets, or the images that are translated back."""
    assert isinstance(model, Translates)
    if isinstance(model, Restores):
        _reseed(model, seed)
        source, target = model.damage(batch)
        return [Row("input", source), Row("translation", model.translate(source)), Row("target", target)]
    first, second = model.domains
    images, label = batch["x"], batch["label"]
    there = model.translate(images, torch.where(label == second, first, second))
    return [Row("input", images), Row("translation", there), Row("and back", model.translate(there, label))]


def _reseed(model: Model, seed: int) -> None:
    """Fix the noise that is drawn next, so that an exhibit does not depend on the exhibits before it."""
    reseed(home(model), seed, "pictures")
