"""Columns that a signature requests, and the error message for data that does not fit it."""

import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin

from genlab.kinds.kind import Kind
from genlab.registry import ConfigError, schema

Kinds = Mapping[str, Kind]
"""The kind of each column, by the name of the column."""

_NOUNS = {"label": "labels", "y": "pairs (a column 'y')"}
_ADVICE = {
    "label": "Choose data with labels, such as data=fashion-mini; for a folder of your own, set data.labels=folder.",
}


class MissingColumnError(Exception):
    """A model's own settings need a column that the data does not have."""

    def __init__(self, column: str, advice: str = "") -> None:
        super().__init__(column)
        self.column, self.advice = column, advice


def fit(label: str, factory: Callable[..., Any], kinds: Kinds, data: str) -> dict[str, Kind | None]:
    """Return the columns that the signature of `factory` names, each with the kind that the data has.

    A parameter names a column by its own name, and the kinds that it takes by its annotation: `x: Image | Points`.
    With `| None` the column may be missing.
    """
    fitting: dict[str, Kind | None] = {}
    for name, annotation in schema(factory).items():
        accepted, optional = _accepted(annotation)
        if not accepted:
            continue
        kind = kinds.get(name)
        if kind is None and not optional:
            raise missing(label, name, data)
        if kind is not None and not isinstance(kind, accepted):
            takes = " or ".join(dict.fromkeys(other.plural for other in accepted))
            raise ConfigError(f"{label} takes {takes}, and data {data!r} holds {kind.describe()}.")
        fitting[name] = kind
    return fitting


def missing(label: str, column: str, data: str | None = None, advice: str = "") -> ConfigError:
    """Return the error for data that lacks a column; `data` is its name, if it is known."""
    named = f"data {data!r}" if data else "the data"
    sentences = [f"{label} needs {_NOUNS.get(column, f'a column {column!r}')}, and {named} has none."]
    return ConfigError(" ".join(filter(None, [*sentences, _ADVICE.get(column, ""), advice])))


def _accepted(annotation: Any) -> tuple[tuple[type[Kind], ...], bool]:
    """Return the kinds in an annotation, and True if None is among its types."""
    union = get_origin(annotation) in (Union, types.UnionType)
    parts = get_args(annotation) if union else (annotation,)
    kinds = tuple(part for part in parts if isinstance(part, type) and issubclass(part, Kind))
    return kinds, type(None) in parts
