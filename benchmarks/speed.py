"""Images per second of the plain script, of bare loops and of `genlab train`: python -m benchmarks.speed [ROOT].

The full Fashion-MNIST is read from ROOT (a folder with idx files) or downloaded. The kinds of work take turns, each in
its own process. A ratio is of one round; the median over the rounds counts. `bare` is our model's step on floats in
memory with nothing around it. `tuned` is the same with our engine's setting of the memory allocator: the upper limit.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.rounds import compare

if TYPE_CHECKING:
    from genlab.config.schema import Config
    from genlab.data.dataset import Dataset

ROUNDS, STEPS = 5, 4530


def plain(root: str) -> float:
    """Measure one epoch of an ordinary script, which calls `.item()` at each step to average the loss."""
    import torch

    from benchmarks.plain import PlainVAE, plain_loader, plain_loss

    dataset = _dataset(root)
    train, labels = dataset.splits["train"], dataset.labels
    assert labels is not None
    loader = plain_loader(dataset.columns["x"].rows[train], labels[train], shuffle=True)
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
    """Measure our step on floats in memory, with nothing around it."""
    import torch

    from genlab import build

    dataset = _dataset(root)
    model = build.build_model(_config(root), dataset.kinds)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    train = dataset.columns["x"].rows[dataset.splits["train"]].float().div_(255)
    per_epoch = len(train) // 128
    began = time.perf_counter()
    for step in range(STEPS):
        if step % per_epoch == 0:
            order = torch.randperm(len(train))
        chosen = order[step % per_epoch * 128 :][:128]
        optimizer.zero_grad()
        model.loss({"x": train[chosen]}).loss.backward()
        optimizer.step()
    return STEPS * 128 / (time.perf_counter() - began)


def tuned(root: str) -> float:
    """Measure the bare loop with our engine's setting of the memory allocator."""
    from genlab.training.engine import keep_freed_memory

    keep_freed_memory()
    return bare(root)


def ours(root: str) -> float:
    """Measure a whole run with its journal, TensorBoard, pictures, validation, test and checkpoints."""
    from genlab.runs import lifecycle
    from genlab.training.console import Console

    with tempfile.TemporaryDirectory() as folder:
        _, outcome = lifecycle.train(replace(_config(root), run=str(Path(folder) / "run")), Console())
    assert outcome
    return outcome.items_per_second


def _config(root: str) -> "Config":
    from genlab.config import compose

    return compose.compose(["model=vae", "data=fashion-mnist", f"data.root={root}", f"trainer.steps={STEPS}"])


def _dataset(root: str) -> "Dataset":
    from genlab import build

    return build.build_data(_config(root))


KINDS: dict[str, Callable[[str], float]] = {"plain": plain, "bare": bare, "tuned": tuned, "ours": ours}


if __name__ == "__main__":
    place = sys.argv[1] if len(sys.argv) > 1 else "null"
    if len(sys.argv) > 2:
        print(KINDS[sys.argv[2]](place))
    else:
        compare("benchmarks.speed", place, KINDS, ROUNDS, ("plain", "bare", "tuned"))
