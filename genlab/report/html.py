"""HTML as text in which everything that comes from outside is escaped."""

from __future__ import annotations

import html
from collections.abc import Container
from typing import Any

_VOID = frozenset({"meta", "img", "input", "br"})


class Html(str):
    """Text that is HTML already; any other text is escaped when it is put into an element."""

    __slots__ = ()


def element(name: str, /, *children: Any, **attributes: Any) -> Html:
    """Return an element with these children; texts and attributes are escaped.

    An attribute that is None or False is left out, and one that is True has no value. A trailing underscore is dropped
    from a name, and other underscores become hyphens: `class_="soft"`, `data_step=3`.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        words.append(key if value is True else f'{key}="{html.escape(str(value))}"')
    if name in _VOID:
        return Html(f"<{' '.join(words)}>")
    return Html(f"<{' '.join(words)}>{joined(children)}</{name}>")


def joined(children: Any) -> Html:
    """Return the children one after the other; a list is flattened, and None is left out."""
    if isinstance(children, Html):
        return children
    if isinstance(children, list | tuple):
        return Html("".join(map(joined, children)))
    return Html("" if children is None else html.escape(str(children)))


def table(head: Any, rows: Any, **attributes: Any) -> Html:
    """Return a table that scrolls sideways where the screen is too narrow; the focus can enter it for that."""
    label = attributes.pop("label", None)
    whole = element("table", element("thead", head), element("tbody", rows), **attributes)
    return element("div", whole, class_="scroll", tabindex=0, role="region", aria_label=label)


def head(*names: str, numeric: Container[str] = ()) -> Html:
    """Return the line of a table's headings; those of numbers stand on the right."""
    cells = (element("th", name, scope="col", class_="number" if name in numeric else None) for name in names)
    return element("tr", *cells)


def line(first: Any, *cells: Any) -> Html:
    """Return a line of a table: its heading and its cells."""
    return element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in cells))


def numbers(first: Any, *cells: Any) -> Html:
    """Return a line of a table whose cells are numbers."""
    return element("tr", element("th", first, scope="row"), *(element("td", cell, class_="number") for cell in cells))


def details(summary: Any, *children: Any, **attributes: Any) -> Html:
    """Return a part of the page that opens when its summary is clicked."""
    return element("details", element("summary", summary), *children, **attributes)
