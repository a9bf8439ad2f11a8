"""InceptionV3 as published for TensorFlow in 2015, the network of FID in the papers, through torch-fidelity."""

import importlib.util
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlab.data.files.vision import torchvision
from genlab.extractors.weights import INSTEAD, fetched, hub, read
from genlab.kinds import Image
from genlab.networks.extractor import Extractor, check_channels, code_of, colour, freeze
from genlab.registry import ConfigError
from genlab.training.console import Console

PACKAGE, DIGEST, MEGABYTES, LAYER = "torch_fidelity", "6726825d", 91, "2048"
FILE = "weights-inception-2015-12-05-6726825d.pth"
# pytorch-fid stores the same content under this name.
OTHER_FILE = "pt_inception-2015-12-05-6726825d.pth"


def prepared(images: Tensor) -> Tensor:
    """Convert to bytes in colour; the network resizes and scales them itself, as TensorFlow did."""
    return colour(images).mul(255).round().clamp(0, 255).to(torch.uint8)


CODE = code_of(prepared, colour) + LAYER
"""The code at the time of import, for the digest: other code with the same weights is another network."""


class Inception(Extractor):
    """The last pooling of InceptionV3."""

    has_vectors = True
    # The network resizes each image to 299 x 299.
    at_once = 32

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        description = f"InceptionV3, the network of FID in the papers (weights {DIGEST}), at its last pooling"
        super().__init__("inception", description=description, code=CODE)
        self.network = _network(weights)
        freeze(self)

    def rows(self, items: Tensor) -> Tensor:
        """Return the last pooling."""
        vectors: Tensor = self.network(prepared(items))[0]
        return vectors


def inception(*, weights: str | None = None, x: Image | None = None, console: Console | None = None) -> Inception:
    """Create the extractor with weights from a file, from torch's folder, or downloaded now."""
    check_channels(x)
    if importlib.util.find_spec(PACKAGE) is None:
        raise ConfigError(f"A package is not installed. Run pip install 'genlab[inception]'. {INSTEAD}")
    path = _fetched(console or Console()) if weights is None else Path(weights).expanduser()
    return Inception(read(path, DIGEST))


def _network(weights: Mapping[str, Tensor]) -> Any:
    # torch-fidelity imports torchvision, which must be made importable first if it was built for another torch.
    torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # torch-fidelity would run code from a file, so it gets the tensors that were read and checked here.
    clean = BytesIO()
    torch.save(dict(weights), clean)
    clean.seek(0)
    # torch-fidelity first draws random weights. This must not change the random numbers of the caller.
    with torch.random.fork_rng([]):
        return FeatureExtractorInceptionV3("inception", [LAYER], feature_extractor_weights_path=clean)


def _fetched(console: Console) -> Path:
    if (other := hub() / OTHER_FILE).exists():
        return other
    return fetched(
        "InceptionV3",
        FILE,
        DIGEST,
        MEGABYTES,
        url=_address,
        ways=lambda file: f"--features inception=FILE reads a file: {file}. {INSTEAD}",
        console=console,
    )


def _address() -> str:
    torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return str(URL_INCEPTION_V3)
