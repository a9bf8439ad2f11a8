"""Which pictures a person means, and what each result is called."""

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


def sources(given: Iterable[Path], out: Path | None) -> list[Source]:
    """Files as they are, the images of folders at any depth, those that globs match; each file once.

    `out` is where the results go, if there will be any.
    """
    found: dict[Path, Source] = {}
    for argument in given:
        for source in _meant(argument.expanduser(), out):
            found.setdefault(source.path.resolve(), source)
    return list(found.values())


def _meant(argument: Path, out: Path | None) -> list[Source]:
    if argument.is_dir():
        if out:
            _check_apart(argument, out)
        names = listed(argument).names
        if not names:
            raise ConfigError(f"There is no image in {shown(str(argument))} ({', '.join(SUFFIXES)}).")
        return [Source(argument / name, Path(name)) for name in names]
    # A file may be called photo[1].jpg.
    if argument.exists() or not glob.has_magic(str(argument)):
        return [Source(argument, Path(argument.name))]
    matches = [Path(match) for match in sorted(glob.glob(str(argument), recursive=True))]
    images = [match for match in matches if match.suffix.lower() in SUFFIXES and not match.is_dir()]
    if not images:
        raise ConfigError(f"No image matches {shown(str(argument))!r} ({', '.join(SUFFIXES)}).")
    for match in images:
        if out and match.resolve().is_relative_to(out.resolve()):
            raise ConfigError(
                f"{shown(str(argument))} takes in {shown(str(match))}, which lies in {shown(str(out))}, where the "
                f"results go; name another folder with --out."
            )
    return [Source(match, Path(match.name)) for match in images]


def _check_apart(folder: Path, out: Path) -> None:
    """Else the next call would take the results for pictures."""
    if out.resolve().is_relative_to(folder.resolve()):
        where = "is the folder" if out.resolve() == folder.resolve() else "lies in the folder"
        raise ConfigError(
            f"{shown(str(out))}, where the results go, {where} of pictures {shown(str(folder))}; "
            f"name another with --out."
        )
