"""Begins, continues and resumes runs."""

import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import count, groupby
from pathlib import Path

import torch

from genlab import __version__, distributed
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
from genlab.training.engine import choose_device
from genlab.training.tally import NotFiniteError
from genlab.training.trainer import Outcome, Trainer, check_alike

BAD_FILES = "bad_files.txt"
_LATER = {"trainer.cuda_graphs": "auto", "trainer.deterministic": "auto", "trainer.rollback": False}
"""Settings that runs of earlier versions lack, with their defaults: the same command still repeats such a run."""
_TRAININGS = count(1)
"""Numbers of the trainings in this process."""


def train(
    config: Config, console: Console, trust: Trust | None = None, command: str | None = None
) -> tuple[Run, Outcome | None]:
    """Train in the folder that the config names, or in a new one; the outcome is None if that run is finished.

    A new run records the command that repeats it (default: the command line of this process).
    """
    trust = trust or Trust()
    number = f"folder of training {next(_TRAININGS)}"
    config, console = _joined(config, number), _heard(console)
    folder = Path(config.run).expanduser() if config.run else None
    # The first process looks for all of them: it may write into the folder before another one has looked.
    if distributed.told(distributed.first() and folder is not None and folders.exists(folder)):
        assert folder
        return _repeat(Run(folder), config, console, trust)
    # Found before the folder is created: afterwards `latest` would be this run itself.
    start, config = _start(config, trust), _with_folder(config)
    dataset, trainer = _built(config, console)
    beginning = folders.make(folder, config.name)
    new = beginning.run
    distributed.remember(number, str(new.path.resolve()))
    # If another process was quicker, the lock is refused, or the run exists by now. Then nothing is touched.
    with new.lock():
        if not distributed.told(distributed.first() and folders.exists(new.path)):
            with beginning.whole_or_undone():
                if distributed.first():
                    _keep(new, config, dataset, trainer.model, start, command or command_line(sys.argv[1:]))
                distributed.wait()
                return new, _fit(new, config, trainer, console, trust)
    return _repeat(new, config, console, trust)


def _joined(config: Config, number: str = "") -> Config:
    """Meet the other processes of this run, if there are any.

    If torchrun starts the processes again because one of them has ended, the run is in the folder of the first start,
    which is remembered under the number of the training.
    """
    _check_devices(config)
    distributed.join(choose_device(config.device))
    folder = distributed.remembered(number)
    return replace(config, run=folder) if folder else config


def _check_devices(config: Config) -> None:
    """Raise a ConfigError if a run asks for several processes, and this is a single one."""
    if config.devices > 1 and not distributed.launched():
        raise ConfigError(
            f"devices={config.devices} needs {config.devices} processes. `genlab train` starts them for one run; "
            "a sweep or a program trains each run in one process, so set devices=1, or use torchrun."
        )


def _heard(console: Console) -> Console:
    """Return the console, or a silent one in all processes but the first."""
    return console if distributed.first() else Console()


def _built(config: Config, console: Console) -> tuple[Dataset, Trainer]:
    """Build data and trainer, and check that all processes have the same data and an equal part of each batch."""
    with distributed.in_turn():
        dataset = build_data(config)
        trainer = build_trainer(config, dataset, console)
        trainer.check_parts(distributed.processes())
    check_alike("data", dataset.fingerprint)
    return dataset, trainer


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
            _check_devices(config)
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
    config = changed(run, overrides) if overrides else known
    _joined(config)
    return _continue(run, config, _heard(console), trust or Trust(), same=_same(known, config))


def changed(run: Run, overrides: list[str]) -> Config:
    """Return the config of a run with another length, or on other devices; refuse everything else."""
    known = compose.load(run.path / "config.yaml")
    return schema.changed(
        known, overrides, f" To train a new run from the weights of this one: {_anew(run, overrides)}"
    )


