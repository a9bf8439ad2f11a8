"""A published data set: found in a folder of the user, or downloaded into the cache once."""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Generic, TypeVar

from genlab.data.files.cache import cache_folder
from genlab.registry import ConfigError

Found = TypeVar("Found")
_ARCHIVES = (".zip", ".gz", ".tgz")


@dataclass(frozen=True)
class Offer(Generic[Found]):
    """A published data set: its source, its licence, and how it is found and downloaded."""

    name: str
    source: str
    """Web page of the data set."""
    fetch: str
    """Files to download there."""
    place: str
    """Folder of the cache where the files belong."""
    megabytes: int
    licence: str
    find: Callable[[Path], Found]
    """Searches a folder and the ones below it; a ConfigError says what is missing."""
    download: Callable[[Path], object]
    """Fills an empty folder so that `find` finds everything in it."""
    packed: bool = False
    """True if the downloaded file is an archive to unpack."""

    def here(self, folder: Path | None = None) -> bool:
        """Return True if everything is in a folder, by default the cache."""
        try:
            self.find(folder or cache_folder())
        except ConfigError:
            return False
        return True

    def get(self, root: str | None) -> Found:
        """Find the files in `root`, or in the cache, into which they are downloaded if they are missing."""
        folder = cache_folder() if root is None else Path(os.path.expanduser(root))
        if root is None and not self.here(folder):
            self._bring(folder)
        try:
            return self.find(folder)
        except ConfigError as error:
            raise ConfigError(f"{error} Fetch {self.fetch} from {self.source}") from None

    def _bring(self, folder: Path) -> None:
        """Download into a temporary folder and then move, so that an interruption leaves nothing incomplete."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            print(f"Downloading {self.name} ({self.megabytes:,} MB) into {folder}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
                with contextlib.redirect_stdout(io.StringIO()):
                    self.download(Path(temporary))
                _move(Path(temporary), folder)
        except (OSError, RuntimeError, HTTPException) as error:
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            put = "put them" if ", " in self.fetch else "put it"
            how, into = ("unpack it", "in") if self.packed else (put, "into")
            raise ConfigError(
                f"{self.name} is not in {folder} and could not be downloaded: {reason[0]}\n"
                f"Fetch {self.fetch} from {self.source}\n"
                f"and {how} {into} {folder / self.place}, or {into} any folder with data.root=FOLDER."
            ) from None


def folder_with(root: Path, paths: tuple[str, ...], *below: str) -> Path:
    """Return the folder that has all these paths: the root, one below it, or the one above if the root is a part."""
    if not root.is_dir():
        raise ConfigError(f"There is no folder {root}.")
    inside = {path.partition("/")[0] for path in paths if "/" in path}
    folders = [root, *(root / name for name in below), *([root.parent] if root.name in inside else [])]
    lacking = [[path for path in paths if not (folder / path).exists()] for folder in folders]
    fewest = min(lacking, key=len)
    if fewest:
        looked = f" (in it or in its {', '.join(f'{name}/' for name in below)})" if below else ""
        raise ConfigError(f"{root} lacks {', '.join(fewest)}{looked}.")
    return folders[lacking.index(fewest)]


def _move(start: Path, end: Path) -> None:
    """Move the unpacked files, the deepest first, so that the files that `find` looks for first come last."""
    files = [path for path in start.rglob("*") if path.is_file() and path.suffix not in _ARCHIVES]
    for file in sorted(files, key=lambda path: -len(path.parts)):
        target = end / file.relative_to(start)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
