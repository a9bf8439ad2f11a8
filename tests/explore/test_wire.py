"""Messages of the page and of the server: small, flat and finite, or refused."""

import json
import struct

import numpy as np
import pytest
import torch

from genlab.explore.wire import pack, unpack
from genlab.registry import ConfigError


def message(header: bytes, numbers: bytes = b"") -> bytes:
    return struct.pack("<I", len(header)) + header + numbers


def test_a_question_holds_settings_and_numbers() -> None:
    found = unpack(message(b'{"ask": "decode", "label": 3}', np.array([1.5, -2], "<f4").tobytes()))
    assert found.settings == {"ask": "decode", "label": 3}
    assert found.codes(1, 2).tolist() == [[1.5, -2]]


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 4000,
        b'{"a":' * 800,
        b'{"a": {"b": 1}}',
        b'{"a": [1]}',
        b'{"a": null}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b"[1]",
        b"\xff",
        b'{"a": ' + b"9" * 4000 + b"}",
    ],
)
def test_nesting_bombs_and_numbers_that_are_not_finite_are_refused(header: bytes) -> None:
    if header.startswith(b'{"a": 9'):
        with pytest.raises(ConfigError):
            unpack(message(header)).number("a", 0, 1e9)
        return
    with pytest.raises(ConfigError, match="question"):
        unpack(message(header))


@pytest.mark.parametrize(
    "content", [b"", b"abc", struct.pack("<I", 50) + b"{}", message(b"{}", b"abc"), b"\0" * 300_000]
)
def test_a_damaged_or_large_question_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError):
        unpack(content)


def test_an_answer_holds_its_arrays_behind_the_header() -> None:
    answer = pack(
        {"id": 1, "items": [{"pixels": np.array([[1, 2]], np.uint8)}], "x": torch.tensor([0.5]), "none": None}
    )
    length = struct.unpack_from("<I", answer)[0]
    header = json.loads(answer[4 : 4 + length])
    assert header["items"][0]["pixels"] == {"array": "uint8", "shape": [1, 2], "start": 0}
    assert header["x"] == {"array": "float32", "shape": [1], "start": 2}
    assert answer[4 + length :] == b"\1\2" + struct.pack("<f", 0.5)
