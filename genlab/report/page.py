"""The frame of every report: one HTML file whose scripts and styles are its own, and that can ask for nothing else."""

import base64
import hashlib
import time
from collections.abc import Sequence
from typing import Any

from genlab import __version__
from genlab.pages import asset, embedded_json
from genlab.report.html import Html, element

GENERATOR = "genlab report"
"""The name in a page's head by which a report is known as one."""


def page(title: str, sections: dict[str, Html], head: Sequence[Html], scripts: Sequence[str], data: Any) -> str:
    """Return the whole page: a header, the sections by heading, and what the scripts draw."""
    own = "genlab.report"
    styles = [asset("style.css"), asset("uplot/uPlot.min.css"), asset("report.css", own)]
    codes = [_uplot(), *(asset(name, own) for name in scripts)]
    parts = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(styles, codes)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"{GENERATOR} {__version__}"),
        element("title", title),
        *(element("style", Html(style)) for style in styles),
    ]
    body = [
        element("header", element("h1", title), *head, _navigation(list(sections))),
        element("main", *(_section(name, content) for name, content in sections.items())),
        element("footer", element("p", _written(), class_="soft")),
        element("script", Html(embedded_json(data)), type="application/json", id="data"),
        *(element("script", Html(code)) for code in codes),
    ]
    whole = element("html", element("head", *parts), element("body", *body), lang="en")
    return f"<!doctype html>\n{whole}\n"


def _uplot() -> str:
    """Return the code of uPlot with its licence, which must go with every copy."""
    return f"/*\n{asset('uplot/LICENSE')}*/\n{asset('uplot/uPlot.iife.min.js')}"


def _policy(styles: Sequence[str], codes: Sequence[str]) -> str:
    """Return the rules of the page: only its own scripts and styles run, and no request can leave it."""
    return (
        f"default-src 'none'; img-src data:; media-src data:; style-src {_hashes(styles)}; "
        f"script-src {_hashes(codes)}; base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: Sequence[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _navigation(names: Sequence[str]) -> Html:
    links = (element("a", name, href=f"#{_place(name)}") for name in names)
    return element("nav", *links, class_="screen-only", aria_label="Sections")


def _section(name: str, content: Html) -> Html:
    return element("section", element("h2", name), content, id=_place(name))


def _place(name: str) -> str:
    return name.lower().replace(" ", "-")


def _written() -> str:
    return f"Written by genlab {__version__} on {time.strftime('%Y-%m-%d at %H:%M %z')}."
