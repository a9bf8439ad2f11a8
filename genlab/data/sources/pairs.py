"""Pairs of images: two folders whose files have the same names, or one folder with both halves side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

import numpy as np

from genlab.data.dataset import Column, Dataset
from genlab.data.files import cache
from genlab.data.files.decode import Crop, Part, Style
from genlab.data.files.first_pass import Channels, Decoded, decoded
from genlab.data.files.listing import Listing, shown
from genlab.data.sources.folder import (
    bad_files,
    check_numbers,
    colour,
    family,
    files_in,
    place_of,
    places_of,
    split_by,
    usable,
)
from genlab.kinds import Image
from genlab.registry import ConfigError

_NAMED = 3
"""Files without a partner that a message names, for each folder."""


class _Half(NamedTuple):
    """The images of one column."""

    files: Listing
    found: Decoded
    size: int

    def column(self, rows: list[int]) -> Column:
        """Return the images of these files, which are all usable."""
        good: list[int] = self.found.index.good.tolist()
        kind = Image(self.found.channels, self.size, self.size)
        images = cache.mapped(self.found.file, len(good), *kind.shape)
        if rows == good:
            return Column(kind, images, self.found.file)
        place = {number: row for row, number in enumerate(good)}
        return Column(kind, images[[place[number] for number in rows]])


def pairs(
    *,
    path: str | None,
    input: str | None,
    left: Literal["input", "target"],
    size: int,
    crop: Crop,
    channels: Channels,
    background: str,
    validation: float,
    test: float,
    tolerate: float,
) -> Dataset:
    """Return pairs of images: the column `x` holds the targets, and `y` the inputs."""
    check_numbers(size, validation, test, tolerate)
    if crop == "random":
        raise ConfigError("crop must be none or center, because both images of a pair need the same crop; got random.")
    style = Style(size, crop, 3, colour(background))
    if input is None:
        parts: tuple[Part, Part] = ("right", "left") if left == "input" else ("left", "right")
        files = files_in(place_of(path))
        halves = [_half(files, replace(style, part=part), channels, tolerate) for part in parts]
    else:
        targets, inputs = _matched(*map(files_in, places_of(path, input, "input")))
        halves = [_half(files, style, channels, tolerate) for files in (targets, inputs)]
    return _paired(halves, validation, test, tolerate)


def _half(files: Listing, style: Style, channels: Channels, tolerate: float) -> _Half:
    # A name of its own: the order of the files can be another one than that of data=folder.
    name = family(files.folder, style, channels, "pairs", style.part)
    return _Half(files, decoded(files, name, style, channels, tolerate), style.size)


def _paired(halves: Sequence[_Half], validation: float, test: float, tolerate: float) -> Dataset:
    """Return the pairs of which both images can be used; the target's pixels decide about the split."""
    usual = [set(usable(half.files, half.found, tolerate)) for half in halves]
    rows = sorted(set.intersection(*usual))
    if not rows:
        raise ConfigError("There is no pair of which both images can be used.")
    columns = [half.column(rows) for half in halves]
    target = halves[0].found.index
    kept = np.isin(target.good, rows)
    splits = split_by(target.places[kept], validation, test)
    bad = dict.fromkeys(reason for half in halves for reason in bad_files(half.files, half.found))
    contents = " ".join([*(half.found.contents for half in halves), str(len(rows))])
    return Dataset({"x": columns[0], "y": columns[1]}, splits, bad_files=tuple(bad), contents=contents)


def _matched(targets: Listing, inputs: Listing) -> tuple[Listing, Listing]:
    """Return both listings in the same order, matched by the names of the files without their suffixes."""
    stems = [_stems(files) for files in (targets, inputs)]
    alone = [[name for name in ours if name not in theirs] for ours, theirs in (stems, stems[::-1])]
    if any(alone):
        found = [
            f"\n  only in {files.place}: {_few([files.names[ours[name]] for name in names])}"
            for files, ours, names in zip((targets, inputs), stems, alone, strict=True)
            if names
        ]
        raise ConfigError(
            f"The files of a pair must have the same name in both folders, such as 1.jpg and 1.png.{''.join(found)}"
        )
    order = sorted(stems[0])
    targets, inputs = (
        Listing(files.folder, [files.entries[ours[name]] for name in order], files.version)
        for files, ours in zip((targets, inputs), stems, strict=True)
    )
    return targets, inputs


def _stems(files: Listing) -> dict[str, int]:
    """Return the number of each file by its name without the suffix."""
    stems = dict[str, int]()
    for number, name in enumerate(files.names):
        stem = str(PurePosixPath(name).with_suffix(""))
        if stem in stems:
            both = f"{shown(files.names[stems[stem]])} and {shown(name)}"
            raise ConfigError(f"Two files in {files.place} have the same name without their suffix: {both}.")
        stems[stem] = number
    return stems


def _few(names: Sequence[str]) -> str:
    listed = ", ".join(map(shown, names[:_NAMED]))
    return listed if len(names) <= _NAMED else f"{listed} and {len(names) - _NAMED:,} more"
