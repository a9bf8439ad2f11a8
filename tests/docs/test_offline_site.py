"""The check of the built site finds what a page loads from the network."""

import runpy
from pathlib import Path

import pytest

CHECK = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "check_offline.py"))


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<img alt="" src="http://example/x.png">',
        '<script type="module">import x from "https://cdn.example/x.mjs"</script>',
    ],
)
def test_a_page_that_loads_from_the_network_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.html").write_text(text)
    with pytest.raises(SystemExit, match="example"):
        CHECK["main"](tmp_path)


def test_a_style_sheet_that_loads_a_font_from_the_network_is_found(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_text("@font-face { src: url('https://fonts.example/x.woff2') }")
    with pytest.raises(SystemExit, match="fonts.example"):
        CHECK["main"](tmp_path)


def test_links_to_other_sites_and_local_files_pass(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text('<a href="https://example/">x</a><script src="_static/x.js"></script>')
    (tmp_path / "style.css").write_text("a { background: url(x.png) }")
    assert CHECK["main"](tmp_path) is None


def test_a_folder_without_pages_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="contains no pages"):
        CHECK["main"](tmp_path)
