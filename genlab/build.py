"""Builds data, models and trainers from a config: the one file that knows every registry."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from genlab import registry
from genlab.config import compose as config
from genlab.config import plugins
from genlab.config.compose import Config
from genlab.contract import Model, Shape
from genlab.data import SOURCES
from genlab.data.dataset import Images
from genlab.extractors.embeddings import embedding_of
from genlab.extractors.features import FEATURES
from genlab.extractors.quick import quick
from genlab.models import MODELS
from genlab.networks import NETWORKS
from genlab.networks.extractor import Features
from genlab.randomness import reseed
from genlab.registry import ConfigError
from genlab.training.console import Console
from genlab.training.engine import choose_device
from genlab.training.trainer import Trainer

T = TypeVar("T")
TABLES: plugins.Tables = {"MODELS": MODELS, "NETWORKS": NETWORKS, "SOURCES": SOURCES}


def build_images(wanted: Config) -> Images:
    """The data set."""
    return registry.build("data", wanted.data["name"], SOURCES, _without(wanted.data, "name"), config.LOADING)


def build_model(wanted: Config, shape: Shape, classes: int, features: Features | None = None) -> Model:
    """The model for images of this shape, its first weights a function of the seed; to be taught, it needs features."""
    facts: dict[str, Any] = {"shape": shape, "classes": classes, "features": features}
    if "network" in wanted.model:
        facts["network"] = _build_part("network", wanted, NETWORKS)
    reseed(torch.device("cpu"), wanted.seed, "weights")
    settings = _without(wanted.model, "name", *config.PARTS)
    return registry.build("model", wanted.model["name"], MODELS, settings, **facts)


def build_features(wanted: Config, images: Images, device: torch.device, console: Console) -> Features | None:
    """What the model's recipe says that images are compared by, where it says so."""
    if "features" not in wanted.model:
        return None
    return _build_part("features", wanted, FEATURES, images=images, device=device, console=console)


def _build_part(part: str, wanted: Config, table: Mapping[str, Callable[..., T]], **facts: Any) -> T:
    recipe = wanted.model[part]
    if not isinstance(recipe, dict):
        known = ", ".join(config.choices(f"model/{part}"))
        raise ConfigError(f"model.{part} holds settings; choose with model/{part}=NAME. Known: {known}")
    return registry.build(part, str(recipe.get("name")), table, _without(recipe, "name"), **facts)


def build_trainer(wanted: Config, images: Images, console: Console | None = None) -> Trainer:
    """The loop for the model and these images."""
    device = choose_device(wanted.device)
    features = build_features(wanted, images, device, console or Console())
    model = build_model(wanted, images.shape, images.classes, features)
    facts: dict[str, Any] = {"images": images, "device": device}
    embed = partial(embedding_of, None, console=console or Console(), **facts)
    return Trainer(
        model,
        images,
        wanted.trainer,
        wanted.players,
        seed=wanted.seed,
        device=device,
        best=wanted.best,
        loading=wanted.loading,
        quick=quick(model, embed=embed, **facts) if wanted.trainer.evaluate else None,
    )


def load_plugins(files: list[str]) -> dict[Path, bytes]:
    """Let the entries of the user's own plugins join the tables; return the source of each."""
    return plugins.load(files, TABLES)


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}
