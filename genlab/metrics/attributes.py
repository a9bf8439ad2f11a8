"""Directions of attributes, as weighted sums of items, and the error of an edited item where the true one changes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

INDEPENDENT = 0.01
"""A further attribute is left out if the ones before it explain all but this share of its variance."""
MOVED = 0.1
"""A pixel changes if one of its channels changes by more than this; white is 1."""


def contrasts(asked: Tensor, others: Tensor | None = None) -> Tensor:
    """Return a weight for each item and each asked attribute, K x N: the directions are `contrasts(asked) @ codes`.

    `asked` holds the attributes, N x K: 0 or 1, or a number. The directions are the coefficients of the codes in a
    least-squares fit on all attributes together, `others` (N x M) included. An attribute that comes with another one
    in the data then does not bring the other one along. One attribute of 0 and 1 alone gives the mean code of the
    items that have it minus the mean code of those that do not.
    """
    asked = centred(asked)
    columns = [asked] if others is None else [asked, centred(others)[:, independent(asked, others)]]
    return _weights(torch.cat(columns, 1))[: asked.shape[1]].float()


def interactions(asked: Tensor, others: Tensor) -> Tensor:
    """Return weights for directions that depend on the other attributes, K x (1 + M) x N.

    The weights of place 0 give the direction at the mean of the other attributes. Those of place 1 + m give what is
    added to it for each unit by which attribute m is above its mean. A beard has the colour of the hair, for example,
    so its direction is another one for each colour. No other attribute may follow from the rest (see `independent`).
    """
    asked, others = centred(asked), centred(others)
    products = asked.unsqueeze(2) * others.unsqueeze(1)
    # The means of the products are not 0 if the attributes come together; the constant takes them up.
    constant = torch.ones(len(asked), 1, dtype=torch.float64)
    weights = _weights(torch.cat([constant, asked, others, products.flatten(1)], 1))
    count, further = asked.shape[1], others.shape[1]
    main, added = weights[1 : 1 + count], weights[1 + count + further :]
    return torch.cat([main.unsqueeze(1), added.view(count, further, len(asked))], 1).float()


def independent(asked: Tensor, others: Tensor) -> Tensor:
    """Return the places of other columns that do not follow from the ones before them; a copy of one follows."""
    basis, kept = torch.linalg.qr(centred(asked)).Q, list[int]()
    for place, column in enumerate(centred(others).T):
        rest = column - basis @ (basis.T @ column)
        rest = rest - basis @ (basis.T @ rest)
        if rest.square().sum() > INDEPENDENT * column.square().sum():
            basis = torch.cat([basis, (rest / rest.norm())[:, None]], 1)
            kept.append(place)
    return torch.tensor(kept, dtype=torch.int64)


def centred(columns: Tensor) -> Tensor:
    """Return the columns in float64 with a mean of 0."""
    columns = columns.double()
    return columns - columns.mean(0)


def _weights(table: Tensor) -> Tensor:
    # The pseudo-inverse: attributes that are asked for twice share one direction.
    weights: Tensor = torch.linalg.pinv(table.T @ table, hermitian=True) @ table.T
    return weights


@dataclass(frozen=True)
class Linear:
    """A linear function of codes, fitted to items whose value is known."""

    weights: Tensor
    """D x C."""
    bias: Tensor

    def __call__(self, codes: Tensor) -> Tensor:
        """Return C numbers for each code, N x C."""
        return codes.double() @ self.weights + self.bias


def regression(codes: Tensor, numbers: Tensor) -> Linear:
    """Return the linear function that comes nearest to a number of each item, by least squares."""
    weights = torch.linalg.pinv(centred(codes)) @ centred(numbers)[:, None]
    return Linear(weights, numbers.double().mean() - codes.double().mean(0) @ weights)


def discriminant(codes: Tensor, values: Tensor, count: int) -> Linear:
    """Return the linear discriminant of `count` classes (Fisher 1936): the likeliest class has the largest number.

    The codes of each class are taken as normal, with one covariance for all classes.
    """
    codes, sizes = codes.double(), values.bincount(minlength=count).double()
    means = torch.zeros(count, codes.shape[1], dtype=torch.float64).index_add_(0, values, codes)
    means = means / sizes.clamp_min(1).unsqueeze(1)
    within = codes - means[values]
    weights = torch.linalg.pinv(within.T @ within / len(codes), hermitian=True) @ means.T
    return Linear(weights, (sizes / len(codes)).log() - 0.5 * (means.T * weights).sum(0))


def changed_pixels(before: Tensor, truth: Tensor) -> Tensor:
    """Return True for each pixel, N x 1 x H x W, in which the true images differ from the ones before."""
    return (truth - before).abs().amax(1, keepdim=True) > MOVED


def squared_error_inside(images: Tensor, truth: Tensor, inside: Tensor) -> float:
    """Return the squared error per channel, averaged over all pixels of all images that are inside; nan for none."""
    squares = (images - truth).square() * inside
    return float(squares.sum() / (inside.sum() * images.shape[1]))
