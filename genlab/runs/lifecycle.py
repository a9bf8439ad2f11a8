"""Begins, continues and resumes runs."""

import platform
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch

from genlab import __version__
from genlab.build import TABLES, build_images, build_trainer, load_plugins
from genlab.config import compose as config
from genlab.config import plugins
from genlab.config.compose import Config
from genlab.config.trust import Trust
from genlab.contract import ABILITIES, Model
from genlab.data.dataset import Images
from genlab.registry import ConfigError, RunError
from genlab.runs import run
from genlab.runs.description import compared, described
from genlab.runs.open import open_model
from genlab.runs.run import Run
from genlab.runs.warm_start import begin_with
from genlab.training import checkpoint
from genlab.training.console import Console
from genlab.training.trainer import Outcome, Trainer

BAD_FILES = "bad_files.txt"


def train(wanted: Config, console: Console, trust: Trust | None = None) -> tuple[Run, Outcome | None]:
    """Train in the folder that the config names, or in a new one; where that is done already, do nothing."""
    trust = trust or Trust()
    folder = Path(wanted.run).expanduser() if wanted.run else None
    if folder and run.exists(folder):
        return _repeat(Run(folder), wanted, console, trust)
    trust.remember(load_plugins(wanted.plugins))
    # Found now: once the folder is made, it is itself the latest.
    start = run.find(wanted.start).path if wanted.start else None
    if start:
        plugins.trusted(start, config.load(start / "config.yaml").plugins, trust)
    images = build_images(wanted)
    trainer = build_trainer(wanted, images, console)
    beginning = run.make(folder, wanted.name)
    new = beginning.run
    # From here on the folder is ours; where another process was quicker, the lock says so and nothing is touched.
    with new.lock():
        if not run.exists(new.path):
            with beginning.whole_or_undone():
                _keep(new, wanted, images, trainer.model, start)
                return new, _fit(new, wanted, trainer, console, trust)
    return _repeat(new, wanted, console, trust)


def resume(
    there: Run, overrides: list[str], console: Console, trust: Trust | None = None
) -> tuple[Run, Outcome | None]:
    """Continue a run with the config that it keeps; only its budget and device may be others."""
    known = config.load(there.path / "config.yaml")
    wanted = config.changed(known, overrides) if overrides else known
    return _continue(there, wanted, console, trust or Trust(), same=wanted.plain == known.plain)


def _repeat(there: Run, wanted: Config, console: Console, trust: Trust) -> tuple[Run, Outcome | None]:
    """Continue the run that is in the folder, if it is the one that was asked for."""
    known = config.load(there.path / "config.yaml")
    if keys := [key for key in config.differences(known.plain, wanted.plain) if key != "run"]:
        kept, asked = config.flatten(known.plain), config.flatten(wanted.plain)
        values = ", ".join(f"{key} ({kept.get(key)} there, {asked.get(key)} here)" for key in keys)
        raise ConfigError(
            f"{there.path} was begun with another config; these keys differ: {values}. "
            f"`genlab resume` goes on with it as it was begun; another folder takes another config."
        )
    for file in wanted.plugins:
        own = Path(file).expanduser()
        source = own.read_bytes()
        if plugins.copy_of(there.path, file).read_bytes() != source:
            raise ConfigError(f"{there.path} was begun with another {file}; it keeps the one that it was begun with.")
        trust.remember({own.resolve(): source})
    return _continue(there, known, console, trust, same=True)


def _continue(there: Run, wanted: Config, console: Console, trust: Trust, *, same: bool) -> tuple[Run, Outcome | None]:
    with there.lock():
        there.tidy()
        facts = there.facts
        if same and facts["state"] == "finished":
            console.say(f"{there.path} is finished: step {facts['step']}. There is nothing to do.")
            return there, None
        plugins.load_from_run(there.path, wanted.plugins, TABLES, trust)
        images = build_images(wanted)
        if images.fingerprint != facts["fingerprint"]:
            raise ConfigError(
                f"The data is not what {there.path} was begun with; "
                "its images, labels or splits have changed. Put back what it had, or train in another folder."
            )
        trainer = build_trainer(wanted, images, console)
        # What cannot go on so is refused before anything is written.
        trainer.take_up(there.path)
        if not same:
            there.keep("config.yaml", config.as_yaml(wanted.plain))
        return there, _fit(there, wanted, trainer, console, trust)


def _keep(new: Run, wanted: Config, images: Images, model: Model, start: Path | None) -> None:
    """Put into the folder what later commands need."""
    try:
        new.keep("config.yaml", config.as_yaml(wanted.plain))
        if images.bad_files:
            new.keep(BAD_FILES, "\n".join([*images.bad_files, ""]))
        for file in wanted.plugins:
            copy = plugins.copy_of(new.path, file)
            copy.parent.mkdir(exist_ok=True)
            checkpoint.write_atomically(copy, Path(file).expanduser().read_bytes())
        new.record(
            name=wanted.name,
            state="running",
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            command=shlex.join(["genlab", *sys.argv[1:]]),
            shape=list(images.shape),
            classes=list(images.names),
            fingerprint=images.fingerprint,
            start=str(start) if start else None,
            weights=sum(weight.numel() for weight in model.parameters()),
            abilities=[name for name, ability in ABILITIES.items() if isinstance(model, ability)],
            versions={"genlab": __version__, "torch": torch.__version__, "python": platform.python_version()},
        )
        run.point_latest(new)
    except OSError as error:
        raise ConfigError(f"The run's folder cannot be written: {error.strerror}: {error.filename}") from None


def _fit(there: Run, wanted: Config, trainer: Trainer, console: Console, trust: Trust) -> Outcome:
    console.log = there.path / "log.txt"
    for line in described(there, wanted, trainer):
        console.say(line)
    if (there.path / BAD_FILES).exists():
        console.say(f"Some files of the data cannot be used; {there.path / BAD_FILES} names them.")
    start = there.facts.get("start")
    if start and not _has_checkpoints(there):
        other = Run(Path(start))
        model, settings = open_model(other, trust), config.load(other.path / "config.yaml")
        console.say(begin_with(trainer, wanted, start, model, settings))
    there.record(state="running")
    texts = {"config": "```yaml\n" + config.as_yaml(wanted.plain) + "```"}
    try:
        outcome = trainer.fit(there.path, console, texts, compared(wanted))
    except RunError as error:
        there.record(state="failed", reason=str(error))
        raise
    except OSError as error:
        reason = f"{there.path} cannot be written ({error.strerror})"
        with suppress(OSError):
            there.record(state="failed", reason=reason)
        if not _has_checkpoints(there):
            raise ConfigError(f"{reason}.") from error
        then = f"Then go on with: genlab resume {shlex.quote(str(there.path))}"
        raise ConfigError(f"{reason}; the checkpoints that are there stay good. {then}") from error
    if (looks := trainer.examiner.quick) and looks.left_out:
        console.say(looks.said())
    there.record(
        state=outcome.state,
        step=outcome.step,
        validation=outcome.validation,
        test=outcome.test,
        best=outcome.best,
        warnings=outcome.warnings,
        seconds=round(outcome.seconds, 1),
        images_per_second=round(outcome.images_per_second),
        **trainer.engine.describe(),
    )
    return outcome


def _has_checkpoints(there: Run) -> bool:
    return any(there.path.glob("checkpoints/*.safetensors"))
