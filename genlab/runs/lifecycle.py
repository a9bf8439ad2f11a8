"""Begins, continues and resumes runs."""

import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import torch

from genlab import __version__
from genlab.build import TABLES, build_data, build_trainer, load_plugins
from genlab.config import compose, plugins, schema
from genlab.config.schema import Config, shown
from genlab.config.trust import Trust
from genlab.contract import Model, abilities_of, conditions
from genlab.data.dataset import MODELLED, Dataset
from genlab.kinds import to_facts
from genlab.registry import ConfigError, RunError
from genlab.runs import run as folders
from genlab.runs.description import description, hyperparameters
from genlab.runs.open import open_model
from genlab.runs.run import FORMAT, Run
from genlab.runs.warm_start import begin_with
from genlab.training import checkpoint
from genlab.training.console import Console
from genlab.training.trainer import Outcome, Trainer

BAD_FILES = "bad_files.txt"


def train(
    config: Config, console: Console, trust: Trust | None = None, command: str | None = None
) -> tuple[Run, Outcome | None]:
    """Train in the folder that the config names, or in a new one; the outcome is None if that run is finished.

    A new run records the command that repeats it (default: the command line of this process).
    """
    trust = trust or Trust()
    folder = Path(config.run).expanduser() if config.run else None
    if folder and folders.exists(folder):
        return _repeat(Run(folder), config, console, trust)
    # Found before the folder is created: afterwards `latest` would be this run itself.
    start, config = _start(config, trust), _with_folder(config)
    dataset = build_data(config)
    trainer = build_trainer(config, dataset, console)
    beginning = folders.make(folder, config.name)
    new = beginning.run
    # If another process was quicker, the lock is refused, or the run exists by now. Then nothing is touched.
    with new.lock():
        if not folders.exists(new.path):
            with beginning.whole_or_undone():
                _keep(new, config, dataset, trainer.model, start, command or command_line(sys.argv[1:]))
                return new, _fit(new, config, trainer, console, trust)
    return _repeat(new, config, console, trust)


def check(configs: Iterable[Config], console: Console, trust: Trust) -> None:
    """Raise the ConfigError with which `train` would refuse one of these configs; create no run."""
    new = list[Config]()
    for config in configs:
        folder = Path(config.run).expanduser() if config.run else None
        if folder and folders.exists(folder):
            _refuse_other(Run(folder), config)
        else:
            new.append(config)
    # Configs of the same data follow each other, so that each data set is built once, and only one is in memory.
    for _, group in groupby(sorted(new, key=_data), _data):
        dataset: Dataset | None = None
        for config in group:
            _start(config, trust)
            dataset = build_data(config) if dataset is None else dataset
            build_trainer(config, dataset, console)


def _data(config: Config) -> str:
    return str(config.plain["data"])


def _start(config: Config, trust: Trust) -> Path | None:
    """Load the user's plugins; return the run whose weights are copied, after checking that its plugins are trusted."""
    trust.remember(load_plugins(config.plugins))
    start = folders.find(config.start).path if config.start else None
    if start:
        plugins.trusted(start, compose.load(start / "config.yaml").plugins, trust)
    return start


def _with_folder(config: Config, known: Config | None = None) -> Config:
    """Replace the name of the run whose codes are the data by its folder: later, `latest` means another run.

    `known` is the config of a run that is repeated; its `latest` is what it was when the run began.
    """
    name = config.data.get("run")
    if config.data.get("class") != "codes" or not isinstance(name, str):
        return config
    same = known is not None and name == "latest" and known.data.get("run")
    folder = same or str(folders.find(name).path.resolve())
    data = {**config.plain["data"], "run": folder}
    return replace(config, data={**config.data, "run": folder}, plain={**config.plain, "data": data})


def resume(run: Run, overrides: list[str], console: Console, trust: Trust | None = None) -> tuple[Run, Outcome | None]:
    """Continue a run with its own config; only the number of epochs or steps and the device can change."""
    run.check_format()
    known = compose.load(run.path / "config.yaml")
    config = schema.changed(known, overrides) if overrides else known
    return _continue(run, config, console, trust or Trust(), same=config.plain == known.plain)


def _repeat(run: Run, config: Config, console: Console, trust: Trust) -> tuple[Run, Outcome | None]:
    """Continue the run that is in the folder already, if its config is this one."""
    known = _refuse_other(run, config)
    for file in config.plugins:
        own = Path(file).expanduser()
        source = own.read_bytes()
        if plugins.copy_of(run.path, file).read_bytes() != source:
            raise ConfigError(
                f"{run.path} was started with another version of {file}, which it keeps in plugins/. "
                "Choose another folder for the new version."
            )
        trust.remember({own.resolve(): source})
    return _continue(run, known, console, trust, same=True)


def _refuse_other(run: Run, config: Config) -> Config:
    """Return the config of a run; raise a ConfigError if it is not this one."""
    run.check_format()
    known = compose.load(run.path / "config.yaml")
    config = _with_folder(config, known)
    if keys := [key for key in schema.differences(known.plain, config.plain) if key != "run"]:
        kept, asked = schema.flatten(known.plain), schema.flatten(config.plain)
        values = ", ".join(f"{key} ({shown(kept.get(key))} there, {shown(asked.get(key))} here)" for key in keys)
        raise ConfigError(
            f"{run.path} holds a run with another config; these keys differ: {values}. "
            f"Continue that run with `genlab resume {shlex.quote(str(run.path))}`, or choose another folder."
        )
    return known


