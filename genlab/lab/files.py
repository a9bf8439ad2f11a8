"""Find the picture files that a path, a folder or a pattern names."""

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from genlab.data.files.listing import SUFFIXES, listed, shown
from genlab.registry import ConfigError


class Source(NamedTuple):
    """A file, and the name of its result in the folder of the results."""

    path: Path
    name: Path

    def __str__(self) -> str:
        return shown(str(self.path))


def sources(given: Iterable[Path], out: Path | None = None) -> list[Source]:
    """Return the given files, the pictures in given folders (at any depth) and those that match patterns, each once.

    `out` is the folder of the results, if there will be any; it must not overlap the pictures.
    """
    found: dict[Path, Source] = {}
    for argument in given:
        for source in _matches(argument.expanduser(), out):
            found.setdefault(source.path.resolve(), source)
    return list(found.values())


def _matches(argument: Path, out: Path | None) -> list[Source]:
    if argument.is_dir():
        if out:
            _check_apart(argument, out)
        names = listed(argument).names
        if not names:
            raise ConfigError(f"There are no pictures in {shown(str(argument))} ({', '.join(SUFFIXES)}).")
        return [Source(argument / name, Path(name)) for name in names]
    # A file can be called photo[1].jpg.
    if argument.exists() or not glob.has_magic(str(argument)):
        return [Source(argument, Path(argument.name))]
    matches = [Path(match) for match in sorted(glob.glob(str(argument), recursive=True))]
    pictures = [match for match in matches if match.suffix.lower() in SUFFIXES and not match.is_dir()]
    if not pictures:
        raise ConfigError(f"No picture matches {shown(str(argument))!r} ({', '.join(SUFFIXES)}).")
    for match in pictures:
        if out and match.resolve().is_relative_to(out.resolve()):
            raise ConfigError(
                f"{shown(str(argument))} matches {shown(str(match))}, which is in the folder of the results, "
                f"{shown(str(out))}. Choose another folder with --out."
            )
    return [Source(match, Path(match.name)) for match in pictures]


def _check_apart(folder: Path, out: Path) -> None:
    """Raise a ConfigError if results would lie among the pictures: the next call would upscale them, too."""
    if out.resolve().is_relative_to(folder.resolve()):
        where = "is" if out.resolve() == folder.resolve() else "lies in"
        raise ConfigError(
            f"The folder of the results, {shown(str(out))}, {where} the folder of pictures {shown(str(folder))}. "
            f"Choose another folder with --out."
        )
