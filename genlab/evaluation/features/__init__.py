"""What images are judged by, and what a content loss teaches by, by the name of the class in a YAML."""

from collections.abc import Callable

from genlab.evaluation.features.lite0 import lite0
from genlab.evaluation.features.pixels import pixels
from genlab.evaluation.features.rotation import rotation
from genlab.evaluation.features.vgg19 import vgg19
from genlab.networks.features import Features

FEATURES: dict[str, Callable[..., Features]] = {"vgg19": vgg19, "lite0": lite0, "self": rotation, "pixels": pixels}
