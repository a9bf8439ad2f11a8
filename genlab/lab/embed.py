"""The codes of items in a table and a plot; measures of their neighbours and classes, beside PCA of the pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from genlab.contract import Encodes
from genlab.data import held_out
from genlab.data.dataset import Column
from genlab.data.progress import progress
from genlab.kinds import Classes, Image, Kind
from genlab.lab.attributes import named
from genlab.lab.given import Given, given
from genlab.lab.inputs import Inputs
from genlab.lab.results import Results
from genlab.lab.run import at_least, whole
from genlab.lab.scatter import Colours, View, scatter
from genlab.lab.spaces import counted, flat, numbers_called
from genlab.metrics.codes import finite, neighbour_accuracy, principal_components, probe, trust
from genlab.randomness import key
from genlab.registry import ConfigError, unknown
from genlab.training.journal import write_projector

if TYPE_CHECKING:
    from genlab.lab.run import Run

Method = Literal["pca", "tsne", "umap"]

COUNT = 2_000
"""Items of the test split, or of a data set, if the user gives no number."""
_CALLED: dict[Method, str] = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
_BESIDE = 2_000
"""Training items that are laid out together with the items, or drawn behind them."""
_NUMBERS, _LEAST = 2**26, 1_000
"""Numbers of all training items that are read together, but no fewer items than the second."""
_PROBED = 10_000
"""Training items that a linear probe learns from."""
_FEWEST = 10
"""Items that t-SNE and UMAP need."""
_PERPLEXITY, _NEAR = 30, 15
_SHEET = 4096
"""The side of the sheet of small pictures that TensorBoard reads, in pixels."""


@dataclass(frozen=True)
class Embedding:
    """The codes of items, their places in the plot, and the metrics of each space."""

    given: Given
    codes: Tensor
    """N x D."""
    coordinates: Tensor
    """N x dimensions: the codes reduced by the method; with `pca`, codes of that many numbers stay as they are."""
    metrics: dict[str, dict[str, float]]
    """Trustworthiness, accuracy of 15 neighbours and of a linear probe: of the codes, and of PCA of the pixels."""
    views: tuple[View, ...]
    """The panels of the plot."""
    colours: Colours
    baseline: Tensor
    """PCA of the pixels with as many numbers as a code, N x D."""
    kind: Kind
    notes: tuple[str, ...] = ()

    def write(self, results: Results) -> None:
        """Write codes.csv, codes.npz, embedding.png, and the folder `projector` for TensorBoard."""
        described = _described(self.given)
        lines = list(zip(*described.values(), strict=True))
        numbers = {"code": self.codes, "coordinate": self.coordinates}
        header = [f"{name}_{place + 1}" for name, rows in numbers.items() for place in range(rows.shape[1])]
        values = torch.cat(list(numbers.values()), 1).tolist()
        table = ([*words, *(f"{value:.6g}" for value in row)] for words, row in zip(lines, values, strict=True))
        results.table("codes", [*described, *header], table)
        arrays = {_apart(name): self.given.columns[name].numpy() for name in self.given.kinds}
        arrays |= {"item": np.array(self.given.names), "code": self.codes.numpy()}
        results.arrays("codes", **arrays, coordinates=self.coordinates.numpy())
        results.chart("embedding", scatter(self.views, self.colours))
        vectors = {"codes": self.codes, "pca": self.baseline}
        pictures = _small(self.given.items) if isinstance(self.kind, Image) else None
        results.directory("projector", lambda folder: write_projector(folder, vectors, described, pictures))


@dataclass(frozen=True)
class _Space:
    """Items and training items as numbers: their codes, PCA of the pixels, or one of these reduced."""

    name: str
    points: Tensor
    training: Tensor
    places: Tensor
    """The place of each of these training items among all that were read."""
    title: str = ""
    """The title of its panel; a space without one is only measured."""

    @property
    def size(self) -> int:
        """The numbers of one item."""
        return self.points.shape[1]

    def __str__(self) -> str:
        return f"{self.name} ({counted(self.size, 'number')})"


class _Truth(NamedTuple):
    """The classes of the items and of the training items."""

    items: Tensor
    training: Tensor


@dataclass(frozen=True)
class _Known:
    """The attribute that colours the items, and what can be measured with it."""

    name: str = ""
    own: Column | None = None
    training: Column | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def truth(self) -> _Truth | None:
        """The classes, if there are several that training items and items share."""
        if not self.own or not self.training or not isinstance(self.own.kind, Classes):
            return None
        return _Truth(self.own.rows, self.training.rows) if _several(self.training) else None


def embed(
    run: Run,
    inputs: Inputs | None = None,
    *,
    method: Method = "pca",
    dimensions: int = 2,
    count: int = COUNT,
    by: str | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> Embedding:
    """Encode items, reduce the codes to one, two or three numbers, and measure both beside PCA of the pixels.

    The items are `count` test items, or `inputs`. Training items predict the attribute `by` (default: the label) of
    the items next to them. `tsne` and `umap` lay out up to 2,000 training items together with the items.
    """
    _check(run, method, dimensions, seed)
    items, kind = given(run, inputs, count=at_least(1, "count", count), skip_bad=skip_bad), run.kinds["x"]
    rows = held_out.chosen(run.dataset, "train", max(_LEAST, _NUMBERS // math.prod(kind.shape)))
    known = _known(run, items, rows, by)
    codes = run.encode(items.items)
    if dimensions > codes.shape[1]:
        size = counted(codes.shape[1], "number")
        raise ConfigError(f"A code of {run.name} has {size}: dimensions must be at most that, got {dimensions}.")
    training = torch.cat([batch["x"] for batch in held_out.batches(run.dataset, rows, torch.device("cpu"))])
    everywhere, beside = torch.arange(len(rows)), _evenly(len(rows), _BESIDE)
    pixels, pca = flat(kind, items.items), f"PCA of the {numbers_called(kind)}"
    code = _Space("code", codes, run.encode(training), everywhere)
    baseline = _Space(pca, *_principal(flat(kind, training), codes.shape[1], pixels), everywhere)
    with progress(2, "reducing", "reduced", "spaces") as advance:
        of_codes = _drawable(code, "Codes as they are", "the codes", method, dimensions, beside, seed)
        advance()
        of_pixels = _drawable(baseline, pca, pca, method, dimensions, beside, seed)
        advance()
    metrics = _measured([*of_codes, *of_pixels], pixels, known.truth)
    few = (
        ("There are too few items to measure trustworthiness.",) if "trustworthiness" not in metrics[str(code)] else ()
    )
    views = [_view(space, beside, metrics[str(space)]) for space in (*of_codes, *of_pixels) if space.title]
    behind = known.training if inputs is not None and not known.own else None
    colours = Colours(known.name, known.own, behind and Column(behind.kind, behind.rows[beside]))
    return Embedding(
        items, codes, of_codes[-1].points, metrics, tuple(views), colours, baseline.points, kind, (*known.notes, *few)
    )


def _check(run: Run, method: str, dimensions: int, seed: int) -> None:
    """Raise a ConfigError before the work if it could not be done."""
    if method not in get_args(Method):
        raise unknown("method", method, get_args(Method))
    if whole("dimensions", dimensions) not in (1, 2, 3):
        raise ConfigError(f"dimensions must be 1, 2 or 3, got {dimensions}.")
    whole("seed", seed)
    if method == "umap" and not find_spec("umap"):
        raise ConfigError("A package is not installed. Run pip install 'genlab[umap]', or choose the method tsne.")
    if not isinstance(run.model, Encodes):
        raise run._cannot("encode")


def _evenly(count: int, most: int) -> Tensor:
    """Return at most `most` places at equal distances."""
    return torch.arange(min(count, most)) * count // max(min(count, most), 1)


def _known(run: Run, items: Given, rows: Tensor, by: str | None) -> _Known:
    """Return the attribute `by`, or the label, of the items and of the training items."""
    own = {name: Column(kind, items.columns[name]) for name, kind in items.kinds.items()}
    learnt = {
        name: Column(column.kind, column.rows[rows])
        for name, column in run.dataset.columns.items()
        if name not in ("x", "y")
    }
    available = own or learnt
    if by is not None and not available:
        raise ConfigError(f"by must be an attribute, got {by!r}, and the data has no labels and no attributes.")
    name = named(available, "label" if by is None else by)
    if name is None and by is not None:
        raise unknown("attribute", by, available)
    if name is None:
        choices = f" Choose one of its attributes: {', '.join(available)}." if available else ""
        return _Known(notes=(f"The data has no labels, so no accuracy is measured.{choices}",))
    mine, training = own.get(name), learnt.get(name)
    if mine and training and mine.kind != training.kind:
        training = None
    return _Known(name, mine, training, _why_not(name, mine, training))


def _why_not(name: str, own: Column | None, training: Column | None) -> tuple[str, ...]:
    """Return a sentence if the classes of the items cannot be predicted."""
    only = "so no accuracy is measured."
    if own is None:
        return (f"The {name} of the items is not known, {only}",)
    if not isinstance(own.kind, Classes):
        return (f"The attribute {name} is a number and not a class, {only}",)
    if training is None:
        return (f"The training items have other classes than the items, {only}",)
    return () if _several(training) else (f"All training items have the same {name}, {only}",)


def _several(column: Column) -> bool:
    return int(column.rows.bincount().count_nonzero()) > 1


def _drawable(
    space: _Space, as_it_is: str, what: str, method: Method, dimensions: int, beside: Tensor, seed: int
) -> list[_Space]:
    """Return the space, and the same reduced by the method unless it has too few numbers for that."""
    space = replace(space, title=as_it_is if space.size == dimensions else "")
    if space.size < dimensions or (space.size == dimensions and method == "pca"):
        return [space]
    called = _CALLED[method]
    if method == "pca":
        points, training = _principal(space.training, dimensions, space.points)
        # PCA of PCA is PCA with fewer numbers.
        again = what == space.name
        name, title = (what, what) if again else (f"{space.name}, PCA", f"PCA of {what} ({space.size} numbers)")
        return [space, _Space(name, points, training, space.places, title)]
    layout = laid_out(torch.cat([space.points, space.training[beside]]), method, dimensions, seed)
    points, training = layout[: len(space.points)], layout[len(space.points) :]
    title = f"{called} of {what} ({counted(space.size, 'number')})"
    return [space, _Space(f"{space.name}, {called}", points, training, beside, title)]


def _principal(training: Tensor, size: int, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the principal components of points and of training items, fitted to the training items."""
    components = principal_components(training, size)
    found, of_training = (torch.from_numpy(components.transform(finite(rows))) for rows in (points, training))
    return found, of_training


