"""The files of the page: the markup, the styles and the scripts, one file a concern."""

from html import escape
from importlib import resources

from genlab import pages

STYLES = {"style.css": pages.asset("style.css"), "page.css": pages.asset("page.css", __name__)}
"""The styles by name: the look of all pages, then what only this page has."""
ICON = "icon.svg"
WIRE = "wire.js"
"""The script that reads answers; every backend needs it."""
BACKEND = "server.js"
"""The script that asks the server; a page without a server has another one in its place."""
VIEW = (
    "elements.js",
    "items.js",
    "codes.js",
    "map.js",
    "path.js",
    "samples.js",
    "examine.js",
    "upscale.js",
    "main.js",
)
"""The scripts that show the answers. They share one scope, in this order, and need a constant `backend` before them."""


def text(name: str) -> str:
    """Return a file of the page."""
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def document(head: str, tail: str) -> str:
    """Return the whole page: `head` brings the styles, `tail` the scripts. Both must be markup."""
    return text("frame.html").replace("<!-- head -->", head, 1).replace("<!-- tail -->", tail, 1)


def linked() -> str:
    """Return the page whose styles and scripts are files beside it."""
    links = (f'<link rel="stylesheet" href="{escape(name)}">' for name in STYLES)
    head = "\n".join([f'<link rel="icon" href="{ICON}">', *links])
    tail = "\n".join(f'<script src="{escape(name)}"></script>' for name in (WIRE, BACKEND, *VIEW))
    return document(head, tail)
