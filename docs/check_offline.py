"""Fail if a built page loads a script, a style, a font or a picture from the network: check_offline.py FOLDER."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

REMOTE = re.compile(r"(https?:)?//")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
# Other links, such as rel="canonical", load nothing.
LINKS = {"stylesheet", "preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch", "icon", "manifest"}


class Page(HTMLParser):
    """The remote addresses that one page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.remote = list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        address = values.get(LOADED.get(tag, ""), "")
        if tag == "link" and LINKS & set(values.get("rel", "").split()):
            address = values.get("href", "")
        if REMOTE.match(address):
            self.remote.append(address)


def remote_loads(path: Path) -> list[str]:
    """Return the remote addresses that a page or a style sheet loads."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".css":
        return re.findall(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""", text)
    page = Page()
    page.feed(text)
    imports = re.findall(r"""\bimport\b[^;"']*["'](https?://[^"']+)""", text)
    return page.remote + imports


def main(folder: Path) -> None:
    """Print every remote address that the site loads, and fail if there is one."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".html", ".css")]
    if not files:
        sys.exit(f"{folder} contains no pages.")
    found = [f"{path.relative_to(folder)}: {address}" for path in files for address in remote_loads(path)]
    if found:
        sys.exit("\n".join(["These pages load files from the network:", *found]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
