"""By what a classifier of the data's own training images decides."""

import torch

from genlab.data.dataset import Images
from genlab.extractors.classifier import LAYERS, trained_classifier
from genlab.extractors.embeddings.embedding import Embedding, in_batches
from genlab.networks.extractor import digest_of
from genlab.training.console import Console


def classifier(*, images: Images, device: torch.device | None = None, console: Console | None = None) -> Embedding:
    """The last layer of the small residual network, which is trained once on the data and kept in the cache folder."""
    home = device or torch.device("cpu")
    network, accuracy = trained_classifier(images, device=home, console=console)
    held_out = "test" if len(images.splits["test"]) else "validation"
    share = "nobody knows how often right" if accuracy is None else f"{accuracy:.1%} right on the {held_out} images"
    return Embedding(
        name="classifier",
        digest=digest_of(network.state_dict().items(), LAYERS),
        says=f"a residual classifier of the training images, {share}",
        device=home,
        embed=in_batches(network.features, home),
    )
