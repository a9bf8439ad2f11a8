"""Large photographs, a folder of them or scikit-learn's two, out of which training crops are cut at any place."""

import os
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.files import cache
from genlab.data.files.decode import Style, cells_of
from genlab.data.files.first_pass import Channels, Decoded, decoded, found_channels, found_sizes
from genlab.data.files.listing import Listing, shown
from genlab.data.mosaic import Pictures, grid_of
from genlab.data.sources.folder import (
    bad_files,
    check_parts,
    colour,
    family,
    files_in,
    place_of,
    split_by,
    usable,
)
from genlab.registry import ConfigError

SMALLEST, LARGEST, STEP = 16, 512, 8
# Four for a pixel of Pillow, and four for its upright copy.
_BYTES_OF_A_PIXEL = 8
# Each of scikit-learn's 640 x 427 photographs becomes six regions of 213 x 213, in two rows of three.
_REGION, _VALIDATED, _TESTED = 213, 0, 1


def photos(
    *,
    path: str | None,
    size: int,
    shrink: int = 1,
    channels: Channels,
    background: str,
    validation: float,
    test: float,
    tolerate: float,
) -> Dataset:
    """Return all photographs below a folder, decoded whole and once; each is in one split with all its crops."""
    place = place_of(path)
    _check_size(size, LARGEST)
    check_parts(validation, test, tolerate)
    if shrink < 1:
        raise ConfigError(f"shrink must be at least 1, which leaves photographs as they are, got {shrink}.")
    files = _distinct(files_in(place))
    found = _decoded(files, Style(size, "cells", 3, colour(background), shrink), channels, tolerate)
    usable(files, found, tolerate)
    sizes = torch.from_numpy(found.index.grids)
    grid = grid_of(sizes)
    splits = _of_cells(split_by(found.index.places, validation, test), sizes)
    return Pictures.of_images(
        cache.mapped(found.file, len(grid), found.channels, size, size),
        splits,
        contents=found.contents,
        file=found.file,
        bad_files=bad_files(files, found),
        grid=grid,
    )


def photos_mini(*, size: int) -> Dataset:
    """Return crops of scikit-learn's two photographs; four of the six regions of each are for training."""
    from sklearn.datasets import load_sample_images

    _check_size(size, _REGION)
    regions = [region for pixels in load_sample_images().images for region in _regions(Image.fromarray(pixels))]
    cells = [torch.from_numpy(cells_of(region, size)) for region in regions]
    number = torch.arange(len(regions)) % 6
    held_out = {"validation": number == _VALIDATED, "test": number == _TESTED}
    chosen = {"train": ~(held_out["validation"] | held_out["test"]), **held_out}
    sizes = torch.tensor([rows.shape[:2] for rows in cells])
    splits = _of_cells({name: where.nonzero().flatten() for name, where in chosen.items()}, sizes)
    return Pictures.of_images(torch.cat([rows.flatten(0, 1) for rows in cells]), splits, grid=grid_of(sizes))


def _check_size(size: int, most: int) -> None:
    if size % STEP or not SMALLEST <= size <= most:
        most -= most % STEP
        raise ConfigError(f"size must be a multiple of {STEP} between {SMALLEST} and {most}, got {size}.")


def _regions(picture: Image.Image) -> list[Image.Image]:
    corners = [(left * _REGION, top * _REGION) for top in range(2) for left in range(3)]
    return [picture.crop((left, top, left + _REGION, top + _REGION)) for left, top in corners]


def _distinct(files: Listing) -> Listing:
    """Return each file once, whatever the number of links to it, so that no photograph counts twice."""
    entries: dict[object, str] = {}
    for name, entry in zip(files.names, files.entries, strict=True):
        try:
            state = os.stat(files.folder / name)
            entries.setdefault((state.st_dev, state.st_ino), entry)
        except OSError:  # A missing file is found bad when it is opened.
            entries[name] = entry
    return Listing(files.folder, list(entries.values()), files.version)


def _decoded(files: Listing, style: Style, channels: Channels, tolerate: float) -> Decoded:
    """Return the cells of all photographs, from the cache if neither files nor settings have changed."""
    name, size, shrink = family(files.folder, style, channels), style.size, style.shrink
    if found := Decoded.found(name, files.version):
        return found
    sizes = found_sizes(files.folder, files.names)
    smaller = [(width // shrink, height // shrink) for width, height in sizes]
    _check_largest(files.folder, smaller, size)
    depth = found_channels(files.opened(range(len(files)))) if channels == "auto" else channels
    cells = sum((width // size) * (height // size) for width, height in smaller)
    costs = [width * height * _BYTES_OF_A_PIXEL for width, height in sizes]
    return decoded(files, name, style, depth, tolerate, cells, costs)


def _check_largest(place: Path, sizes: list[tuple[int, int]], size: int) -> None:
    """Raise a ConfigError if no photograph is large enough: then the size is wrong, not the photographs."""
    width, height = max(sizes, key=min)
    if 0 < min(width, height) < size:
        fitting = min(width, height) // STEP * STEP
        advice = f"Set data.size={fitting} or lower." if fitting >= SMALLEST else f"The smallest size is {SMALLEST}."
        raise ConfigError(
            f"No photograph in {shown(str(place))} is as large as a crop of {size} x {size}; "
            f"the largest is {width} x {height}. {advice}"
        )


def _of_cells(splits: dict[str, Tensor], sizes: Tensor) -> dict[str, Tensor]:
    """Return the cells of each split; `splits` name whole pictures, which have `sizes` rows and columns of cells."""
    owner = torch.arange(len(sizes)).repeat_interleave(sizes.prod(1))
    return {name: torch.isin(owner, chosen).nonzero().flatten() for name, chosen in splits.items()}
