from collections.abc import Callable

from torch import Tensor

from genlab.networks.features import Features, freeze


class Pixels(Features):
    def __init__(self, *, factor: float = 1.0) -> None:
        super().__init__("pixels", factor)
        freeze(self)

    def layers(self, images: Tensor) -> list[Tensor]:
        return [images]


FEATURES: dict[str, Callable[..., Features]] = {"pixels": Pixels, "vgg19": Pixels}
