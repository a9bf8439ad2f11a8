"""A data set: columns of items, labels and attributes, in three splits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from genlab.kinds import Classes, Image, Kind, Number, Points
from genlab.kinds.augmentation import binarized
from genlab.randomness import generator
from genlab.registry import ConfigError

if TYPE_CHECKING:
    from genlab.data.batches import Table

Redraw = Callable[[Mapping[str, Tensor]], Tensor]
"""A function from the rows of all attributes, by name, to the stored items that they describe."""

SPLITS = ("train", "validation", "test")
MODELLED = ("x", "y", "label")
"""The columns that a model may use; all others are attributes, which only evaluation reads."""


@dataclass(frozen=True, eq=False)
class Column:
    """One entry for every item: stored rows, and their kind."""

    kind: Kind
    rows: Tensor
    file: Path | None = None
    """The file that holds the rows one after the other from its beginning, if they are not in memory."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Columns of equal length, and the items of each split."""

    columns: dict[str, Column]
    """`x` holds the modelled items; `label`, `y` and attributes stand beside it."""
    splits: dict[str, Tensor]
    """The indices of `train`, `validation` and `test`; they share none, and validation and test may be empty."""
    fingerprint: str = ""
    """16 hex digits that tell this data from any other; computed from the columns and the splits if not given."""
    bad_files: tuple[str, ...] = ()
    """Files that could not be used and were left out: `name: reason`."""
    contents: str = ""
    """A digest of the rows of `x`, from sources that know it; a large file is then not read to compute it."""
    redraw: Redraw | None = None
    """Draws the stored items that other attribute values describe; only drawn data can do that."""

    def __post_init__(self) -> None:
        if "x" not in self.columns:
            raise ConfigError(f"A data set needs a column 'x', got {', '.join(self.columns) or 'none'}.")
        for name, column in self.columns.items():
            column.kind.check(column.rows, name)
            if len(column.rows) != len(self):
                raise ConfigError(f"Column {name!r} has {len(column.rows)} rows, and column 'x' has {len(self)}.")
        _check_splits(self.splits, len(self))
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", self.digest(*self.columns))

    @classmethod
    def of_images(
        cls,
        pixels: Tensor,
        splits: dict[str, Tensor],
        labels: Tensor | None = None,
        names: tuple[str, ...] = (),
        attributes: Mapping[str, Column] | None = None,
        *,
        file: Path | None = None,
        **facts: Any,
    ) -> Self:
        """Make a data set of images, N x C x H x W of bytes, with a class for each if there are labels.

        `file` holds the pixels if they are mapped from it; `facts` are further fields, such as `fingerprint`.
        """
        if pixels.dim() != 4:
            raise ConfigError(f"Images must be N x C x H x W, got {tuple(pixels.shape)}.")
        channels, height, width = pixels.shape[1:]
        columns = {"x": Column(Image(channels, height, width), pixels, file)}
        return cls(columns | labelled(labels, names) | dict(attributes or {}), splits, **facts)

    @classmethod
    def of_points(
        cls, points: Tensor, splits: dict[str, Tensor], labels: Tensor | None = None, names: tuple[str, ...] = ()
    ) -> Self:
        """Make a data set of points, N x D of float32."""
        return cls({"x": Column(Points(points.shape[1]), points)} | labelled(labels, names), splits)

    def __len__(self) -> int:
        """Return the number of items in all splits together."""
        return len(self.columns["x"].rows)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each column."""
        return {name: column.kind for name, column in self.columns.items()}

    @property
    def kind(self) -> Kind:
        """The kind of the modelled items."""
        return self.columns["x"].kind

    @property
    def labels(self) -> Tensor | None:
        """The number of each item's class, if the data has labels."""
        return self.columns["label"].rows if "label" in self.columns else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty without labels."""
        kind = self.columns["label"].kind if "label" in self.columns else None
        return kind.names if isinstance(kind, Classes) else ()

    @property
    def attributes(self) -> dict[str, Column]:
        """The columns that no model uses, only evaluation."""
        return {name: column for name, column in self.columns.items() if name not in MODELLED}

    @cached_property
    def modelled(self) -> str:
        """16 hex digits that change with the modelled items and the splits, but not with labels and attributes."""
        return self.digest("x", "y")

    def with_splits(self, splits: dict[str, Tensor]) -> Dataset:
        """Return the same data, and the same fingerprint, with other splits."""
        return replace(self, splits=splits)

    def keeping(self, classes: Iterable[int | str]) -> Self:
        """Return the same data with only items of these classes, by name or number, in training and validation.

        The test split and the numbers of the classes stay as they are. The fingerprint changes with the splits.
        """
        label = self.columns.get("label")
        if label is None or not isinstance(label.kind, Classes):
            raise ConfigError("Labels must be classes to keep some of them, and this data has none.")
        # As texts: a name such as 3 is written like a number in a YAML file, and comes before the number.
        kept = torch.tensor([label.kind.number(str(each)) for each in classes])
        splits = dict(self.splits)
        for name in ("train", "validation"):
            splits[name] = splits[name][torch.isin(label.rows[splits[name]], kept)]
        if all(len(splits[name]) == len(self.splits[name]) for name in SPLITS):
            return self
        return replace(self, splits=splits, fingerprint=fingerprint_of({}, splits, self.fingerprint))

    def of_classes(self, numbers: Iterable[int]) -> Dataset:
        """Return the same data, and the same fingerprint, with only the items of these classes in each split."""
        assert self.labels is not None
        labels, kept = self.labels, torch.tensor(list(numbers))
        return self.with_splits({name: rows[torch.isin(labels[rows], kept)] for name, rows in self.splits.items()})

    def binarized(self) -> Self:
        """Return the same data with held-out images of 0 and 1, drawn once with the grey values as probabilities.

        Training images stay grey: each batch draws their pixels anew.
        """
        column, aside = self.columns["x"], torch.cat([self.splits["validation"], self.splits["test"]])
        if not isinstance(column.kind, Image):
            raise ConfigError(f"only images can be binarized, and this data holds {column.kind.describe()}.")
        rows = column.rows.clone()
        images = binarized(column.kind.load(rows[aside]), generator(0, "binarize"))
        rows[aside] = images.mul(255).to(torch.uint8)
        columns = {**self.columns, "x": Column(column.kind, rows)}
        return replace(self, columns=columns, contents="", fingerprint="")

    def digest(self, *names: str) -> str:
        """Return 16 hex digits that change with the splits and with these columns, if the data has them."""
        skipped = {"x"} if self.contents else set()
        columns = {name: column for name, column in self.columns.items() if name in names and name not in skipped}
        return fingerprint_of(columns, self.splits, self.contents)

    def describe_items(self) -> str:
        """Return the number of items as `genlab data show` prints it."""
        return f"{len(self):,}"

    def describe_split(self, name: str) -> str:
        """Return the name and the size of a split as `genlab data show` prints it."""
        return f"{name} {len(self.splits[name]):,}"

    def batches(self, split: str, batch_size: int, **settings: Any) -> Table:
        """Return the batches of one split; see Table for the settings."""
        from genlab.data.batches import Table

        return Table(self, split, batch_size, **settings)


def labelled(labels: Tensor | None, names: tuple[str, ...]) -> dict[str, Column]:
    """Return the column `label`, or nothing without labels."""
    return {} if labels is None else {"label": Column(Classes(tuple(names)), labels.long())}


def attribute(values: Tensor, choices: tuple[str, ...] = ()) -> Column:
    """Make the column of an attribute: numbers, or indices of choices."""
    return Column(Classes(choices), values.long()) if choices else Column(Number(), values.float())


def split_off(count: int, part: int, what: str = "validation") -> tuple[Tensor, Tensor]:
    """Return `count` indices in two parts: the remaining ones, and the `part` set aside, always the same ones."""
    if not 0 < part < count:
        raise ConfigError(f"{what} must be between 1 and {count - 1}, got {part}.")
    order = torch.randperm(count, generator=generator(0, f"split/{what}", count))
    return order[part:].sort().values, order[:part].sort().values


def published(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], names: tuple[str, ...], validation: int
) -> Dataset:
    """Make a data set of published training and test images with labels; validation images are set aside."""
    left, held_out = split_off(len(train[0]), validation)
    splits = {"train": left, "validation": held_out, "test": torch.arange(len(test[0])) + len(train[0])}
    return Dataset.of_images(torch.cat([train[0], test[0]]), splits, torch.cat([train[1], test[1]]), names)


def fingerprint_of(columns: Mapping[str, Column], splits: Mapping[str, Tensor], contents: str = "") -> str:
    """Return 16 hex digits that change with any column, kind or split.

    `contents` is a digest that stands for columns that are left out.
    """
    digest = hashlib.sha256(contents.encode())
    for name, column in columns.items():
        digest.update(repr((name, column.kind)).encode())
        _add(digest, column.rows)
    for name in SPLITS:
        _add(digest, splits[name])
    return digest.hexdigest()[:16]


def _add(digest: Any, rows: Tensor) -> None:
    # With the shape, an item that moves from one split to the next changes the digest.
    digest.update(repr((tuple(rows.shape), rows.dtype)).encode())
    digest.update(rows.contiguous().view(torch.uint8).numpy().data)


def _check_splits(splits: dict[str, Tensor], count: int) -> None:
    if set(splits) != set(SPLITS):
        raise ConfigError(f"The splits must be {', '.join(SPLITS)}, got {', '.join(splits) or 'none'}.")
    for name, indices in splits.items():
        if indices.dtype != torch.int64 or indices.dim() != 1:
            raise ConfigError(f"Split {name!r} must be one row of torch.int64, got {indices.dtype}.")
    indices = torch.cat([splits[name] for name in SPLITS])
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < count:
        raise ConfigError(f"The splits name item {int(indices.max())}, and the last of {count} items is {count - 1}.")
    if len(indices) and int(indices.bincount().max()) > 1:
        raise ConfigError(f"The splits must not overlap; item {int(indices.bincount().argmax())} is in two.")
