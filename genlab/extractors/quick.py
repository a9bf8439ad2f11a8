"""A small evaluation while a model is trained: validation images alone, so that the best may be chosen by it."""

from collections.abc import Callable

import torch

from genlab.contract import Model, Reconstructs, Samples
from genlab.data import held_out
from genlab.data.dataset import Images
from genlab.extractors.embeddings import Embedding
from genlab.extractors.reference import reference
from genlab.metrics import reconstruction
from genlab.metrics.distribution import Cloud, compared
from genlab.metrics.figures import better
from genlab.randomness import generator
from genlab.registry import ConfigError
from genlab.training.quick import Quick

SPLIT, COUNT = "validation", 1_000
_DISTANCES, _ERRORS = ("FD", "KID", "precision", "recall"), ("PSNR", "SSIM")


def quick(model: Model, images: Images, device: torch.device, embed: Callable[[], Embedding]) -> Quick:
    """Of a model that samples, how near its samples are to validation images; of one that reconstructs, how near these.

    At most a thousand images and samples: figures to compare within a run, not with those of `genlab evaluate`.
    """
    if not len(images.splits[SPLIT]):
        raise ConfigError("trainer.evaluate=quick looks at validation images, and this data has none; set it to null.")
    measures = list[Callable[[Model], dict[str, float]]]()
    if isinstance(model, Samples):
        measures.append(_distances(images, embed(), device))
    if isinstance(model, Reconstructs) and not images.shape.points:
        measures.append(_errors(images, device))
    if not measures:
        raise ConfigError("trainer.evaluate=quick measures models that sample or reconstruct; set it to null.")

    def measure(model: Model) -> dict[str, float]:
        # A GPU's short numbers are for training: what is chosen by is measured as `genlab evaluate` measures.
        with torch.autocast(device.type, enabled=False):
            return {name: value for look in measures for name, value in look(model).items()}

    return Quick(measure, lambda name: better(name) == "higher")


def _distances(images: Images, embedding: Embedding, device: torch.device) -> Callable[[Model], dict[str, float]]:
    real = Cloud(reference(images, SPLIT, embedding, COUNT, seed=0).to(device))
    rows = held_out.chosen(images, SPLIT, COUNT)
    labels = None if images.labels is None else images.labels[rows]

    def look(model: Model) -> dict[str, float]:
        assert isinstance(model, Samples)
        home = next(model.parameters()).device
        asked = labels.to(home) if labels is not None and model.classes else None
        made = model.sample(len(rows), asked, generator(0, "evaluation/quick"))
        found = compared(real, Cloud(embedding.embed(made)))
        return {f"{name}-{embedding.name}": found[name] for name in _DISTANCES if name in found}

    return look


def _errors(images: Images, device: torch.device) -> Callable[[Model], dict[str, float]]:
    rows = held_out.chosen(images, SPLIT, COUNT)

    def look(model: Model) -> dict[str, float]:
        assert isinstance(model, Reconstructs)
        found = reconstruction.errors(model, (batch["image"] for batch in held_out.batches(images, rows, device)))
        return {name: found[name] for name in _ERRORS if name in found}

    return look
