"""Data inside a page stays data."""

import base64
import json
from pathlib import Path

import pytest

from genlab.pages import asset, data_uri, embedded_json
from tests.fixtures.browser import needs_browser, visit

NASTY = [
    "</script><script>document.title='broken'</script>",
    "<!--<script>",
    "a & b",
    "line\u2028break",
    "é 文字",
    'quote"\\',
]


def test_embedded_json_is_the_same_value_and_has_no_markup() -> None:
    text = embedded_json(NASTY)
    assert json.loads(text) == NASTY
    assert not set("<>&\u2028\u2029") & set(text)
    with pytest.raises(ValueError, match="JSON compliant"):
        embedded_json([float("nan")])


def test_a_data_uri_holds_the_bytes() -> None:
    head, _, body = data_uri(b"\x00\xff", "audio/wav").partition(",")
    assert (head, base64.b64decode(body)) == ("data:audio/wav;base64", b"\x00\xff")


@pytest.mark.slow
@needs_browser
def test_a_browser_reads_embedded_data_and_draws_a_plot(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><title>fine</title><style>{asset('style.css')}</style><div id=plot></div>"
        f"<script>{asset('uplot/uPlot.iife.min.js')}</script><script>const given = {embedded_json(NASTY)};"
        "new uPlot({width: 200, height: 100, series: [{}, {}]}, [[1, 2], [3, 4]], document.getElementById('plot'))"
        "</script>",
        encoding="utf-8",
    )
    with visit(page) as seen:
        assert seen.page.title() == "fine"
        assert seen.page.evaluate("given") == NASTY
        assert seen.page.locator("#plot canvas").count() == 1
        assert (seen.errors, seen.foreign("file:")) == ([], [])
