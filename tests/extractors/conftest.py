"""Fixtures that several extractors need: weights of VGG19 that are not trained, and an empty folder for downloads."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.files.vision import torchvision
from genlab.data.sources.built_in import digits as built_in_digits
from genlab.extractors import classifier
from genlab.extractors.classifier import Classifier


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return built_in_digits(validation=180, test=360)


@pytest.fixture(scope="module")
def brief_classifier() -> Iterator[None]:
    """Make the classifier narrow, and train it for a few steps only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "MOST_STEPS", 3)
        patch.setattr(classifier, "Classifier", partial(Classifier, width=8))
        yield


@pytest.fixture(scope="session")
def vgg19_weights() -> dict[str, Tensor]:
    """VGG19's convolutions with random weights, about as large as trained ones."""
    with torch.device("meta"):
        shapes = torchvision().models.vgg19(weights=None).features.state_dict()
    draws = torch.Generator().manual_seed(0)
    return {
        f"features.{name}": torch.randn(shape.shape, generator=draws) * (2 / shape[0].numel()) ** 0.5
        if shape.dim() > 1
        else torch.zeros(shape.shape)
        for name, shape in shapes.items()
    }


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder for torch's downloads; every download fails."""

    def unreachable(*arguments: object, **options: object) -> NoReturn:
        raise OSError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    return tmp_path / "torch" / "hub" / "checkpoints"