def laid_out(rows: Tensor, method: Method, dimensions: int, seed: int) -> Tensor:
    """Lay rows out by t-SNE, which starts from PCA, or by UMAP, which draws at random from the seed."""
    from threadpoolctl import threadpool_limits

    if len(rows) < _FEWEST:
        raise ConfigError(f"{_CALLED[method]} needs at least {_FEWEST} items, got {len(rows)}. Choose the method pca.")
    # Sums of several threads are rounded differently each time.
    with threadpool_limits(1):
        layout = _layout(method, dimensions, len(rows), key(seed, "embed") % 2**32).fit_transform(finite(rows))
    return torch.from_numpy(np.ascontiguousarray(layout, dtype=np.float32))


def _layout(method: Method, dimensions: int, count: int, seed: int) -> Any:
    if method == "tsne":
        from sklearn.manifold import TSNE

        return TSNE(dimensions, perplexity=min(_PERPLEXITY, (count - 1) / 3), random_state=seed)
    import umap

    return umap.UMAP(n_neighbors=min(_NEAR, count - 1), n_components=dimensions, random_state=seed, n_jobs=1)


def _measured(spaces: Sequence[_Space], pixels: Tensor, truth: _Truth | None) -> dict[str, dict[str, float]]:
    """Measure each space by the name of the space."""
    found = dict[str, dict[str, float]]()
    with progress(len(spaces), "measuring", "measured", "spaces") as advance:
        for space in spaces:
            values = {"trustworthiness": trust(space.points, pixels), **_predicted(space, truth)}
            found[str(space)] = {name: value for name, value in values.items() if value is not None}
            advance()
    return found


