"""Distances of two sets of feature vectors: as normal distributions (FD), by a kernel (KID) and by neighbours."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from genlab.registry import ConfigError

PRECISION_NEIGHBOURS = 3
"""A point's ball reaches to this neighbour for precision and recall (Kynkaanniemi et al. 2019)."""

DENSITY_NEIGHBOURS = 5
"""The same for density and coverage (Naeem et al. 2020)."""

EQUAL = 1e-12
"""Rounding of a squared distance, relative to both squared lengths; float32 cannot tell such vectors apart."""

_AT_ONCE = 512


class Cloud:
    """Feature vectors, N x F, and the statistics of them alone, which are computed at first use and cached."""

    def __init__(self, features: Tensor) -> None:
        assert features.dim() == 2
        # mps is the one type of device without float64.
        self.features = features.cpu() if features.device.type == "mps" else features
        if not self.features.isfinite().all():
            raise ConfigError("Some features are nan or inf, so the distance of the two sets is not defined.")

    def __len__(self) -> int:
        return len(self.features)

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield some rows at a time in float64, because all of them would take twice the memory of the features."""
        for start in range(0, len(self), _AT_ONCE):
            rows = slice(start, min(start + _AT_ONCE, len(self)))
            yield rows, self.features[rows].double()

    def zeros(self, *size: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return zeros on the device of the features."""
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
        """A matrix of F rows whose product with its transpose is the covariance; it has one column per direction."""
        width = self.features.shape[1]
        scatter = self.zeros(width, width)
        for _, part in self.blocks():
            centred = part - self.mean
            scatter.addmm_(centred.T, centred)
        values, directions = torch.linalg.eigh(scatter / (len(self) - 1))
        # Smaller values are rounding: there is no variance in their directions.
        kept = values > values[-1] * width * torch.finfo(values.dtype).eps
        root: Tensor = directions[:, kept] * values[kept].sqrt()
        return root

    @cached_property
    def among(self) -> "Among":
        """Statistics over all pairs of its vectors."""
        kernel = self.zeros()
        nearest = self.zeros(len(self), max(PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS)) + torch.inf
        for tile in _tiles(self):
            kernels, distances = tile.kernel, tile.distances
            if tile.rows == tile.columns:
                # A vector is neither its own neighbour nor a pair with itself.
                kernels.fill_diagonal_(0)
                distances.fill_diagonal_(torch.inf)
                kernel += kernels.sum()
            else:
                kernel += 2 * kernels.sum()
                nearest[tile.columns] = _nearer(nearest[tile.columns], distances.T)
            nearest[tile.rows] = _nearer(nearest[tile.rows], distances)
        return Among(kernel / (len(self) * (len(self) - 1)) if len(self) > 1 else kernel, nearest)


class Among(NamedTuple):
    """Statistics over the pairs of a set: the mean kernel, and the distances of each vector to its neighbours."""

    kernel: Tensor
    nearest: Tensor
    """Squared distances, nearest first, up to rounding; infinite if there are too few neighbours."""


def compare(real: Cloud, generated: Cloud) -> dict[str, float]:
    """Return FD, KID, precision, recall, density and coverage; those that need more vectors are left out."""
    found = {"FD": frechet(real, generated)} if min(len(real), len(generated)) > 1 else {}
    return found | _measured(real, generated, _Kernels, _PrecisionRecall, _DensityCoverage)


def frechet(first: Cloud, second: Cloud) -> float:
    """Return the Frechet distance of the normal distributions with the means and covariances of both sets.

    It is the FID of Heusel et al. 2017 if the features are those of InceptionV3. The trace of the root of the product
    of both covariances is the sum of the singular values of the product of their roots. This form has no imaginary
    parts and is exact for singular covariances.
    """
    assert min(len(first), len(second)) > 1
    variance = first.root.square().sum() + second.root.square().sum()
    shared = torch.linalg.svdvals(first.root.T @ second.root).sum()
    return float(((first.mean - second.mean).square().sum() + variance - 2 * shared).clamp(min=0))


def kernel_distance(first: Cloud, second: Cloud) -> float:
    """Return KID: the unbiased squared distance of both means under the kernel (x.y / F + 1)^3 (Binkowski et al. 2018).

    All pairs are used, so the value is exact; the mean over random subsets in the literature estimates the same value.
    """
    assert min(len(first), len(second)) > 1
    return _measured(first, second, _Kernels)["KID"]


def precision_recall(real: Cloud, generated: Cloud) -> dict[str, float]:
    """Return the share of generated vectors inside the real set, and of real vectors inside the generated set.

    A vector is inside a set if it is in the ball of one of its points, which reaches to that point's third neighbour
    in the set (Kynkaanniemi et al. 2019).
    """
    return _measured(real, generated, _PrecisionRecall)


