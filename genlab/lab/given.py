"""The items that a user gives to a command: pictures, data sets by name, or the run's own data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from PIL import Image as Pillow
from torch import Tensor

from genlab import build
from genlab.config import compose
from genlab.contract import Batch
from genlab.data import SOURCES, held_out
from genlab.data.dataset import Dataset
from genlab.data.files.decode import is_grey, size_of
from genlab.data.files.first_pass import quiet_pillow
from genlab.data.files.listing import SUFFIXES
from genlab.kinds import Image, Kind
from genlab.lab.files import sources
from genlab.lab.inputs import Inputs, items
from genlab.registry import ConfigError, schema

if TYPE_CHECKING:
    from genlab.lab.run import Run


@dataclass(frozen=True)
class Given:
    """Items as the model sees them, and what is known about them."""

    items: Tensor
    """N x the shape of one item."""
    names: tuple[str, ...]
    """The file of each item, or its data set, split and row."""
    columns: Batch = field(default_factory=dict)
    """Labels and attributes by name, if the items come from a data set that has them."""
    notes: tuple[str, ...] = ()
    """Sentences about pictures that were converted."""
    bad: tuple[str, ...] = ()
    """Files that could not be read and were left out: `name: reason`."""
    files: tuple[str, ...] = ()
    """The file for the result of each item, without a suffix; folders inside a given folder are kept."""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    """The kind of each column, with the names of its classes."""

    def __len__(self) -> int:
        return len(self.items)


def given(
    run: Run,
    inputs: Inputs | None,
    *,
    count: int | None = None,
    split: str = "test",
    skip_bad: bool = False,
    column: str = "x",
    kind: Kind | None = None,
) -> Given:
    """Return the items that a user names, in order.

    Without inputs these are `count` items (None for all) of a split of the run's own data. A text that is the name of a
    data set means `count` items of its split; any other text is a file, a folder or a pattern. With `skip_bad`,
    files that cannot be read are left out and listed; otherwise the first one raises a ConfigError.

    The items are those of `column` in the run's own data, or converted to `kind` (default: the kind of that column).
    """
    kind = kind or run.kinds[column]
    if inputs is None:
        return _of_dataset(run, run.dataset, str(run.config["data"]["name"]), count, split, kind, column)
    parts = list(_parts(run, inputs, count, split, skip_bad, kind))
    bad = tuple(reason for part in parts for reason in part.bad)
    if not any(len(part) for part in parts):
        raise ConfigError("\n  ".join(["None of the files can be read:", *bad]) if bad else "The list is empty.")
    first, *others = [part for part in parts if len(part)]
    # A column counts only if it means the same everywhere: class 3 of digits is not class 3 of fashion-mini.
    known = {name: kind for name, kind in first.kinds.items() if all(part.kinds.get(name) == kind for part in others)}
    return Given(
        torch.cat([part.items for part in parts if len(part)]),
        tuple(name for part in parts for name in part.names),
        {name: torch.cat([part.columns[name] for part in parts if len(part)]) for name in known},
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        bad,
        tuple(file for part in parts for file in part.files),
        kinds=known,
    )


def data_sets() -> set[str]:
    """Return the names of data sets; recipes that read a folder or a run of the user are not among them."""
    own = {name for name, source in SOURCES.items() if {"path", "run"} & schema(source).keys()}
    return {name for name in compose.choices("data") if name not in own}


def _parts(run: Run, inputs: Inputs, count: int | None, split: str, skip_bad: bool, kind: Kind) -> Iterator[Given]:
    """Yield the items of each data set, and of the files and objects between them."""
    own = str(run.config["data"]["name"])
    named = data_sets() | {own}
    waiting = list[Inputs]()
    for each in [inputs] if _is_one(inputs) else cast(Sequence[Inputs], inputs):
        # The name of a data set comes before a folder of that name, which can be given as ./mnist.
        if isinstance(each, str | Path) and str(each) in named:
            if waiting:
                yield _of_files(run, waiting, skip_bad, kind)
                waiting = []
            # The run knows the folder and the size of its own data.
            dataset = run.dataset if str(each) == own else build.build_data(compose.compose([f"data={each}"]))
            yield _of_dataset(run, dataset, str(each), count, split, kind)
        else:
            waiting.append(each)
    if waiting:
        yield _of_files(run, waiting, skip_bad, kind)


def _is_one(inputs: Inputs) -> bool:
    """Return True for a text, an object, and a list of plain numbers."""
    return isinstance(inputs, str) or not isinstance(inputs, Sequence) or all(isinstance(each, Real) for each in inputs)


def _of_files(run: Run, inputs: Sequence[Inputs], skip_bad: bool, kind: Kind) -> Given:
    """Read files, and take arrays, tensors and PIL images as they are."""
    found, bad, changed = list[Tensor](), list[str](), Counter[str]()
    names, files = list[str](), list[Path]()
    with quiet_pillow():
        for element, name, file in _named(kind, inputs):
            try:
                rows = items(kind, element, run.fitting)
            except ConfigError as error:
                if not skip_bad or not isinstance(element, Path):
                    raise
                bad.append(str(error).rstrip("."))
                continue
            if isinstance(element, Path) and isinstance(kind, Image):
                changed.update(_changes(element, kind))
            found.append(rows)
            names += [name] if len(rows) == 1 else [f"{name}-{number}" for number in range(len(rows))]
            files += [file] if len(rows) == 1 else [Path(f"{file}-{number}") for number in range(len(rows))]
    rows = torch.cat(found) if found else torch.empty(0, *kind.shape)
    notes = tuple(_sentences(changed, len(names)))
    return Given(rows, tuple(names), notes=notes, bad=tuple(bad), files=_stems(files))


def _named(kind: Kind, inputs: Sequence[Inputs]) -> Iterator[tuple[Inputs, str, Path]]:
    """Yield each picture file, and each object, with a name for it and the file for its result."""
    number = 0
    for each in inputs:
        if isinstance(kind, Image) and isinstance(each, str | Path):
            yield from ((source.path, str(source), source.name) for source in sources([Path(each)]))
        else:
            yield each, f"item {number}", Path(f"item-{number}")
            number += 1


def _stems(files: Sequence[Path]) -> tuple[str, ...]:
    """Remove the suffixes of pictures, except where two files would then have the same name."""
    stems = [str(file.with_suffix("")) if file.suffix.lower() in SUFFIXES else str(file) for file in files]
    often = Counter(stems)
    return tuple(stem if often[stem] == 1 else str(file) for stem, file in zip(stems, files, strict=True))


def _changes(path: Path, kind: Image) -> Iterable[str]:
    if size_of(path) != (kind.width, kind.height):
        yield f"resized to {kind.width} x {kind.height}"
    if (grey := is_grey(path)) is not None and grey != (kind.channels == 1):
        yield "converted from grey to colour" if grey else "converted from colour to grey"


def _sentences(changed: Counter[str], total: int) -> Iterator[str]:
    for change, count in changed.items():
        which = f"{count:,} of {total:,} pictures {'was' if count == 1 else 'were'}" if total > 1 else "The picture was"
        yield f"{which} {change}."


def _of_dataset(
    run: Run, dataset: Dataset, name: str, count: int | None, split: str, kind: Kind, column: str = "x"
) -> Given:
    """Take items of a split, evenly over its classes; images of another size or colour are converted."""
    own = dataset.kinds[column]
    split = split if len(dataset.splits[split]) else "train"
    rows = dataset.splits[split] if count is None else held_out.spread(dataset, split, count)
    if not len(rows):
        raise ConfigError(f"Data {name!r} has no items.")
    notes = list[str]()
    if own == kind:
        found = torch.cat([batch[column] for batch in held_out.batches(dataset, rows, torch.device("cpu"))])
    elif isinstance(own, Image) and isinstance(kind, Image):
        pictures = [_picture(pixels) for pixels in dataset.columns[column].rows[rows]]
        found = torch.cat([items(kind, picture, run.fitting) for picture in pictures])
        notes.append(f"The images of {name} were converted from {own.describe()} to {kind.describe()}.")
    else:
        raise ConfigError(f"{run.name} takes {kind.describe()}, and data {name!r} holds {own.describe()}.")
    known = {key: column for key, column in dataset.columns.items() if key not in ("x", "y")}
    columns = {key: column.rows[rows] for key, column in known.items()}
    kinds = {key: column.kind for key, column in known.items()}
    names = tuple(f"{name}/{split}/{row}" for row in rows.tolist())
    return Given(found, names, columns, tuple(notes), files=names, kinds=kinds)


def _picture(pixels: Tensor) -> Pillow.Image:
    return Pillow.fromarray((pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)).contiguous().numpy())
