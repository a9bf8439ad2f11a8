"""Paths between two codes: the straight line, and the arc of a great circle."""

import torch
from torch import Tensor

_PARALLEL = 1e-6
"""Directions that differ by less from equal or opposite ones fix no plane for an arc, up to rounding."""


def evenly(steps: int) -> Tensor:
    """Return `steps` positions from 0 to 1 at equal distances, in float64."""
    return torch.linspace(0, 1, steps, dtype=torch.float64)


def linear(start: Tensor, end: Tensor, positions: Tensor) -> Tensor:
    """Return (1 - a) start + a end for each position a, along a new second dimension: N x A x the shape of an item."""
    weights = positions.to(start).view(1, -1, *[1] * (start.dim() - 1))
    return (1 - weights) * start.unsqueeze(1) + weights * end.unsqueeze(1)


def spherical(start: Tensor, end: Tensor, positions: Tensor) -> Tensor:
    """Return the arcs from codes to codes, N x A x D for codes N x D and A positions: directions turn, lengths change.

    The line between two codes from a standard normal prior passes too close to the origin, where the prior has almost
    no codes; the arc (Shoemake 1985) does not. The directions turn at a constant speed, and the length changes evenly
    from that of the start to that of the end. Codes of the same direction, and a code at the origin, have no arc: the
    path is the line. Between opposite codes there are many arcs: the path takes one that the codes fix.
    """
    first, last, weights = start.double(), end.double(), positions.double().view(1, -1, 1)
    length, last_length = (codes.norm(dim=1, keepdim=True) for codes in (first, last))
    one, two = first / length.clamp_min(1e-300), last / last_length.clamp_min(1e-300)
    # Unlike the arc cosine, this is exact for small angles, too (Kahan).
    angles = (2 * torch.atan2((one - two).norm(dim=1), (one + two).norm(dim=1))).view(-1, 1, 1)
    # The direction of the plane in which the code turns, at a right angle to the start.
    across = two - (one * two).sum(1, keepdim=True) * one
    opposite = (angles.flatten() > 1) & (across.norm(dim=1) < _PARALLEL)
    across[opposite] = _axis(one[opposite])
    across = (across / across.norm(dim=1, keepdim=True).clamp_min(1e-300)).unsqueeze(1)
    turned = (weights * angles).cos() * one.unsqueeze(1) + (weights * angles).sin() * across
    path: Tensor = turned * linear(length, last_length, positions)
    straight = (
        (angles.flatten() < _PARALLEL) | (torch.minimum(length, last_length).flatten() == 0) | (start.shape[1] < 2)
    )
    path[straight] = linear(first, last, positions)[straight]
    # Not a rounding away: the ends are the codes.
    path[:, positions == 0], path[:, positions == 1] = first.unsqueeze(1), last.unsqueeze(1)
    return path.to(start)


def _axis(directions: Tensor) -> Tensor:
    """Return a vector at a right angle to each direction, towards the axis that it is least along."""
    axis = torch.zeros_like(directions)
    if directions.numel():
        axis.scatter_(1, directions.abs().argmin(1, keepdim=True), 1.0)
    return axis - (axis * directions).sum(1, keepdim=True) * directions
