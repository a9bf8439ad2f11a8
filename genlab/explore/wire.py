"""Messages between the page and the server: a short JSON header, then arrays as plain bytes."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlab.registry import ConfigError

LARGEST_HEADER = 4_096
"""Bytes of the JSON in a question. A short text cannot be nested deeply enough to do harm."""
LARGEST_QUESTION = 262_144
"""Bytes of a whole question."""
LARGEST_NUMBER = 1e4
"""Largest absolute number in a code. Codes of the prior and of the data are far smaller."""

_LENGTH = struct.Struct("<I")
_KINDS = {"uint8": "u1", "int32": "<i4", "float32": "<f4"}

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """A question of the page: named settings, and one row of numbers."""

    settings: Mapping[str, Any]
    numbers: Numbers = field(default_factory=lambda: np.empty(0, np.float32))

    def text(self, name: str, choices: tuple[str, ...]) -> str:
        """Return a setting that must be one of these words."""
        value = self.settings.get(name)
        if not isinstance(value, str) or value not in choices:
            raise ConfigError(f"{name} must be one of {', '.join(choices)}.")
        return value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Return a setting that must be an integer between two limits, both included."""
        value = self.settings.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(f"{name} must be an integer from {low:,} to {high:,}.")
        return value

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """Return a setting that must be a number between two limits, both included."""
        value = self.settings.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ConfigError(f"{name} must be a number from {low:g} to {high:g}.")
        return float(value)

    def codes(self, count: int, size: int) -> Tensor:
        """Return the numbers as codes, count x size; they must be finite and not huge."""
        if len(self.numbers) != count * size:
            raise ConfigError(f"The question must hold {count * size:,} numbers, got {len(self.numbers):,}.")
        # False for nan, too.
        if not bool((np.abs(self.numbers) <= LARGEST_NUMBER).all()):
            raise ConfigError(f"The numbers of a code must be finite and at most {LARGEST_NUMBER:g}.")
        return torch.from_numpy(self.numbers.copy()).view(count, size)


def unpack(message: bytes) -> Question:
    """Read a question: the length of the header, the header, and float32 numbers."""
    if len(message) > LARGEST_QUESTION:
        raise ConfigError(f"A question must have at most {LARGEST_QUESTION:,} bytes.")
    start = _LENGTH.size
    length = _LENGTH.unpack_from(message)[0] if len(message) >= start else -1
    if not 0 <= length <= min(LARGEST_HEADER, len(message) - start) or (len(message) - start - length) % 4:
        raise ConfigError("The question is damaged.")
    settings = parsed(message[start : start + length])
    return Question(settings, np.frombuffer(message, "<f4", offset=start + length))


def parsed(text: bytes) -> dict[str, Any]:
    """Read the settings of a question: a flat JSON object of texts and finite numbers."""
    try:
        settings = json.loads(text.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ConfigError("The question is not valid JSON.") from None
    if not isinstance(settings, dict) or not all(isinstance(value, str | int | float) for value in settings.values()):
        raise ConfigError("The question must be an object of texts and numbers.")
    if not all(math.isfinite(value) for value in settings.values() if isinstance(value, float)):
        raise ConfigError("The numbers of a question must be finite.")
    return settings


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def pack(answer: Mapping[str, Any]) -> bytes:
    """Write an answer: the length of the header, the header, and the bytes of all arrays in it.

    In the header each array is a place: its type, its shape and its first byte.
    """
    arrays = list[bytes]()
    header = json.dumps(_placed(answer, arrays, [0]), allow_nan=False).encode()
    return b"".join([_LENGTH.pack(len(header)), header, *arrays])


def _placed(value: Any, arrays: list[bytes], end: list[int]) -> Any:
    """Return a value with places instead of arrays, and collect the arrays; `end` holds the bytes so far."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        content = value.astype(_KINDS[_kind(value)]).tobytes()
        arrays.append(content)
        end[0] += len(content)
        return {"array": _kind(value), "shape": list(value.shape), "start": end[0] - len(content)}
    if isinstance(value, Mapping):
        return {str(name): _placed(each, arrays, end) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_placed(each, arrays, end) for each in value]
    return value


def _kind(array: NDArray[Any]) -> str:
    return "uint8" if array.dtype == np.uint8 else "float32" if array.dtype.kind == "f" else "int32"