def density_coverage(real: Cloud, generated: Cloud) -> dict[str, float]:
    """Return the density of generated vectors around real ones, and the share of real vectors with one nearby.

    Both use balls around real points only, up to the fifth neighbour, so that a generated outlier does no harm (Naeem
    et al. 2020). A density above 1 means that generated vectors crowd where real ones are dense.
    """
    return _measured(real, generated, _DensityCoverage)


@dataclass(frozen=True)
class _Tile:
    """Pairs of some vectors of one set with some of another."""

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
    def distances(self) -> Tensor:
        """Squared distances; their rounding error is that of the squared lengths."""
        return self.lengths - 2 * self.dots

    @cached_property
    def at_least(self) -> Tensor:
        """Squared distances minus their rounding error, so that equal vectors are in every ball around each other."""
        return self.distances - EQUAL * self.lengths


def _tiles(first: Cloud, second: Cloud | None = None) -> Iterator[_Tile]:
    """Yield all pairs of vectors in tiles; for a set with itself, each pair of tiles only one way round."""
    other = first if second is None else second
    for rows, left in first.blocks():
        for columns, right in other.blocks():
            if second is not None or columns.start >= rows.start:
                lengths = first.squares[rows, None] + other.squares[columns]
                yield _Tile(rows, columns, left @ right.T, lengths, left.shape[1])


def _nearer(so_far: Tensor, distances: Tensor) -> Tensor:
    """Return the smallest of each row, as many as before."""
    found = distances.topk(min(so_far.shape[1], distances.shape[1]), largest=False).values
    return torch.cat([so_far, found], 1).topk(so_far.shape[1], largest=False).values


class _Measure(Protocol):
    """A metric that sees every pair of a real and a generated vector once, tile by tile."""

    def add(self, tile: _Tile) -> None: ...

    def values(self) -> dict[str, float]: ...


def _measured(real: Cloud, generated: Cloud, *kinds: Callable[[Cloud, Cloud], _Measure]) -> dict[str, float]:
    """Return the values of several metrics; the distances are computed once for all of them."""
    measures = [kind(real, generated) for kind in kinds]
    for tile in _tiles(real, generated):
        for measure in measures:
            measure.add(tile)
    return {name: value for measure in measures for name, value in measure.values().items()}


class _Kernels:
    def __init__(self, first: Cloud, second: Cloud) -> None:
        self.first, self.second, self.total = first, second, first.zeros()

    def add(self, tile: _Tile) -> None:
        self.total += tile.kernel.sum()

    def values(self) -> dict[str, float]:
        if min(len(self.first), len(self.second)) < 2:
            return {}
        across = self.total / (len(self.first) * len(self.second))
        return {"KID": float(self.first.among.kernel + self.second.among.kernel - 2 * across)}


class _PrecisionRecall:
    def __init__(self, real: Cloud, generated: Cloud) -> None:
        self.around_real = _Balls(real, generated, PRECISION_NEIGHBOURS)
        self.around_generated = _Balls(generated, real, PRECISION_NEIGHBOURS)

    def add(self, tile: _Tile) -> None:
        self.around_real.add(tile.rows, tile.columns, tile.at_least)
        self.around_generated.add(tile.columns, tile.rows, tile.at_least.T)

    def values(self) -> dict[str, float]:
        balls = {"precision": self.around_real, "recall": self.around_generated}
        return {name: float(these.inside.double().mean()) for name, these in balls.items() if these.exist}


class _DensityCoverage:
    def __init__(self, real: Cloud, generated: Cloud) -> None:
        self.balls = _Balls(real, generated, DENSITY_NEIGHBOURS)

    def add(self, tile: _Tile) -> None:
        self.balls.add(tile.rows, tile.columns, tile.at_least)

    def values(self) -> dict[str, float]:
        if not self.balls.exist:
            return {}
        density = float(self.balls.pairs) / (DENSITY_NEIGHBOURS * len(self.balls.inside))
        return {"density": density, "coverage": float(self.balls.filled.double().mean())}


class _Balls:
    """Balls around the points of a set, up to the k-th neighbour, and which points of another set are inside."""

    def __init__(self, centres: Cloud, others: Cloud, neighbours: int) -> None:
        self.exist = len(centres) > neighbours and len(others) > 0
        self.radii = centres.among.nearest[:, neighbours - 1]
        self.inside = centres.zeros(len(others), dtype=torch.bool)
        self.filled = centres.zeros(len(centres), dtype=torch.bool)
        self.pairs = centres.zeros(dtype=torch.int64)

    def add(self, centres: slice, others: slice, distances: Tensor) -> None:
        within = distances <= self.radii[centres, None]
        self.inside[others] |= within.any(0)
        self.filled[centres] |= within.any(1)
        self.pairs += within.count_nonzero()
