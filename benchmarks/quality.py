"""Test loss of `genlab train` and of the plain script at equal epochs: python -m benchmarks.quality [ROOT].

Both train on the full Fashion-MNIST, read from ROOT (a folder with idx files) or downloaded, with the same seed, on the
58,000 images that are not set aside for validation. The metric is the negative ELBO of the 10,000 test images, in nats.
The last line is the result of `experiment=vae-fast`, and the time of its training over that of the plain script.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.plain import PlainVAE, plain_loader, plain_loss
from genlab import build
from genlab.config import compose
from genlab.data.dataset import Dataset
from genlab.runs import lifecycle
from genlab.training.console import Console

EPOCHS = (1, 2, 3, 5, 10, 18, 20)


def plain(dataset: Dataset) -> Iterator[tuple[int, float, float]]:
    """Yield the plain script's test loss after each of the epochs, and the seconds of training so far."""
    torch.manual_seed(0)
    pixels, labels = dataset.columns["x"].rows, dataset.labels
    assert labels is not None
    training, testing = (
        plain_loader(pixels[rows], labels[rows], shuffle=split == "train")
        for split, rows in dataset.splits.items()
        if split != "validation"
    )
    model = PlainVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds = 0.0
    for epoch in range(1, EPOCHS[-1] + 1):
        began = time.perf_counter()
        for batch, _ in training:
            optimizer.zero_grad()
            decoded, mean, log_variance = model(batch)
            plain_loss(decoded, batch, mean, log_variance).backward()
            optimizer.step()
        seconds += time.perf_counter() - began
        if epoch in EPOCHS:
            total = 0.0
            with torch.no_grad():
                for batch, _ in testing:
                    decoded, mean, log_variance = model(batch)
                    total += plain_loss(decoded, batch, mean, log_variance).item()
            yield epoch, total / len(dataset.splits["test"]), seconds


def ours(overrides: list[str], folder: Path) -> Iterator[tuple[int, float]]:
    """Yield our test loss after each of the epochs: the finished run is resumed with more of them."""
    config = compose.compose([*overrides, "model=vae", f"trainer.epochs={EPOCHS[0]}"])
    run, outcome = lifecycle.train(replace(config, run=str(folder)), Console())
    for epoch in EPOCHS:
        if epoch > EPOCHS[0]:
            run, outcome = lifecycle.resume(run, [f"trainer.epochs={epoch}"], Console())
        assert outcome
        yield epoch, outcome.test["loss"]


def main(root: str) -> None:
    """Print one line for each number of epochs, then the fast recipe."""
    place = ["data=fashion-mnist", f"data.root={root}"]
    dataset = build.build_data(compose.compose(place))
    with tempfile.TemporaryDirectory() as folder:
        for (epoch, theirs, spent), (_, mine) in zip(plain(dataset), ours(place, Path(folder) / "run"), strict=True):
            seconds = spent
            print(f"epoch {epoch:>2}: plain {theirs:.2f}, ours {mine:.2f}, difference {mine - theirs:+.2f}", flush=True)
        fast = compose.compose(["experiment=vae-fast", *place[1:]])
        _, outcome = lifecycle.train(replace(fast, run=str(Path(folder) / "fast")), Console())
    assert outcome
    share = f"{outcome.seconds:.0f} s, {outcome.seconds / seconds:.2f} of the plain script's {seconds:.0f} s"
    print(f"experiment=vae-fast, {fast.trainer.epochs} epochs: {outcome.test['loss']:.2f} in {share}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "null")
