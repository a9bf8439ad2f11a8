"""Effect of each choice of the engine on a GPU: python -m benchmarks.gpu [SETTING=VALUE...].

It prints the images/s of the steps of `dcgan` at 64x64, 256 a batch, on drawn faces. The first row is eager float32
with contiguous memory; then bfloat16, channels last and compilation are added one by one. The last row is a bare
compiled loop: our model's turns and optimizers on one batch in memory, with nothing around them. Each row has its own
process, which times its steps three times.
"""

import statistics
import subprocess
import sys
import time
from functools import partial

from benchmarks.bare import bare_step

ROUNDS, WARM, STEPS = 3, 20, 200
# Nearly all images are for training: at the end of an epoch the new order is copied, and the loop waits for it.
DATA = ["data=faces", "data.size=64", "data.count=4000", "data.validation=100", "data.test=100"]
BASE = ["model=dcgan", *DATA, "trainer.batch_size=256", "device=cuda"]
PLAIN = ["trainer.precision=float32", "trainer.channels_last=false", "trainer.compile=false"]
KINDS = {
    "eager float32": PLAIN,
    "+ bfloat16": ["trainer.precision=bfloat16", *PLAIN[1:]],
    "+ channels last": ["trainer.precision=bfloat16", "trainer.channels_last=true", "trainer.compile=false"],
    "+ compiled": ["trainer.precision=bfloat16", "trainer.channels_last=true", "trainer.compile=true"],
}
BARE = "bare compiled loop"


def measure(kind: str, overrides: list[str]) -> list[float]:
    """Return the images/s of each round of steps after the warm-up."""
    from genlab import build
    from genlab.config import compose

    config = compose.compose([*BASE, *KINDS.get(kind, KINDS["+ compiled"]), *overrides])
    trainer = build.build_trainer(config, build.build_data(config))
    bare = bare_step(trainer)
    step = partial(bare, 0) if kind == BARE else trainer._take_step
    for _ in range(WARM):
        step()
    speeds = list[float]()
    for _ in range(ROUNDS):
        _wait()
        began = time.perf_counter()
        for _ in range(STEPS):
            step()
        _wait()
        speeds.append(STEPS * config.trainer.batch_size / (time.perf_counter() - began))
    return speeds


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main(overrides: list[str]) -> None:
    """Print a table of medians, with the name of the card."""
    import torch

    print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU", f"torch {torch.__version__}")
    for kind in (*KINDS, BARE):
        command = [sys.executable, "-m", "benchmarks.gpu", "--kind", kind, *overrides]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        speeds = [float(speed) for speed in printed.split()]
        spread = f"({min(speeds):,.0f} to {max(speeds):,.0f})"
        print(f"{kind:<20} {statistics.median(speeds):>10,.0f} images/s {spread}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--kind"]:
        print(*measure(sys.argv[2], sys.argv[3:]))
    else:
        main(sys.argv[1:])
