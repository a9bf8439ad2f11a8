"""Where points lie, as a picture: bars over a line, or a plane that is darker where there are more."""

import torch
from torch import Tensor


def density(points: Tensor, low: Tensor, high: Tensor, side: int) -> Tensor:
    """Points of one or two coordinates between `low` and `high` as side x side greys in [0, 1]; others are not seen."""
    places = ((points.float() - low) / (high - low).clamp_min(1e-9) * (side - 1)).round()
    places = places[((places >= 0) & (places < side)).all(1)].long()
    if points.shape[1] == 1:
        heights = places[:, 0].bincount(minlength=side).double()
        levels = torch.arange(side, device=points.device).flip(0).view(-1, 1)
        return (levels >= heights / heights.max().clamp_min(1) * side).float()
    counts = ((side - 1 - places[:, 1]) * side + places[:, 0]).bincount(minlength=side * side).view(side, side)
    return (1 - counts.double().log1p() / counts.max().clamp_min(1).double().log1p()).float()
