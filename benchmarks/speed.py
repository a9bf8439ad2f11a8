"""Images per second of the plain script, of bare loops and of `genlab train`: python -m benchmarks.speed [ROOT].

The full Fashion-MNIST is read from ROOT (idx files) or downloaded. The kinds take turns, each in a process of its own,
so that what else the machine does falls on all alike. A ratio is of one round; the median over the rounds counts.
`bare` is our model's step on floats in memory with nothing around it; `tuned` is the same with the allocator's setting
that our engine makes, the ceiling.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.rounds import compare

ROUNDS, STEPS = 5, 4530


def plain(root: str) -> float:
    """An ordinary script, whose average of the loss wants `.item()` at each step."""
    import torch

    from benchmarks.plain import PlainVAE, plain_loader, plain_loss

    images = _images(root)
    train = images.splits["train"]
    loader = plain_loader(images.pixels[train], images.labels[train], shuffle=True)
    model, total = PlainVAE(), 0.0
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    began = time.perf_counter()
    for batch, _ in loader:
        optimizer.zero_grad()
        decoded, mean, log_variance = model(batch)
        loss = plain_loss(decoded, batch, mean, log_variance)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return len(train) / (time.perf_counter() - began)


def bare(root: str) -> float:
    """The same step as ours on floats in memory, with nothing around it."""
    import torch

    from genlab import build

    images = _images(root)
    model = build.build_model(_config(root), images.shape, images.classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    train = images.pixels[images.splits["train"]].float().div_(255)
    per_epoch = len(train) // 128
    began = time.perf_counter()
    for step in range(STEPS):
        if step % per_epoch == 0:
            order = torch.randperm(len(train))
        chosen = order[step % per_epoch * 128 :][:128]
        optimizer.zero_grad()
        model.loss({"image": train[chosen]})["loss"].backward()
        optimizer.step()
    return STEPS * 128 / (time.perf_counter() - began)


def tuned(root: str) -> float:
    """The bare loop with our engine's setting of the allocator."""
    from genlab.training.engine import keep_freed_memory

    keep_freed_memory()
    return bare(root)


def ours(root: str) -> float:
    """A whole run, with its journal, TensorBoard, pictures, validation, test and checkpoints."""
    from genlab.runs import lifecycle
    from genlab.training.console import Console

    with tempfile.TemporaryDirectory() as folder:
        _, outcome = lifecycle.train(replace(_config(root), run=str(Path(folder) / "run")), Console())
    assert outcome
    return outcome.images_per_second


def _config(root: str):
    from genlab.config import compose as config

    return config.compose(["model=vae", "data=fashion-mnist", f"data.root={root}", f"trainer.steps={STEPS}"])


def _images(root: str):
    from genlab import build

    return build.build_images(_config(root))


KINDS: dict[str, Callable[[str], float]] = {"plain": plain, "bare": bare, "tuned": tuned, "ours": ours}


if __name__ == "__main__":
    place = sys.argv[1] if len(sys.argv) > 1 else "null"
    if len(sys.argv) > 2:
        print(KINDS[sys.argv[2]](place))
    else:
        compare("benchmarks.speed", place, KINDS, ROUNDS, ("plain", "bare", "tuned"))
