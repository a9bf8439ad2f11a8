"""Dropout that does not depend on how many processes share a batch."""

from torch import Tensor, nn

from genlab import randomness
from genlab.networks.network import at_least


class Dropout(nn.Module):
    """In training, set a share of the numbers, or of each item's feature maps, to 0; enlarge the others by as much."""

    def __init__(self, share: float, *, whole_maps: bool) -> None:
        super().__init__()
        at_least(0, dropout=share)
        if share >= 1:
            raise ValueError(f"dropout must be below 1, got {share}.")
        self.share, self.whole_maps = share, whole_maps

    def forward(self, maps: Tensor) -> Tensor:
        """Return the feature maps, N x C x H x W, with what is left."""
        if not self.training:
            return maps
        shape = (*maps.shape[:2], 1, 1) if self.whole_maps else maps.shape
        # torch's own dropout would draw the same numbers in each process.
        kept = randomness.uniform(*shape, device=maps.device) >= self.share
        return maps * (kept / (1 - self.share)).to(maps.dtype)
