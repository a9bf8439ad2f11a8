"""Images per second of `genlab train` and of an ordinary DCGAN script: python -m benchmarks.adversarial_speed.

The data are faces of 32x32 in colour, drawn once into a folder of PNG files; batches of 64; the networks of
benchmarks/ordinary.py. The kinds of work take turns, each in its own process. A ratio is of one round; the median over
the rounds counts. The first steps are a warm-up and are not timed. `bare` is our model's turns on floats in memory with
nothing around them: the upper limit. `contiguous` is ours without channels-last.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.rounds import compare

if TYPE_CHECKING:
    from torch import Tensor, nn

    from genlab.config.schema import Config
    from genlab.contract import Model

ROUNDS, STEPS, WARM_UP, BATCH, IMAGES = 5, 70, 10, 64, 1500
PLUGIN = Path(__file__).with_name("ordinary.py")


def plain(folder: str) -> float:
    """Measure an ordinary script: each image through Pillow and transforms, `.item()` of both losses at each step."""
    from torch import nn, optim

    from benchmarks.ordinary import Ordinary
    from genlab.kinds import Image

    loader, network, kind = _plain_loader(folder), Ordinary(), Image(3, 32, 32)
    generator = nn.Sequential(network.decoder(100, kind), nn.Tanh())
    discriminator = nn.Sequential(network.encoder(kind, 1), nn.Sigmoid())
    optimizers = [optim.Adam(part.parameters(), lr=2e-4, betas=(0.5, 0.999)) for part in (generator, discriminator)]
    return _timed(_plain_steps(loader, generator, discriminator, *optimizers))


def _plain_steps(
    loader: Any, generator: "nn.Module", discriminator: "nn.Module", generator_optimizer: Any, optimizer: Any
) -> Iterator[None]:
    """Train: the generator moves first, and the discriminator sees the same generated images."""
    import torch
    from torch import nn

    criterion, history = nn.BCELoss(), []
    while True:
        for real, _ in loader:
            valid, fake = torch.ones(len(real), 1), torch.zeros(len(real), 1)
            generator_optimizer.zero_grad()
            images = generator(torch.randn(len(real), 100))
            generator_loss = criterion(discriminator(images), valid)
            generator_loss.backward()
            generator_optimizer.step()
            optimizer.zero_grad()
            loss = (criterion(discriminator(real), valid) + criterion(discriminator(images.detach()), fake)) / 2
            loss.backward()
            optimizer.step()
            history.append((loss.item(), generator_loss.item()))
            yield


def _plain_loader(folder: str) -> Any:
    """Return a loader as such scripts write it; smaller last batches are dropped, as ours are."""
    from torch.utils.data import DataLoader

    from genlab.data.files.vision import torchvision

    transforms, datasets = torchvision().transforms, torchvision().datasets
    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])
    images = datasets.ImageFolder(folder, change)
    return DataLoader(images, batch_size=BATCH, shuffle=True, drop_last=True)


def bare(folder: str) -> float:
    """Measure our model's turns on floats in memory, in our engine's memory format, with nothing around them."""
    import torch

    from genlab import build
    from genlab.training.engine import keep_freed_memory

    keep_freed_memory()
    config = _config(folder)
    dataset = build.build_data(config)
    model = build.build_model(config, dataset.kinds)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = dataset.columns["x"].rows[dataset.splits["train"]].float().div_(255)
    return _timed(_bare_steps(model, pixels.contiguous(memory_format=torch.channels_last)))


def _bare_steps(model: "Model", pixels: "Tensor") -> Iterator[None]:
    import torch
    from torch import nn

    players = {name: player for name, player in model.players().items() if isinstance(player, nn.Module)}
    optimizers = {
        name: torch.optim.Adam(player.parameters(), 2e-4, (0.5, 0.999), fused=True) for name, player in players.items()
    }
    step = 0
    while True:
        batch = {"x": pixels[torch.randint(len(pixels), (BATCH,))]}
        for turn in model.turns(step):
            for name, player in players.items():
                player.requires_grad_(name == turn.player)
            result = turn.loss(batch)
            result.loss.backward()
            optimizers[turn.player].step()
            optimizers[turn.player].zero_grad()
            batch |= {name: value.detach() for name, value in result.handed_on.items()}
        step += 1
        yield


def ours(folder: str, *overrides: str) -> float:
    """Measure a whole run with its journal, TensorBoard, pictures, validation, test, average and checkpoints."""
    from genlab.runs import lifecycle
    from genlab.training.console import Console

    class Stopwatch(Console):
        """A console that notes the time at the first log line, when the warm-up is over."""

        def progress(self, step: int, epoch: float, metrics: Mapping[str, float | None]) -> None:
            if step == WARM_UP:
                self.began = time.perf_counter()

    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as place:
        lifecycle.train(_config(folder, f"run={place}/run", *overrides), watch)
    return (STEPS - WARM_UP) * BATCH / (time.perf_counter() - watch.began)


def contiguous(folder: str) -> float:
    """Measure ours in torch's ordinary memory format."""
    return ours(folder, "trainer.channels_last=false")


def _timed(steps: Iterator[None]) -> float:
    """Return the images per second of the steps after the warm-up."""
    for _ in range(WARM_UP):
        next(steps)
    began = time.perf_counter()
    for _ in range(STEPS - WARM_UP):
        next(steps)
    return (STEPS - WARM_UP) * BATCH / (time.perf_counter() - began)


def _config(folder: str, *overrides: str) -> "Config":
    from genlab import build
    from genlab.config import compose, plugins

    data = ["data=folder", f"data.path={folder}", "data.size=32"]
    trainer = [f"trainer.batch_size={BATCH}", "trainer.epochs=null", f"trainer.steps={STEPS}"]
    settings = ["model=dcgan", "model/network=ordinary", *data, *trainer, f"trainer.log_every={WARM_UP}", *overrides]
    files = [str(PLUGIN)]
    build.load_plugins(files)
    return compose.compose(settings, plugins.config_folder(str(PLUGIN)), files)


def draw(folder: Path) -> None:
    """Draw faces into PNG files, as a download would leave them."""
    from PIL import Image

    from genlab.data import SOURCES

    (folder / "faces").mkdir(parents=True)
    faces = SOURCES["faces"](count=IMAGES, size=32, seed=0, validation=1, test=1)
    for number, pixels in enumerate(faces.columns["x"].rows):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"faces/{number:05}.png")


KINDS: dict[str, Callable[[str], float]] = {"plain": plain, "contiguous": contiguous, "bare": bare, "ours": ours}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(KINDS[sys.argv[2]](sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            os.environ["GENLAB_CACHE"] = f"{place}/cache"
            draw(Path(place) / "images")
            compare("benchmarks.adversarial_speed", f"{place}/images", KINDS, ROUNDS, ("plain", "contiguous", "bare"))
