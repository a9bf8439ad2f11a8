"""Columns of Parquet files as labels and attributes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlab.data.dataset import MODELLED, Column, attribute
from genlab.data.files.arrow import CLASSES, NUMBER, TEXT, WHOLE, YES_OR_NO, Field, Files
from genlab.registry import ConfigError

_MOST_CHOICES = 100


def labels(files: Files, field: Field, chosen: NDArray[np.int64]) -> tuple[Tensor, tuple[str, ...]]:
    """Return the class of each chosen row, and the names of the classes."""
    if field.holds not in (CLASSES, TEXT, WHOLE, YES_OR_NO):
        raise ConfigError(f"label must name a column with classes, texts or whole numbers; {_called(field)}.")
    column = _rows(files, field, chosen)
    if field.holds == TEXT:
        numbers, names = _choices(column)
    elif field.holds == WHOLE:
        numbers, names = _whole(column)
    else:
        numbers, names = _numbers(column, -1), field.names or ("no", "yes")
    missing = np.flatnonzero((numbers < 0) | (numbers >= len(names)))
    if len(missing):
        raise ConfigError(
            f"Column {field.name!r} has no class for {len(missing):,} of {len(chosen):,} images, such as "
            f"{files.called(int(chosen[missing[0]]))}. Set data.label=null to use no labels, or leave out their files."
        )
    return torch.from_numpy(numbers), names


def attributes(files: Files, used: set[str], chosen: NDArray[np.int64]) -> dict[str, Column]:
    """Return the other columns that are classes or numbers for the chosen rows.

    Texts are choices if there are few different ones. Whole numbers that are all different name the rows and are left
    out. A column whose name is taken by the data set itself gets the suffix `_attribute`.
    """
    found: dict[str, Column] = {}
    for name, field in files.fields.items():
        if name not in used and (column := _attribute(files, field, chosen)):
            free = name
            while free in MODELLED or (free != name and free in files.fields):
                free += "_attribute"
            found[free] = column
    return found


def _attribute(files: Files, field: Field, chosen: NDArray[np.int64]) -> Column | None:
    """Return a column as an attribute; None if it holds something else, or nothing for some rows."""
    # A column of captions may be long: its first rows show that it holds no choices.
    if field.holds not in (CLASSES, TEXT, WHOLE, NUMBER, YES_OR_NO) or (field.holds == TEXT and _varied(files, field)):
        return None
    column = _rows(files, field, chosen)
    if column.null_count:
        return None
    if field.holds in (CLASSES, YES_OR_NO):
        numbers, names = _numbers(column, -1), field.names or ("no", "yes")
        fits = ((numbers >= 0) & (numbers < len(names))).all()
        return attribute(torch.from_numpy(numbers), names) if fits else None
    if field.holds == TEXT:
        numbers, names = _choices(column)
        return attribute(torch.from_numpy(numbers), names) if len(names) <= _MOST_CHOICES else None
    values = np.array(column.to_numpy())
    if field.holds == WHOLE and len(values) > 1 and len(np.unique(values)) == len(values):
        return None
    values = values.astype(np.float32)
    return attribute(torch.from_numpy(values)) if np.isfinite(values).all() else None


def _rows(files: Files, field: Field, chosen: NDArray[np.int64]) -> Any:
    """Return these rows of a column."""
    column = files.column(field.name)
    return column if len(chosen) == len(column) else column.take(chosen)


def _varied(files: Files, field: Field) -> bool:
    """Return True if the first texts of a column are too different to be choices."""
    first = files.sample(field.name)
    different = len(first.unique())
    return different > _MOST_CHOICES or (different > 2 and 2 * different > len(first))


def _choices(column: Any) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return texts as numbers, in the order of the alphabet; -1 where there is none."""
    texts = sorted(text for text in column.unique().to_pylist() if text is not None)
    return _placed(column, texts), tuple(texts)


def _whole(column: Any) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return whole numbers as classes, in ascending order; -1 where there is none."""
    numbers = sorted(number for number in column.unique().to_pylist() if number is not None)
    return _placed(column, numbers), tuple(map(str, numbers))


def _placed(column: Any, values: list[Any]) -> NDArray[np.int64]:
    """Return the place of each entry in a list of values; -1 for an entry without a value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    return _numbers(pc.index_in(plain, value_set=pa.array(values, plain.type)), -1)


def _numbers(column: Any, missing: int) -> NDArray[np.int64]:
    """Return whole numbers, with a given one where there is none."""
    # Without the rest of pyarrow, which takes a second to import.
    found = column.fill_null(missing) if column.null_count else column
    numbers: NDArray[np.int64] = np.array(found.to_numpy(), np.int64)
    return numbers


def _called(field: Field) -> str:
    return f"{field.name!r} holds {field.holds}"