def _anew(run: Run, overrides: list[str]) -> str:
    """Return the command that trains a new run with other settings, from the weights of this run."""
    config = compose.load(run.path / "config.yaml")
    words = shlex.split(str(run.facts.get("command", "")))
    if words[:2] != ["genlab", "train"] or {"-m", "--multirun"} & set(words):
        # The command of a sweep stands for many runs.
        words = ["genlab", "train", *_arguments(config)]
    replaced = {"run", "start", *(override.partition("=")[0] for override in overrides)}
    kept = [word for word in words if word.partition("=")[0] not in replaced]
    return shlex.join([*kept, f"start={run.path}", *overrides])


def _arguments(config: Config) -> list[str]:
    """Return the recipes of a run, and its settings that differ from them, as arguments of `genlab train`."""
    model, own = config.plain["model"], schema.flatten(config.plain)
    words = [f"model={model['name']}", f"data={config.data['name']}"]
    words += [f"model/{part}={own[f'model.{part}.name']}" for part in schema.PARTS if f"model.{part}.name" in own]
    try:
        recipes = compose.compose(words).plain
    except ConfigError:  # a recipe in a folder of the user
        return words
    left_out = (*schema.WHERE, "device", "start", "plugins")
    keys = [key for key in schema.differences(config.plain, recipes) if key in own and key not in left_out]
    return words + [f"{key}={'null' if own[key] is None else shown(own[key])}" for key in keys]


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
    if keys := _differing(known, config):
        kept, asked = schema.flatten(known.plain), schema.flatten(config.plain)
        values = ", ".join(f"{key} ({shown(kept.get(key))} there, {shown(asked.get(key))} here)" for key in keys)
        raise ConfigError(
            f"{run.path} holds a run with another config; these keys differ: {values}. "
            f"Continue that run with `genlab resume {shlex.quote(str(run.path))}`, or choose another folder."
        )
    return known


def _differing(known: Config, config: Config) -> list[str]:
    """Return the settings in which two configs differ, apart from those that change no result."""
    there, here = schema.flatten(known.plain), schema.flatten(config.plain)
    later = {key for key, value in _LATER.items() if key not in there and here.get(key) == value}
    return [key for key in schema.differences(known.plain, config.plain) if key not in {*schema.WHERE, *later}]


def _same(known: Config, config: Config) -> bool:
    """Return True if two configs describe the same training on the same device."""
    return not _differing(known, config)


def _continue(run: Run, config: Config, console: Console, trust: Trust, *, same: bool) -> tuple[Run, Outcome | None]:
    with run.lock():
        run.tidy()
        facts = run.facts
        if distributed.told(same and facts["state"] == "finished"):
            console.say(f"{run.path} is finished: step {facts['step']}. There is nothing to do.")
            return run, None
        plugins.load_from_run(run.path, config.plugins, TABLES, trust)
        dataset, trainer = _built(config, console)
        if dataset.fingerprint != facts["fingerprint"]:
            raise ConfigError(
                f"The data of {run.path} has changed since the run began: its items, labels or splits. "
                "Restore the data, or train in another folder."
            )
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
        raise ConfigError(f"The run's folder cannot be written: {error.strerror}: {error.filename}") from error


def _fit(run: Run, config: Config, trainer: Trainer, console: Console, trust: Trust) -> Outcome:
    console.log = run.path / "log.txt"
    for line in description(run, config, trainer):
        console.say(line)
    if (run.path / BAD_FILES).exists():
        console.say(f"Some files of the data cannot be used. They are listed in {run.path / BAD_FILES}.")
    start = run.facts.get("start")
    # Decided by the first process, which writes checkpoints while another one may still be here.
    if distributed.told(bool(start) and not _has_checkpoints(run)):
        assert start
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
        _say_way_on(run, error, console)
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
        processes=distributed.count(),
        **trainer.engine.describe(),
    )
    return outcome


def _say_way_on(run: Run, error: RunError, console: Console) -> None:
    """Name the command that returns to a good checkpoint, if a loss was not finite."""
    if isinstance(error, NotFiniteError):
        console.say(
            "To go on from a good checkpoint with half the learning rate: "
            f"genlab resume {shlex.quote(str(run.path))} trainer.rollback=true"
        )


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
        if returns := trainer.position.returns:
            run.record(returns=returns)

    return record


def _has_checkpoints(run: Run) -> bool:
    return any(run.path.glob("checkpoints/*.safetensors"))
