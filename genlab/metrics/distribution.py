"""How far two sets of feature vectors lie apart: as two normal distributions, by a kernel and by who lies near whom."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from genlab.registry import ConfigError

PRECISION_NEIGHBOURS = 3
"""How many neighbours of a point its ball reaches to for precision and recall, as in Kynkaanniemi et al. 2019."""

DENSITY_NEIGHBOURS = 5
"""The same for density and coverage, as in Naeem et al. 2020."""

EQUAL = 1e-12
"""What part of both squared lengths a squared distance may fall short of: float32 cannot tell such vectors apart."""

_AT_ONCE = 512


class Cloud:
    """Feature vectors, N x F, and what follows from them alone: worked out when it is first asked for, and kept."""

    def __init__(self, features: Tensor) -> None:
        assert features.dim() == 2
        # The one kind of device that has no float64.
        self.features = features.cpu() if features.device.type == "mps" else features
        if not self.features.isfinite().all():
            raise ConfigError("Some features are no finite numbers, and so the images lie at no distance from others.")

    def __len__(self) -> int:
        return len(self.features)

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Some rows at a time, in float64: as a whole that would take twice the memory of the features."""
        for start in range(0, len(self), _AT_ONCE):
            rows = slice(start, min(start + _AT_ONCE, len(self)))
            yield rows, self.features[rows].double()

    def zeros(self, *size: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Zeros where the features are."""
        return torch.zeros(size, dtype=dtype, device=self.features.device)

    @cached_property
    def squares(self) -> Tensor:
        """The squared length of each vector."""
        return torch.cat([self.zeros(0), *(part.square().sum(1) for _, part in self.blocks())])

    @cached_property
    def mean(self) -> Tensor:
        """The mean vector."""
        total = self.zeros(self.features.shape[1])
        for _, part in self.blocks():
            total += part.sum(0)
        return total / len(self)

    @cached_property
    def root(self) -> Tensor:
        """A matrix of F rows that times its own transpose is the covariance, with one column for each direction."""
        width = self.features.shape[1]
        scatter = self.zeros(width, width)
        for _, part in self.blocks():
            centred = part - self.mean
            scatter.addmm_(centred.T, centred)
        values, directions = torch.linalg.eigh(scatter / (len(self) - 1))
        # What is left is what rounding makes of no spread at all.
        kept = values > values[-1] * width * torch.finfo(values.dtype).eps
        root: Tensor = directions[:, kept] * values[kept].sqrt()
        return root

    @cached_property
    def among(self) -> "Among":
        """What the pairs of its vectors say."""
        kernel = self.zeros()
        nearest = self.zeros(len(self), max(PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS)) + torch.inf
        for tile in _tiles(self):
            likeness, apart = tile.kernel, tile.apart
            if tile.rows == tile.columns:
                # Nobody is their own neighbour, nor their own pair.
                likeness.fill_diagonal_(0)
                apart.fill_diagonal_(torch.inf)
                kernel += likeness.sum()
            else:
                kernel += 2 * likeness.sum()
                nearest[tile.columns] = _nearer(nearest[tile.columns], apart.T)
            nearest[tile.rows] = _nearer(nearest[tile.rows], apart)
        return Among(kernel / (len(self) * (len(self) - 1)) if len(self) > 1 else kernel, nearest)


class Among(NamedTuple):
    """What the pairs of a set's vectors say: how alike they are on average, and how far each one's neighbours are."""

    kernel: Tensor
    nearest: Tensor
    """Squared, the nearest first, to rounding; infinite where there are not so many."""


def compared(real: Cloud, made: Cloud) -> dict[str, float]:
    """Every figure that exists: FD, KID, and precision, recall, density and coverage of what is made."""
    figures = {"FD": frechet(real, made)} if min(len(real), len(made)) > 1 else {}
    return figures | _met(real, made, _Kernels, _PrecisionRecall, _DensityCoverage)


def frechet(first: Cloud, second: Cloud) -> float:
    """The Frechet distance of the normal distributions with both sets' means and covariances (Heusel et al. 2017).

    The trace of the root of both covariances' product is the sum of the singular values of their roots' product: that
    has no imaginary parts, and singular covariances are as exact as others.
    """
    assert min(len(first), len(second)) > 1
    spread = first.root.square().sum() + second.root.square().sum()
    shared = torch.linalg.svdvals(first.root.T @ second.root).sum()
    return float(((first.mean - second.mean).square().sum() + spread - 2 * shared).clamp(min=0))


def kernel_distance(first: Cloud, second: Cloud) -> float:
    """KID: the unbiased squared distance of both means under the kernel (x.y / F + 1)^3 (Binkowski et al. 2018).

    Over all pairs, and so exact; the mean over random subsets that the literature reports estimates the same value.
    """
    assert min(len(first), len(second)) > 1
    return _met(first, second, _Kernels)["KID"]


def precision_recall(real: Cloud, made: Cloud) -> dict[str, float]:
    """The share of what is made that lies within the real, and of the real within what is made.

    Within a set lies what is no further from one of its points than that one's third neighbour in the set
    (Kynkaanniemi et al. 2019).
    """
    return _met(real, made, _PrecisionRecall)


def density_coverage(real: Cloud, made: Cloud) -> dict[str, float]:
    """How densely what is made lies where the real is, and the share of real points that have some of it near.

    Both by balls around real points only, which reach to the fifth neighbour, so that no made outlier spoils them
    (Naeem et al. 2020). A density above 1 says that what is made crowds where the real is dense.
    """
    return _met(real, made, _DensityCoverage)


@dataclass(frozen=True)
class _Tile:
    """Some vectors of one set beside some of another."""

    rows: slice
    columns: slice
    dots: Tensor
    lengths: Tensor
    """The sum of both squared lengths."""
    width: int

    @cached_property
    def kernel(self) -> Tensor:
        return (self.dots / self.width + 1).pow(3)

    @cached_property
    def apart(self) -> Tensor:
        """Squared distances, to the rounding of what they are the difference of."""
        return self.lengths - 2 * self.dots

    @cached_property
    def at_least(self) -> Tensor:
        """Squared distances, less what is rounding: so equal vectors lie in any ball around each other."""
        return self.apart - EQUAL * self.lengths


def _tiles(first: Cloud, second: Cloud | None = None) -> Iterator[_Tile]:
    """All pairs of vectors, some at a time; of a set with itself each pair of tiles only one way round."""
    other = first if second is None else second
    for rows, left in first.blocks():
        for columns, right in other.blocks():
            if second is not None or columns.start >= rows.start:
                lengths = first.squares[rows, None] + other.squares[columns]
                yield _Tile(rows, columns, left @ right.T, lengths, left.shape[1])


def _nearer(so_far: Tensor, apart: Tensor) -> Tensor:
    """The smallest of each row, as many as before."""
    found = apart.topk(min(so_far.shape[1], apart.shape[1]), largest=False).values
    return torch.cat([so_far, found], 1).topk(so_far.shape[1], largest=False).values


class _Measure(Protocol):
    """What sees every pair of a real and a made vector once, tile by tile."""

    def add(self, tile: _Tile) -> None: ...

    def figures(self) -> dict[str, float]: ...


def _met(real: Cloud, made: Cloud, *kinds: Callable[[Cloud, Cloud], _Measure]) -> dict[str, float]:
    """The figures of several measures, for which the distances are worked out once."""
    measures = [kind(real, made) for kind in kinds]
    for tile in _tiles(real, made):
        for measure in measures:
            measure.add(tile)
    return {name: value for measure in measures for name, value in measure.figures().items()}


class _Kernels:
    def __init__(self, first: Cloud, second: Cloud) -> None:
        self.first, self.second, self.total = first, second, first.zeros()

    def add(self, tile: _Tile) -> None:
        self.total += tile.kernel.sum()

    def figures(self) -> dict[str, float]:
        if min(len(self.first), len(self.second)) < 2:
            return {}
        across = self.total / (len(self.first) * len(self.second))
        return {"KID": float(self.first.among.kernel + self.second.among.kernel - 2 * across)}


class _PrecisionRecall:
    def __init__(self, real: Cloud, made: Cloud) -> None:
        self.around_real = _Balls(real, made, PRECISION_NEIGHBOURS)
        self.around_made = _Balls(made, real, PRECISION_NEIGHBOURS)

    def add(self, tile: _Tile) -> None:
        self.around_real.add(tile.rows, tile.columns, tile.at_least)
        self.around_made.add(tile.columns, tile.rows, tile.at_least.T)

    def figures(self) -> dict[str, float]:
        balls = {"precision": self.around_real, "recall": self.around_made}
        return {name: float(these.inside.double().mean()) for name, these in balls.items() if these.exist}


class _DensityCoverage:
    def __init__(self, real: Cloud, made: Cloud) -> None:
        self.balls = _Balls(real, made, DENSITY_NEIGHBOURS)

    def add(self, tile: _Tile) -> None:
        self.balls.add(tile.rows, tile.columns, tile.at_least)

    def figures(self) -> dict[str, float]:
        if not self.balls.exist:
            return {}
        density = float(self.balls.pairs) / (DENSITY_NEIGHBOURS * len(self.balls.inside))
        return {"density": density, "coverage": float(self.balls.filled.double().mean())}


class _Balls:
    """Around each point of a set a ball that reaches to its k-th neighbour, and who of another set lies in which."""

    def __init__(self, centres: Cloud, others: Cloud, neighbours: int) -> None:
        self.exist = len(centres) > neighbours and len(others) > 0
        self.radii = centres.among.nearest[:, neighbours - 1]
        self.inside = centres.zeros(len(others), dtype=torch.bool)
        self.filled = centres.zeros(len(centres), dtype=torch.bool)
        self.pairs = centres.zeros(dtype=torch.int64)

    def add(self, centres: slice, others: slice, apart: Tensor) -> None:
        within = apart <= self.radii[centres, None]
        self.inside[others] |= within.any(0)
        self.filled[centres] |= within.any(1)
        self.pairs += within.count_nonzero()
