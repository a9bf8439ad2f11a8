"""Building blocks of HTML pages: assets of the package, and safe ways to embed data."""

import base64
import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def asset(name: str, package: str = __name__) -> str:
    """Return a text file of a package, such as `style.css` or `uplot/uPlot.iife.min.js`."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def embedded_json(value: Any) -> str:
    """Return JSON that can stand inside a script element: no text in it can end the element.

    NaN and infinity are refused, because a browser cannot read them; pass None instead.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # Inside a string of JSON these escapes mean the same characters, and outside of one the characters cannot stand.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def data_uri(content: bytes, media: str = "image/png") -> str:
    """Return the content as an address, so that a page needs no second file."""
    return f"data:{media};base64,{base64.b64encode(content).decode('ascii')}"
