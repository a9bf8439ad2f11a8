"""A small evaluation while a model is trained: validation images alone, so that the best may be chosen by it."""

from collections.abc import Callable

import torch

from genlab.data.images import Images
from genlab.evaluation import held_out, reconstruction
from genlab.evaluation.distribution import Cloud, compared
from genlab.evaluation.embeddings import Embedding
from genlab.evaluation.figures import better
from genlab.evaluation.reference import reference
from genlab.game import Model, Reconstructs, Samples
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
    measures = list[tuple[list[str], Callable[[Model], dict[str, float]]]]()
    if isinstance(model, Samples):
        embedding = embed()
        names = [f"{name}-{embedding.name}" for name in _DISTANCES]
        measures.append((names, _distances(images, embedding, device)))
    if isinstance(model, Reconstructs) and not images.shape.points:
        measures.append((list(_ERRORS), _errors(images, device)))
    if not measures:
        raise ConfigError("trainer.evaluate=quick measures models that sample or reconstruct; set it to null.")
    known = tuple(name for names, _ in measures for name in names)

    def measure(model: Model) -> dict[str, float]:
        # A GPU's short numbers are for training: what is chosen by is measured as `genlab evaluate` measures.
        with torch.autocast(device.type, enabled=False):
            found = {name: value for _, look in measures for name, value in look(model).items()}
        return {name: value for name, value in found.items() if name in known}

    return Quick(known, [name for name in known if better(name) == "higher"], measure)


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
        return {f"{name}-{embedding.name}": value for name, value in found.items()}

    return look


def _errors(images: Images, device: torch.device) -> Callable[[Model], dict[str, float]]:
    rows = held_out.chosen(images, SPLIT, COUNT)

    def look(model: Model) -> dict[str, float]:
        assert isinstance(model, Reconstructs)
        return reconstruction.errors(model, (batch["image"] for batch in held_out.batches(images, rows, device)))

    return look
