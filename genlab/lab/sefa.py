"""Directions of styles without labels, from the weights alone (SeFa, Shen and Zhou 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from genlab.contract import Batch
from genlab.lab.styles import decoded, spread, styled, styles_of

if TYPE_CHECKING:
    from genlab.lab.run import Run

_SAMPLES = 2_000
"""Styles from which the mean and the std along each direction are taken."""


class Along(NamedTuple):
    """Items along some directions of the styles."""

    strengths: Tensor
    """By how much the layers' factors change along each direction: the root of its eigenvalue."""
    values: Tensor
    """Places along each direction, U x S."""
    items: Tensor
    """U x S x the shape of one item."""
    style: Tensor
    """The style that is varied."""
    start: Tensor
    """Its item."""


def directions(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues and orthonormal eigenvectors of A'A, largest first: D, and D x D with one vector in each row.

    A are the weights of the linear functions that layers apply to a style, so a step along the first vector changes
    their results most. The largest number of each vector is positive.
    """
    exact = weights.double()
    values, vectors = torch.linalg.eigh(exact.T @ exact)
    values, vectors = values.flip(0).clamp_min(0), vectors.T.flip(0)
    signs = vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    return values, vectors * signs


def along(
    run: Run, code: Tensor, condition: Batch, layers: tuple[int, ...], count: int, steps: int, reach: float
) -> Along:
    """Move the style of a code along the strongest directions of these layers, and only in these layers."""
    model = styled(run)
    found, vectors = directions(model.style_weights(layers).detach().cpu())
    chosen = vectors[:count].float()
    style = styles_of(run, code[None], condition)[0]
    drawn = styles_of(run, *run.draw(_SAMPLES)) @ chosen.T
    values = drawn.mean(0).unsqueeze(1) + drawn.std(0).unsqueeze(1) * torch.linspace(-reach, reach, steps)
    moves = (values - (chosen @ style).unsqueeze(1)).unsqueeze(2) * chosen.unsqueeze(1)
    styles = spread(style[None], model.layers).repeat(values.numel(), 1, 1)
    styles[:, list(layers)] += moves.flatten(0, 1).unsqueeze(1)
    items = decoded(run, styles)
    strengths = found[:count].sqrt().float()
    return Along(strengths, values, items.view(*values.shape, *items.shape[1:]), style, decoded(run, style[None]))