def _continue(run: Run, config: Config, console: Console, trust: Trust, *, same: bool) -> tuple[Run, Outcome | None]:
    with run.lock():
        run.tidy()
        facts = run.facts
        if same and facts["state"] == "finished":
            console.say(f"{run.path} is finished: step {facts['step']}. There is nothing to do.")
            return run, None
        plugins.load_from_run(run.path, config.plugins, TABLES, trust)
        dataset = build_data(config)
        if dataset.fingerprint != facts["fingerprint"]:
            raise ConfigError(
                f"The data of {run.path} has changed since the run began: its items, labels or splits. "
                "Restore the data, or train in another folder."
            )
        trainer = build_trainer(config, dataset, console)
        # Everything that can be refused is refused here, before a file is written.
        trainer.take_up(run.path)
        if not same:
            run.keep("config.yaml", compose.as_yaml(config.plain))
        return run, _fit(run, config, trainer, console, trust)


def command_line(arguments: Iterable[str]) -> str:
    """Return a command of genlab as a shell reads it."""
    return shlex.join(["genlab", *arguments])


def _keep(run: Run, config: Config, dataset: Dataset, model: Model, start: Path | None, command: str) -> None:
    """Write into the folder what later commands need."""
    try:
        run.keep("config.yaml", compose.as_yaml(config.plain))
        if dataset.bad_files:
            run.keep(BAD_FILES, "\n".join([*dataset.bad_files, ""]))
        for file in config.plugins:
            copy = plugins.copy_of(run.path, file)
            copy.parent.mkdir(exist_ok=True)
            checkpoint.write_atomically(copy, Path(file).expanduser().read_bytes())
        run.record(
            format=FORMAT,
            name=config.name,
            state="running",
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            command=command,
            columns={name: to_facts(kind) for name, kind in dataset.kinds.items() if name in MODELLED},
            fingerprint=dataset.fingerprint,
            modelled=dataset.modelled,
            start=str(start) if start else None,
            weights=sum(weight.numel() for weight in model.parameters()),
            told=list(conditions(model)),
            abilities=abilities_of(model),
            versions={"genlab": __version__, "torch": torch.__version__, "python": platform.python_version()},
        )
        folders.point_latest(run)
    except OSError as error:
        raise ConfigError(f"The run's folder cannot be written: {error.strerror}: {error.filename}") from None


def _fit(run: Run, config: Config, trainer: Trainer, console: Console, trust: Trust) -> Outcome:
    console.log = run.path / "log.txt"
    for line in description(run, config, trainer):
        console.say(line)
    if (run.path / BAD_FILES).exists():
        console.say(f"Some files of the data cannot be used. They are listed in {run.path / BAD_FILES}.")
    start = run.facts.get("start")
    if start and not _has_checkpoints(run):
        other = Run(Path(start))
        model, settings = open_model(other, trust), compose.load(other.path / "config.yaml")
        console.say(begin_with(trainer, config, start, model, settings))
    run.record(state="running")
    keep_totals = _totals(run, config, trainer)
    texts = {"config": "```yaml\n" + compose.as_yaml(config.plain) + "```"}
    try:
        outcome = trainer.fit(run.path, console, texts, hyperparameters(config), saved=keep_totals)
    except RunError as error:
        run.record(state="failed", reason=str(error))
        raise
    except OSError as error:
        reason = f"{run.path} cannot be written ({error.strerror})"
        with suppress(OSError):
            run.record(state="failed", reason=reason)
        if not _has_checkpoints(run):
            raise ConfigError(f"{reason}.") from error
        command = f"genlab resume {shlex.quote(str(run.path))}"
        raise ConfigError(f"{reason}. The checkpoints so far are intact. Continue with: {command}") from error
    if (quick := trainer.validation.quick) and quick.left_out:
        console.say(quick.summary())
    keep_totals()
    run.record(
        state=outcome.state,
        step=outcome.step,
        validation=outcome.validation,
        test=outcome.test,
        best=outcome.best,
        warnings=outcome.warnings,
        **trainer.engine.describe(),
    )
    return outcome


def _totals(run: Run, config: Config, trainer: Trainer) -> Callable[[], None]:
    """Return a function that records time, items and items per second over all calls that have trained this run.

    It is called after every checkpoint, so that a call which is killed counts up to its last checkpoint. The totals
    cannot stand in the checkpoint: its bytes are the same whether a run was interrupted or not.
    """
    before, began = run.facts.get("seconds", 0), time.perf_counter()

    def record() -> None:
        seconds = before + time.perf_counter() - began
        items = trainer.position.batches * config.trainer.batch_size
        run.record(seconds=round(seconds, 3), items=items, items_per_second=round(items / seconds))

    return record


def _has_checkpoints(run: Run) -> bool:
    return any(run.path.glob("checkpoints/*.safetensors"))
