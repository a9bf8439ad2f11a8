"""Effect of each choice of the engine on a GPU, as one table: python -m benchmarks.gpu [MODEL...] [--tiny].

A row is a choice: eager float32 with contiguous memory, then bfloat16, channels last, compilation and CUDA graphs,
added one by one. `bare` is the upper limit: our model's compiled losses and fused Adam on one batch in memory, captured
by hand as one CUDA graph, with nothing around it. `script` is the common eager script of a DCGAN: float32, a DataLoader
and `.item()` of both losses at each step. Numbers are items/s of whole steps, the median of three rounds.

Each model has its own process. All of it takes about six minutes. --tiny tries the code with two steps of small models,
also on a CPU.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from genlab.config.schema import Config
    from genlab.training.trainer import Trainer

ROUNDS, SECONDS, WARM = 3, 1.0, 8
FACES = ["data=faces", "data.size=64", "data.count=4000", "data.validation=100", "data.test=100"]
MODELS = {
    "vae": ["model=vae", "data=fashion-mini", "trainer.batch_size=4096"],
    "vae conv": ["model=vae", "model/network=conv", "data=fashion-mini", "trainer.batch_size=512"],
    "dcgan": ["model=dcgan", *FACES, "trainer.batch_size=256"],
    "wgan-gp": ["model=wgan-gp", *FACES, "trainer.batch_size=128"],
    "srresnet": ["model=srresnet", "model.scale=4", *FACES, "trainer.batch_size=64"],
}
TINY = ["data=fashion-mini", "trainer.batch_size=8", "device=auto"]
SMALL = {
    "vae": ["model/network=mlp-small"],
    "vae conv": ["model/network=conv", "model.network.width=8"],
    "dcgan": ["model/network=dcgan-small"],
    "wgan-gp": ["model/network=dcgan-small"],
    "srresnet": ["model.blocks=1", "model.width=8"],
}
NAMES = ("precision", "channels_last", "compile", "cuda_graphs")
CHOICES: dict[str, tuple[str, bool, bool, bool]] = {
    "eager float32": ("float32", False, False, False),
    "+ bfloat16": ("bfloat16", False, False, False),
    "+ channels last": ("bfloat16", True, False, False),
    "+ graphs, eager": ("bfloat16", True, False, True),
    "+ compiled": ("bfloat16", True, True, False),
    "+ both": ("bfloat16", True, True, True),
}
BARE, SCRIPT = "bare", "script"
ROWS = (*CHOICES, BARE, SCRIPT)


def measure(name: str, tiny: bool) -> dict[str, float | None]:
    """Return the items/s of each row for a model; None where a row has no meaning."""
    import torch

    found: dict[str, float | None] = {}
    for row in ROWS:
        precision, channels_last, compiled, graphs = CHOICES.get(row, CHOICES["+ compiled"])
        if (graphs or row == BARE) and not torch.cuda.is_available() or row == SCRIPT and name != "dcgan":
            found[row] = None
            continue
        # On a CPU a compilation takes minutes.
        compiled = compiled and torch.cuda.is_available()
        values = (precision, channels_last, compiled, graphs)
        speed = [f"trainer.{key}={str(value).lower()}" for key, value in zip(NAMES, values, strict=True)]
        config = _config(name, tiny, speed)
        found[row] = _speed(_step(row, config), config.trainer.batch_size, tiny)
    return found


def _config(name: str, tiny: bool, speed: list[str]) -> "Config":
    from genlab.config import compose

    model = MODELS[name]
    if tiny:
        model = [setting for setting in model if setting.startswith("model")] + SMALL[name] + TINY
    return compose.compose([*model, "device=auto", *speed])


def _step(row: str, config: "Config") -> Callable[[], object]:
    """Return a function that takes one step of a row."""
    from genlab import build

    trainer = build.build_trainer(config, build.build_data(config))
    trainer.model.train()
    if row == BARE:
        return bare_step(trainer)
    return script_step(trainer) if row == SCRIPT else trainer._take_step


def bare_step(trainer: "Trainer") -> Callable[[], None]:
    """Capture the turns of a step by hand: forward, backward and fused Adam on one batch."""
    import torch

    batch = trainer.engine.arrange(trainer.data.batch(0)) | {"step": torch.zeros((), device=trainer.engine.device)}
    optimizers = {
        name: torch.optim.Adam(player.weights.values(), 2e-4, (0.5, 0.999), fused=True, capturable=True)
        for name, player in trainer.players.players.items()
    }

    def step() -> None:
        seen = dict(batch)
        for turn in trainer.model.turns(0):
            trainer.players.give_floor(turn.player)
            for _ in range(turn.repeat):
                result = trainer.engine.result(turn, seen)
                result.loss.backward()
                optimizers[turn.player].step()
                optimizers[turn.player].zero_grad()
            seen |= {key: value.detach() for key, value in result.handed_on.items()}

    beside, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(4):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def script_step(trainer: "Trainer") -> Callable[[], tuple[float, float]]:
    """Return a step of the common script, with the networks of our model and a DataLoader of its images."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from genlab.models.gan import GAN

    model, device = trainer.model, trainer.engine.device
    assert isinstance(model, GAN)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    generator, discriminator, latent = model.generator, model.discriminator, model.latent_dim
    makers = [torch.optim.Adam(part.parameters(), 2e-4, (0.5, 0.999)) for part in (generator, discriminator)]
    images = torch.cat([trainer.data.batch(number)["x"].cpu() for number in range(4)]).contiguous() * 2 - 1
    loader = DataLoader(TensorDataset(images), batch_size=trainer.settings.batch_size, shuffle=True)
    criterion = nn.BCEWithLogitsLoss()
    batches: Iterator[list[Tensor]] = iter(())

    def judged(items: "Tensor", target: float) -> "Tensor":
        scores = discriminator(items, None)
        loss: Tensor = criterion(scores, torch.full_like(scores, target))
        return loss

    def step() -> tuple[float, float]:
        nonlocal batches
        try:
            real = next(batches)[0]
        except StopIteration:
            batches = iter(loader)
            real = next(batches)[0]
        real = real.to(device)
        discriminator.zero_grad()
        true_loss = judged(real, 1.0)
        true_loss.backward()
        generated = generator(torch.randn(len(real), latent, device=device)).tanh()
        false_loss = judged(generated.detach(), 0.0)
        false_loss.backward()
        makers[1].step()
        generator.zero_grad()
        loss = judged(generated, 1.0)
        loss.backward()
        makers[0].step()
        return (true_loss + false_loss).item(), loss.item()

    return step


