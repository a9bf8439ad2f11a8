"""Pixels as features: no network at all."""

from torch import Tensor

from genlab.kinds import Image
from genlab.networks.extractor import Extractor, check_channels


class Pixels(Extractor):
    """Images as they are; a content loss by them is the squared error."""

    has_maps = True

    def __init__(self, *, factor: float) -> None:
        super().__init__("pixels", factor=factor, description="the pixels themselves")

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the images."""
        return [images]


def pixels(*, factor: float = 1.0, x: Image | None = None) -> Pixels:
    """Create the features, which need neither weights nor training."""
    check_channels(x)
    return Pixels(factor=factor)
