"""What each choice of the engine gives on a GPU: python -m benchmarks.gpu [SETTING=VALUE...].

Images/s of the steps of `dcgan` at 64x64, 256 a batch, on drawn faces: in eager float32 with contiguous memory, then
with bfloat16, with channels last and compiled, each added to those before; and of a bare loop that is compiled, which
has our model's turns and optimisers on one batch in memory and nothing around them. Each is a process of its own.
"""

import subprocess
import sys
import time

ROUNDS, WARM, STEPS = 3, 20, 200
BASE = ["model=dcgan", "data=faces", "data.size=64", "data.count=20000", "trainer.batch_size=256", "device=cuda"]
PLAIN = ["trainer.precision=float32", "trainer.channels_last=false", "trainer.compile=false"]
KINDS = {
    "eager float32": PLAIN,
    "+ bfloat16": ["trainer.precision=bfloat16", *PLAIN[1:]],
    "+ channels last": ["trainer.precision=bfloat16", "trainer.channels_last=true", "trainer.compile=false"],
    "+ compiled": ["trainer.precision=bfloat16", "trainer.channels_last=true", "trainer.compile=true"],
}
BARE = "bare compiled loop"


def measure(kind: str, overrides: list[str]) -> float:
    """Images/s of the steps after those that warm up."""
    import torch

    from genlab import build
    from genlab.config import compose as config

    wanted = config.compose([*BASE, *KINDS.get(kind, KINDS["+ compiled"]), *overrides])
    trainer = build.build_trainer(wanted, build.build_images(wanted))
    step = _bare(trainer) if kind == BARE else trainer._take_step
    for _ in range(WARM):
        step()
    _wait(torch)
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    _wait(torch)
    return STEPS * wanted.trainer.batch_size / (time.perf_counter() - began)


def _bare(trainer):
    """The turns alone: forward, backward, fused Adam."""
    import torch

    batch = trainer.engine.arrange(trainer.data.batch(0))
    moves = []
    for turn in trainer.model.turns(0):
        player = trainer.model.players()[turn.player]
        optimizer = torch.optim.Adam(player.parameters(), 2e-4, (0.5, 0.999), fused=True)
        moves.append((turn.player, torch.compile(turn.loss) if trainer.engine.compile else turn.loss, optimizer))

    def step() -> None:
        for name, loss, optimizer in moves:
            trainer.players.give_floor(name)
            with trainer.engine.autocast():
                lowered = loss(batch)["loss"]
            lowered.backward()
            optimizer.step()
            optimizer.zero_grad()

    return step


def _wait(torch) -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main(overrides: list[str]) -> None:
    """A table of medians, with the card's name."""
    import statistics

    import torch

    print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU", f"torch {torch.__version__}")
    for kind in (*KINDS, BARE):
        command = [sys.executable, "-m", "benchmarks.gpu", "--kind", kind, *overrides]
        speeds = [
            float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(ROUNDS)
        ]
        print(f"{kind:<20} {statistics.median(speeds):>10,.0f} images/s ({min(speeds):,.0f} to {max(speeds):,.0f})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--kind"]:
        print(measure(sys.argv[2], sys.argv[3:]))
    else:
        main(sys.argv[1:])