def _speed(step: Callable[[], object], batch_size: int, tiny: bool) -> float:
    """Return the median of the items/s of three rounds."""
    for _ in range(1 if tiny else WARM):
        step()
    _wait()
    speeds = []
    for _ in range(1 if tiny else ROUNDS):
        began, steps = time.perf_counter(), 0
        while steps < 2 or not tiny and time.perf_counter() - began < SECONDS:
            # In groups: asking for the time after each step would make the loop wait.
            for _ in range(1 if tiny else 20):
                step()
                steps += 1
            _wait()
        speeds.append(steps * batch_size / (time.perf_counter() - began))
    return statistics.median(speeds)


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main(names: list[str], tiny: bool) -> None:
    """Print a column for each model: items/s, and in brackets the share of the bare captured loop."""
    import torch

    print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU", f"torch {torch.__version__}")
    found = {}
    for name in names:
        command = [sys.executable, "-m", "benchmarks.gpu", "--model", name, *(["--tiny"] if tiny else [])]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found[name] = json.loads(printed.splitlines()[-1])
    print(f"{'items/s':<16}" + "".join(f"{name:>20}" for name in names))
    for row in ROWS:
        print(f"{row:<16}" + "".join(f"{_cell(found[name], row):>20}" for name in names), flush=True)


def _cell(speeds: dict[str, float | None], row: str) -> str:
    speed, limit = speeds[row], speeds[BARE]
    if speed is None:
        return "-"
    return f"{speed:,.0f}" + (f" ({speed / limit:.2f})" if limit else "")


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--tiny"]
    if arguments[:1] == ["--model"]:
        print(json.dumps(measure(arguments[1], "--tiny" in sys.argv)))
    else:
        main(arguments or list(MODELS), "--tiny" in sys.argv)
