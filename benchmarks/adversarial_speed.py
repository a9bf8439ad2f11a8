"""Images per second of `genlab train` and of an ordinary DCGAN script: python -m benchmarks.adversarial_speed.

Faces of 32x32 in colour, drawn once into a folder of PNG files; batches of 64; the networks of benchmarks/ordinary.py.
The kinds take turns, each in a process of its own, so that what else the machine does falls on all alike. A ratio is of
one round; the median over the rounds counts. The first steps, in which everybody warms up, count for nobody.
`bare` is our model's moves on floats in memory with nothing around them, the ceiling; `contiguous` is ours without
channels-last.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.rounds import compare

ROUNDS, STEPS, WARM_UP, BATCH, IMAGES = 5, 70, 10, 64, 1500
PLUGIN = Path(__file__).with_name("ordinary.py")


def plain(folder: str) -> float:
    """An ordinary script: each image through Pillow and its transforms, and `.item()` of both losses at each step."""
    from torch import nn, optim

    from benchmarks.ordinary import Ordinary

    loader, network, shape = _plain_loader(folder), Ordinary(), (3, 32, 32)
    generator = nn.Sequential(network.decoder(100, shape), nn.Tanh())
    critic = nn.Sequential(network.encoder(shape, 1), nn.Sigmoid())
    players = [optim.Adam(player.parameters(), lr=2e-4, betas=(0.5, 0.999)) for player in (generator, critic)]
    return _timed(_plain_steps(loader, generator, critic, *players))


def _plain_steps(loader, generator, critic, generator_optimizer, critic_optimizer) -> Iterator[None]:
    """The generator moves first, and the critic judges the same fakes."""
    import torch
    from torch import nn

    judge, history = nn.BCELoss(), []
    while True:
        for real, _ in loader:
            valid, fake = torch.ones(len(real), 1), torch.zeros(len(real), 1)
            generator_optimizer.zero_grad()
            images = generator(torch.randn(len(real), 100))
            generator_loss = judge(critic(images), valid)
            generator_loss.backward()
            generator_optimizer.step()
            critic_optimizer.zero_grad()
            critic_loss = (judge(critic(real), valid) + judge(critic(images.detach()), fake)) / 2
            critic_loss.backward()
            critic_optimizer.step()
            history.append((critic_loss.item(), generator_loss.item()))
            yield


def _plain_loader(folder: str):
    """What the scripts write; batches that are smaller are left out, as ours are."""
    from torch.utils.data import DataLoader

    from genlab.data.files.vision import torchvision

    transforms, datasets = torchvision().transforms, torchvision().datasets
    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])
    images = datasets.ImageFolder(folder, change)
    return DataLoader(images, batch_size=BATCH, shuffle=True, drop_last=True)


def bare(folder: str) -> float:
    """Our model's moves on floats in memory, in the memory format that our engine takes, with nothing around them."""
    import torch

    from genlab import build
    from genlab.training.engine import keep_freed_memory

    keep_freed_memory()
    config = _config(folder)
    images = build.build_images(config)
    model = build.build_model(config, images.shape, images.classes).to(memory_format=torch.channels_last)
    pixels = images.pixels[images.splits["train"]].float().div_(255).contiguous(memory_format=torch.channels_last)
    return _timed(_bare_steps(model, pixels))


def _bare_steps(model, pixels) -> Iterator[None]:
    import torch

    players = model.players()
    optimizers = {
        name: torch.optim.Adam(player.parameters(), 2e-4, (0.5, 0.999), fused=True) for name, player in players.items()
    }
    step = 0
    while True:
        batch = {"image": pixels[torch.randint(len(pixels), (BATCH,))]}
        for turn in model.turns(step):
            for name, player in players.items():
                player.requires_grad_(name == turn.player)
            turn.loss(batch)["loss"].backward()
            optimizers[turn.player].step()
            optimizers[turn.player].zero_grad()
        step += 1
        yield


def ours(folder: str, *overrides: str) -> float:
    """A whole run with its journal, TensorBoard, pictures, validation, test, average and checkpoints."""
    from genlab.runs import lifecycle
    from genlab.training.console import Console

    class Stopwatch(Console):
        """Notes when the warm-up is over, which is at the first log line."""

        def progress(self, step: int, epoch: float, figures: Mapping[str, float | None]) -> None:
            if step == WARM_UP:
                self.began = time.perf_counter()

    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as place:
        lifecycle.train(_config(folder, f"run={place}/run", *overrides), watch)
    return (STEPS - WARM_UP) * BATCH / (time.perf_counter() - watch.began)


def contiguous(folder: str) -> float:
    """Ours in torch's ordinary memory format."""
    return ours(folder, "trainer.channels_last=false")


def _timed(steps: Iterator[None]) -> float:
    """Images per second of the steps after the warm-up."""
    for _ in range(WARM_UP):
        next(steps)
    began = time.perf_counter()
    for _ in range(STEPS - WARM_UP):
        next(steps)
    return (STEPS - WARM_UP) * BATCH / (time.perf_counter() - began)


def _config(folder: str, *overrides: str):
    from genlab import build
    from genlab.config import compose as config
    from genlab.config import plugins

    data = ["data=folder", f"data.path={folder}", "data.size=32"]
    trainer = [f"trainer.batch_size={BATCH}", "trainer.epochs=null", f"trainer.steps={STEPS}"]
    wanted = ["model=dcgan", "model/network=ordinary", *data, *trainer, f"trainer.log_every={WARM_UP}", *overrides]
    files = [str(PLUGIN)]
    build.load_plugins(files)
    return config.compose(wanted, plugins.config_folder(PLUGIN), files)


def draw(folder: Path) -> None:
    """Faces as PNG files, as a download would leave them."""
    from PIL import Image

    from genlab.data import SOURCES

    (folder / "faces").mkdir(parents=True)
    faces = SOURCES["faces"](count=IMAGES, size=32, seed=0, validation=1, test=1)
    for number, pixels in enumerate(faces.pixels):
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