def _predicted(space: _Space, truth: _Truth | None) -> dict[str, float]:
    """Return the shares of the items whose class the training items predict."""
    if truth is None:
        return {}
    classes = truth.training[space.places]
    probed = _evenly(len(classes), _PROBED)
    return {
        "neighbour_accuracy": neighbour_accuracy(space.training, classes, space.points, truth.items),
        "probe_accuracy": probe(space.training[probed], classes[probed], space.points, truth.items),
    }


def _view(space: _Space, beside: Tensor, metrics: Mapping[str, float]) -> View:
    training = space.training if len(space.places) == len(beside) else space.training[beside]
    shares = {"neighbour_accuracy": "15 neighbours", "probe_accuracy": "probe"}
    below = [f"{word} {metrics[name]:.1%}" for name, word in shares.items() if name in metrics]
    if "trustworthiness" in metrics:
        below.append(f"trustworthiness {metrics['trustworthiness']:.3f}")
    return View(space.title, space.points, training, ", ".join(below))


def _apart(attribute: str) -> str:
    """Return the name of an attribute in the files, where it must not take the place of the codes."""
    return f"{attribute}_" if attribute in ("item", "code", "coordinates", "name", "file") else attribute


def _described(items: Given) -> dict[str, list[str]]:
    """Return the name, the label and the attributes of each item as texts."""
    found = {"item": list(items.names)}
    for name, kind in items.kinds.items():
        values = items.columns[name].tolist()
        names = kind.names if isinstance(kind, Classes) else None
        found[_apart(name)] = [names[value] if names else f"{value:.6g}" for value in values]
    return found


def _small(images: Tensor) -> Tensor:
    """Return the images as squares that are small enough for one sheet of all of them."""
    side, most = max(images.shape[2:]), _SHEET // math.ceil(math.sqrt(len(images)))
    squares = functional.pad(images, (0, side - images.shape[3], 0, side - images.shape[2]), value=1.0)
    if side <= most:
        return squares
    return functional.interpolate(squares, size=(most, most), mode="area")
