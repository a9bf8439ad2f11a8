"""Directions of attributes, as weighted sums of items, and the error of an edited item where the true one changes."""

from __future__ import annotations

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
    asked = _centred(asked)
    columns = [asked] if others is None else [asked, _independent(asked, _centred(others))]
    table = torch.cat(columns, 1)
    # The pseudo-inverse: attributes that are asked for twice share one direction.
    weights: Tensor = torch.linalg.pinv(table.T @ table, hermitian=True) @ table.T
    return weights[: asked.shape[1]].float()


def _centred(columns: Tensor) -> Tensor:
    columns = columns.double()
    return columns - columns.mean(0)


def _independent(asked: Tensor, others: Tensor) -> Tensor:
    """Return the other columns without those that follow from the ones before them, such as a copy of one."""
    basis = torch.linalg.qr(asked).Q
    kept = list[Tensor]()
    for column in others.T:
        rest = column - basis @ (basis.T @ column)
        rest = rest - basis @ (basis.T @ rest)
        if rest.square().sum() > INDEPENDENT * column.square().sum():
            basis = torch.cat([basis, (rest / rest.norm())[:, None]], 1)
            kept.append(column)
    return torch.stack(kept, 1) if kept else others[:, :0]


def changed_pixels(before: Tensor, truth: Tensor) -> Tensor:
    """Return True for each pixel, N x 1 x H x W, in which the true images differ from the ones before."""
    return (truth - before).abs().amax(1, keepdim=True) > MOVED


def squared_error_inside(images: Tensor, truth: Tensor, inside: Tensor) -> float:
    """Return the squared error per channel, averaged over all pixels of all images that are inside; nan for none."""
    squares = (images - truth).square() * inside
    return float(squares.sum() / (inside.sum() * images.shape[1]))
