"""Build data, models and trainers from a config; the only file that knows every registry."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genlab import registry
from genlab.config import compose, plugins
from genlab.config.schema import BESIDE_MODEL, LOADING, PARTS, Config
from genlab.contract import Decodes, Draws, Encodes, Model, Samples
from genlab.data import SOURCES
from genlab.data.dataset import Dataset
from genlab.extractors import EXTRACTORS, create, from_settings
from genlab.extractors.quick import quick
from genlab.kinds import Kind, MissingColumnError, fit, missing
from genlab.models import MODELS
from genlab.networks import NETWORKS
from genlab.networks.extractor import Extractor
from genlab.networks.network import Network
from genlab.randomness import reseed
from genlab.registry import ConfigError
from genlab.training.console import Console
from genlab.training.engine import choose_device
from genlab.training.trainer import Trainer
from genlab.training.validation import Quick

TABLES: plugins.Tables = {"MODELS": MODELS, "NETWORKS": NETWORKS, "SOURCES": SOURCES, "EXTRACTORS": EXTRACTORS}
"""The registries that a plugin can extend."""


def build_data(config: Config) -> Dataset:
    """Build the data set, with the classes that the config keeps and, if it says so, pixels of 0 and 1."""
    name = config.data["name"]
    dataset = registry.build("data", name, SOURCES, _without(config.data, "name"), LOADING)
    if config.keep and not dataset.classes:
        raise missing("data.keep", "label", name, advice="Or set data.keep=[] to use all items.")
    try:
        setting = "keep"
        dataset = dataset.keeping(config.keep) if config.keep else dataset
        setting = "binarize"
        return dataset.binarized() if config.loading.binarize else dataset
    except ConfigError as error:
        raise ConfigError(f"data.{setting}: {error}") from None


def build_model(config: Config, kinds: Mapping[str, Kind], features: Extractor | None = None) -> Model:
    """Build the model for data with columns of these kinds; the seed decides its first weights.

    Only a model that is going to be trained needs the features.
    """
    name, settings = config.model["name"], _without(config.model, "name", *PARTS)
    facts: dict[str, Any] = {**fitting_columns(config, kinds), "features": features}
    if "network" in config.model:
        facts["network"] = build_network(config, kinds)
    reseed(torch.device("cpu"), config.seed, "weights")
    try:
        return registry.build("model", name, MODELS, settings, BESIDE_MODEL, **facts)
    except MissingColumnError as error:
        raise missing(f"model {name!r}", error.column, config.data["name"], error.advice) from None


def fitting_columns(config: Config, kinds: Mapping[str, Kind]) -> dict[str, Kind | None]:
    """Return the columns that the model takes; raise a ConfigError if the data does not fit the model."""
    name = config.model["name"]
    factory = registry.pick("model class", str(config.model.get("class", name)), MODELS)
    return fit(f"model {name!r}", factory, kinds, config.data["name"])


def build_network(config: Config, kinds: Mapping[str, Kind]) -> Network:
    """Build the network of the model's recipe; raise a ConfigError if it does not take the kind of the items."""
    name, settings = _recipe("network", config)
    network = registry.build("network", name, NETWORKS, settings)
    items = next(iter(registry.schema(network.encoder)))
    try:
        fit(f"network {name!r}", network.encoder, {items: kinds["x"]}, config.data["name"])
    except ConfigError as error:
        raise ConfigError(f"{error} {_networks_for(kinds['x'])}".rstrip()) from None
    return network


def _networks_for(kind: Kind) -> str:
    """Return a sentence that names the networks which take this kind, or an empty text if there are none."""
    able = []
    for name, factory in NETWORKS.items():
        encoder = getattr(factory, "encoder", None)
        with suppress(ConfigError):
            if encoder and fit("", encoder, dict.fromkeys(registry.schema(encoder), kind), ""):
                able.append(f"model/network={name}")
    return f"Choose a network that takes {kind.plural}: {' or '.join(able)}" if able else ""


def build_features(config: Config, dataset: Dataset, device: torch.device, console: Console) -> Extractor | None:
    """Build the extractor whose features the model's loss compares, or return None if its recipe names none."""
    if "features" not in config.model:
        return None
    name, settings = _recipe("features", config)
    data = config.data["name"]
    return from_settings(name, settings, needs="maps", dataset=dataset, data=data, device=device, console=console)


def _recipe(part: str, config: Config) -> tuple[str, dict[str, Any]]:
    """Return the name and the settings of a part of the model."""
    recipe = config.model[part]
    if not isinstance(recipe, dict):
        known = ", ".join(compose.choices(f"model/{part}"))
        raise ConfigError(
            f"model.{part} must be settings, got {recipe!r}. Choose with model/{part}=NAME. Available: {known}"
        )
    return str(recipe.get("name")), _without(recipe, "name")


def build_trainer(config: Config, dataset: Dataset, console: Console | None = None) -> Trainer:
    """Build the model and the loop that trains it on this data."""
    device, console = choose_device(config.device), console or Console()
    # First, because features can be expensive, and their refusal would not name the model.
    fitting_columns(config, dataset.kinds)
    features = build_features(config, dataset, device, console)
    model = build_model(config, dataset.kinds, features)
    _check_fitted_prior(config, model)
    extractor = partial(
        create, None, needs="vector", dataset=dataset, data=config.data["name"], device=device, console=console
    )
    return Trainer(
        model,
        dataset,
        config.trainer,
        config.optimizers,
        seed=config.seed,
        device=device,
        best=config.best,
        loading=config.loading,
        quick=_quick(config, model, dataset, device, extractor) if config.trainer.evaluate else None,
    )


def _quick(
    config: Config, model: Model, dataset: Dataset, device: torch.device, extractor: Callable[[], Extractor]
) -> Quick:
    """Return the quick metrics; with `always`, a clock that stands still lets no validation go without them."""
    clock = (lambda: 0.0) if config.trainer.evaluate == "always" else time.perf_counter
    return quick(model, dataset, device, extractor, clock)


def _check_fitted_prior(config: Config, model: Model) -> None:
    """Raise a ConfigError if the config asks for a prior that the codes of this model cannot have."""
    if not config.fitted_prior:
        return
    name = f"model {config.model['name']!r}"
    if not (isinstance(model, Encodes) and isinstance(model, Decodes)):
        reason = f"{name} does not encode and decode, so it has no codes to fit a prior to."
    elif isinstance(model, Samples) and not isinstance(model, Draws):
        reason = f"{name} learns a prior of its codes itself."
    elif getattr(model, "code_holds_class", False):
        reason = f"The codes of {name} hold the class, and a prior of all codes could not be asked for one."
    else:
        return
    raise ConfigError(f"{reason} Set model.fitted_prior=[].")


def load_plugins(files: list[str]) -> dict[Path, bytes]:
    """Add the entries of the user's plugins to the tables; return the source of each file."""
    return plugins.load(files, TABLES)


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}
