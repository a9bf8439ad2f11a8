"""Turns a config into data, a model, a trainer and a run: the one file that knows every registry."""

import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import torch

from genlab import __version__, config, plugins, registry, run
from genlab.config import Config
from genlab.data import SOURCES
from genlab.data.images import Images
from genlab.description import compared, described
from genlab.evaluation.embeddings import embedding_of
from genlab.evaluation.features import FEATURES
from genlab.evaluation.quick import quick
from genlab.game import ABILITIES, Model, Shape
from genlab.models import MODELS
from genlab.networks import NETWORKS
from genlab.networks.features import Features
from genlab.randomness import reseed
from genlab.registry import ConfigError, RunError
from genlab.run import Run
from genlab.start import begin_with
from genlab.training import checkpoint
from genlab.training.console import Console
from genlab.training.engine import choose_device
from genlab.training.position import Position, position_of
from genlab.training.trainer import Outcome, Trainer
from genlab.trust import Trust

T = TypeVar("T")
TABLES: plugins.Tables = {"MODELS": MODELS, "NETWORKS": NETWORKS, "SOURCES": SOURCES}

BAD_FILES = "bad_files.txt"


def build_images(wanted: Config) -> Images:
    """The data set."""
    return registry.build("data", wanted.data["name"], SOURCES, _without(wanted.data, "name"), config.LOADING)


def build_model(wanted: Config, shape: Shape, classes: int, features: Features | None = None) -> Model:
    """The model for images of this shape, its first weights a function of the seed; to be taught, it needs features."""
    facts: dict[str, Any] = {"shape": shape, "classes": classes, "features": features}
    if "network" in wanted.model:
        facts["network"] = _build_part("network", wanted, NETWORKS)
    reseed(torch.device("cpu"), wanted.seed, "weights")
    settings = _without(wanted.model, "name", *config.PARTS)
    return registry.build("model", wanted.model["name"], MODELS, settings, **facts)


def build_features(wanted: Config, images: Images, device: torch.device, console: Console) -> Features | None:
    """What the model's recipe says that images are compared by, where it says so."""
    if "features" not in wanted.model:
        return None
    return _build_part("features", wanted, FEATURES, images=images, device=device, console=console)


def _build_part(part: str, wanted: Config, table: Mapping[str, Callable[..., T]], **facts: Any) -> T:
    recipe = wanted.model[part]
    if not isinstance(recipe, dict):
        known = ", ".join(config.choices(f"model/{part}"))
        raise ConfigError(f"model.{part} holds settings; choose with model/{part}=NAME. Known: {known}")
    return registry.build(part, str(recipe.get("name")), table, _without(recipe, "name"), **facts)


def build_trainer(wanted: Config, images: Images, console: Console | None = None) -> Trainer:
    """The loop for the model and these images."""
    device = choose_device(wanted.device)
    features = build_features(wanted, images, device, console or Console())
    model = build_model(wanted, images.shape, images.classes, features)
    facts: dict[str, Any] = {"images": images, "device": device}
    embed = partial(embedding_of, None, console=console or Console(), **facts)
    return Trainer(
        model,
        images,
        wanted.trainer,
        wanted.players,
        seed=wanted.seed,
        device=device,
        best=wanted.best,
        loading=wanted.loading,
        quick=quick(model, embed=embed, **facts) if wanted.trainer.evaluate else None,
    )


class Opened(NamedTuple):
    """A model as one checkpoint of a run holds it, ready to be used."""

    model: Model
    step: int
    digest: str
    """The first 16 hex digits of the checkpoint's sha256."""
    weights: Literal["average", "live"]
    position: Position


def open_model(there: Run, trust: Trust | None = None) -> Model:
    """The model of a run at its newest checkpoint, through its average where it keeps one."""
    return open_checkpoint(there, trust=trust).model


def open_checkpoint(there: Run, step: int | None = None, trust: Trust | None = None) -> Opened:
    """The model of a run as it was at this step, the newest unless told; its plugins must be trusted."""
    wanted, facts = config.load(there.path / "config.yaml"), there.facts
    plugins.load_from_run(there.path, wanted.plugins, TABLES, trust or Trust())
    model = build_model(wanted, Shape(*facts["shape"]), len(facts["classes"]))
    folder = there.path / "checkpoints"
    found = checkpoint.newest(folder) if step is None else checkpoint.at(folder, step)
    if not found:
        raise ConfigError(f"{there.path} has no checkpoint{'' if step is None else f' of step {step}'} yet.")
    model.load_state_dict(checkpoint.fitted(found, "model", model.state_dict()))
    if average := found.part("average"):
        averaged = model.averaged()
        averaged.load_state_dict(checkpoint.fitted(found, "average", averaged.state_dict()))
    model.eval().requires_grad_(False)
    weights: Literal["average", "live"] = "average" if average else "live"
    return Opened(model, found.step, found.digest, weights, position_of(found))


def open_both(there: Run, trust: Trust | None = None) -> tuple[Opened, Opened | None]:
    """The newest checkpoint, and the best where the run has chosen one and keeps it; both may be of one step."""
    last = open_checkpoint(there, trust=trust)
    best = last.position.best
    if best is None or best["step"] not in checkpoint.steps(there.path / "checkpoints"):
        return last, None
    return last, open_checkpoint(there, best["step"], trust)


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


def load_plugins(files: list[str]) -> dict[Path, bytes]:
    """Let the entries of the user's own plugins join the tables; return the source of each."""
    return plugins.load(files, TABLES)


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


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}
