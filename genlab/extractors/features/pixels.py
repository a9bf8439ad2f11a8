"""No network at all: the content is the pixels."""

import torch
from torch import Tensor

from genlab.data.dataset import Images
from genlab.extractors.features.layers import check
from genlab.networks.extractor import Features
from genlab.training.console import Console


class Pixels(Features):
    """Images as they are; a content loss by them is the squared error."""

    def __init__(self, *, factor: float) -> None:
        super().__init__("pixels", factor)

    def layers(self, images: Tensor) -> list[Tensor]:
        """The images."""
        return [images]


def pixels(
    *,
    factor: float = 1.0,
    images: Images | None = None,
    device: torch.device | None = None,
    console: Console | None = None,
) -> Features:
    """What needs neither weights nor training."""
    check(images)
    return Pixels(factor=factor)
