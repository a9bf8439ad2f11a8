"""What images are judged by, and what a content loss teaches by, by the name of the class in a YAML."""

from collections.abc import Callable

from genlab.extractors.features import lite0, pixels, rotation, vgg19
from genlab.networks.extractor import Features

FEATURES: dict[str, Callable[..., Features]] = {
    "vgg19": vgg19.vgg19,
    "lite0": lite0.lite0,
    "self": rotation.rotation,
    "pixels": pixels.pixels,
}
