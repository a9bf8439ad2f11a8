"""Engines: programs outside of genlab that run the jobs of a sweep in processes of their own, by Hydra's launchers."""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any

from genlab.registry import ConfigError, unknown

HERE = "basic"
"""The launcher that runs one job after the other, in this process."""
INSTALLED_BY = {
    "joblib": 'pip install "genlab[launchers]"',
    "submitit_local": 'pip install "genlab[launchers]"',
    "submitit_slurm": 'pip install "genlab[launchers]"',
    "ray": 'pip install "ray[default]" && pip install --no-deps hydra-ray-launcher==1.2.2',
}
"""The launchers that genlab knows, and the line that installs each of them."""
_NUMBERS_OF_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Engine:
    """The launcher of a sweep, and the part of the computer that each of its jobs gets."""

    name: str = HERE
    at_once: int = 1
    """Jobs that train at the same time; the sampler of a search chooses so many settings together."""
    threads: int | None = None
    """Threads of each job; None leaves the number as it is."""
    cards: tuple[str, ...] = ()
    """GPUs of this computer that the jobs share, by their number; empty if each job finds its own."""
    settings: tuple[str, ...] = ()
    """Settings of Hydra that carry this out."""

    @property
    def apart(self) -> bool:
        """True if the jobs run in other processes."""
        return self.name != HERE

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Tell the processes that start inside a `with` block how many threads they may use."""
        names = [name for name in _NUMBERS_OF_THREADS if self.threads and name not in os.environ]
        os.environ.update(dict.fromkeys(names, str(self.threads)))
        try:
            yield
        finally:
            for name in names:
                os.environ.pop(name, None)

    def prepare(self, folder: Path) -> None:
        """Give the process of a job its threads and its GPU."""
        if self.threads:
            import torch

            torch.set_num_threads(self.threads)
        if self.cards:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.cards[_place(folder) % len(self.cards)]


def choose(name: str, launcher: Mapping[str, Any], overrides: Sequence[str], jobs: int | None = None) -> Engine:
    """Return the engine for the settings of a launcher; `jobs` is the number of jobs, None if it is not known."""
    if name == "submitit_slurm" and not shutil.which("sbatch"):
        raise ConfigError(
            "hydra/launcher=submitit_slurm needs Slurm, and its command sbatch was not found. Start the sweep on a "
            "machine of the cluster, or use hydra/launcher=joblib here."
        )
    cards = _cards() if _any_card(overrides) else ()
    most = jobs or max(os.cpu_count() or 1, _cores())
    if name == "joblib":
        return _joblib(launcher, overrides, most, cards)
    if name == "submitit_local":
        return _submitit_local(launcher, overrides, most, cards)
    if name == "submitit_slurm":
        threads = launcher.get("cpus_per_task") or launcher.get("cpus_per_gpu")
        return Engine(name, min(most, int(launcher.get("array_parallelism") or most)), _own(threads))
    if name == "ray":
        return _ray(launcher.get("ray") or {}, most, cards)
    return Engine(name)


def check_setting(name: str, override: str, listed: Iterable[str]) -> None:
    """Raise a ConfigError if an override sets what the launcher does not list; with a plus it may be new."""
    if name == HERE:
        raise ConfigError(
            f"{override.lstrip('+').partition('=')[0]} is a setting of a launcher. Choose one, such as "
            "hydra/launcher=joblib."
        )
    key = override.removeprefix("hydra.launcher.").partition("=")[0]
    known = [each for each in listed if not each.startswith("_")]
    if not override.startswith("+") and key.partition(".")[0] not in known:
        raise unknown(f"setting of hydra/launcher={name}", key, known)


def missing(name: str, known: Sequence[str] = ()) -> ConfigError:
    """Return the error for a launcher that is not installed, or that does not exist."""
    if line := INSTALLED_BY.get(name):
        return ConfigError(f"hydra/launcher={name} needs a package that is not installed. Install it with: {line}")
    return unknown("launcher", name, {HERE, *INSTALLED_BY, *known})


def _joblib(launcher: Mapping[str, Any], overrides: Sequence[str], most: int, cards: tuple[str, ...]) -> Engine:
    """Return the engine of joblib: as many jobs at once as there are cores, or GPUs if the computer has some."""
    wanted = int(launcher.get("n_jobs") or 0)
    if wanted == 0:
        raise ConfigError("hydra.launcher.n_jobs must be at least 1, or -1 for all cores, got 0.")
    if cards and not _given("hydra.launcher.n_jobs", overrides):
        wanted = len(cards)
    # -1 means all cores, -2 all but one, as in joblib.
    at_once = max(1, min(most, wanted if wanted > 0 else _cores() + 1 + wanted))
    return Engine("joblib", at_once, _share(at_once), cards, (f"hydra.launcher.n_jobs={at_once}",))


def _submitit_local(launcher: Mapping[str, Any], overrides: Sequence[str], most: int, cards: tuple[str, ...]) -> Engine:
    """Return the engine of submitit on this computer, which starts all jobs of a batch at once."""
    at_once = min(most, len(cards) or _cores())
    settings = tuple[str, ...]()
    if not any(override.startswith(("hydra/sweeper", "hydra.sweeper")) for override in overrides):
        settings = (f"hydra.sweeper.max_batch_size={at_once}",)
    elif batch := _given("hydra.sweeper.max_batch_size", overrides):
        at_once = min(most, int(batch)) if batch.isdigit() else at_once
    threads = launcher.get("cpus_per_task") or _share(at_once)
    return Engine("submitit_local", at_once, _own(threads), () if launcher.get("gpus_per_node") else cards, settings)


def _ray(settings: Mapping[str, Any], most: int, cards: tuple[str, ...]) -> Engine:
    """Return the engine of Ray, which starts a job wherever its cluster has the CPUs and GPUs that the job asks for."""
    init, remote = settings.get("init") or {}, settings.get("remote") or {}
    # Quiet, and without the server of its web page.
    wanted = {"init.log_to_driver": "false", "init.include_dashboard": "false", "init.logging_level": "error"}
    elsewhere = init.get("address") or os.environ.get("RAY_ADDRESS")
    if cards and not elsewhere and "num_gpus" not in remote:
        wanted["remote.num_gpus"] = "1"
    chosen = {f"init.{key}" for key in init} | {f"remote.{key}" for key in remote}
    added = tuple(f"++hydra.launcher.ray.{key}={value}" for key, value in wanted.items() if key not in chosen)
    cpus = float(remote.get("num_cpus") or 1)
    at_once = int(float(init.get("num_cpus") or _cores()) // cpus) or 1
    if "remote.num_gpus" in wanted:
        at_once = min(at_once, len(cards))
    return Engine("ray", min(most, at_once), _own(int(cpus) or 1), (), added)


def _share(at_once: int) -> int | None:
    """Return the threads of each of these jobs. More threads than cores make all jobs several times slower."""
    return _own(max(1, _cores() // at_once))


def _own(threads: Any) -> int | None:
    """Return the number of threads, unless the user has set it for all programs."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() else int(threads) if threads else None


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _given(key: str, overrides: Sequence[str]) -> str | None:
    """Return the value of a setting that the user has given."""
    return next((text.partition("=")[2] for text in overrides if text.lstrip("+").startswith(f"{key}=")), None)


def _any_card(overrides: Sequence[str]) -> bool:
    """Return True if the user lets genlab choose the GPU."""
    return _given("device", overrides) in (None, "auto", "cuda")


def _cards() -> tuple[str, ...]:
    """Return the names of the GPUs that this process may use."""
    import torch

    names = [str(number) for number in range(torch.cuda.device_count())]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(visible.split(",")[: len(names)] if visible else names)


_TAKEN: list[tuple[int, IO[str]]] = []
"""The place of this process among those of the sweep, with the open file that holds it."""


def _place(folder: Path) -> int:
    """Return the place of this process: the first number that no other process of the sweep has; it ends with it."""
    if not _TAKEN:
        folder.mkdir(parents=True, exist_ok=True)
        _TAKEN.append(next(_free(folder)))
    return _TAKEN[0][0]


def _free(folder: Path) -> Iterator[tuple[int, IO[str]]]:
    # The file stays open, and so locked, as long as this process lives.
    for number in count():
        file = open(folder / f".place-{number}", "a", encoding="utf-8")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
        else:
            yield number, file
