"""Evaluates trained runs one after the other, each on the data that it was trained on."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from genlab import build, extractors
from genlab.config import compose as config
from genlab.config.schema import Config
from genlab.config.trust import Trust
from genlab.data.dataset import Dataset
from genlab.evaluation.bench import SPLIT, Bench, EvaluationSettings
from genlab.evaluation.measure import Subject, check, record_of
from genlab.evaluation.record import FILE, Record, keep, with_earlier
from genlab.extractors.classifier import trained_classifier
from genlab.registry import ConfigError, RunError
from genlab.runs import open as open_run
from genlab.runs.open import Opened
from genlab.runs.run import Run
from genlab.training.console import Console
from genlab.training.engine import keep_freed_memory

Tell = Callable[[Record], None]


def evaluate(
    runs: list[Run],
    settings: EvaluationSettings,
    device: torch.device,
    place: Path | None,
    console: Console,
    tell: Tell,
    trust: Trust,
) -> None:
    """Measure all runs; keep each record and pass it to `tell`; at the end name the runs that could not be measured.

    `place` is the folder of the data if it has moved.
    """
    # The features may come from a plugin of a run. Then they are known only after that run was opened.
    if not any((run.path / "plugins").is_dir() for run in runs):
        check(settings)
    if device.type == "cpu":
        keep_freed_memory()
    evaluator = _Evaluator(settings, device, place, console, trust)
    failed: dict[Run, str] = {}
    for run in runs:
        try:
            record = with_earlier(run, evaluator.evaluate(run))
            tell(record)
            keep(run, record)
            console.say(f"The metrics and their protocol are in {run.path / FILE}")
        except ConfigError as error:
            failed[run] = str(error)
            if len(runs) > 1:
                console.say(f"{run.path}: {error}")
    if failed:
        if len(runs) == 1:
            raise ConfigError(*failed.values())
        names = ", ".join(str(run.path) for run in failed)
        text = f"{len(failed)} of the {len(runs)} runs could not be measured: {names}"
        raise ConfigError(text) if len(failed) == len(runs) else RunError(f"{text}. The others are done.")


@dataclass
class _Evaluator:
    """Runs are measured one after the other; those with the same data share a bench."""

    settings: EvaluationSettings
    device: torch.device
    place: Path | None
    console: Console
    trust: Trust
    benches: dict[str, Bench] = field(default_factory=dict)

    def evaluate(self, run: Run) -> Record:
        """Return the record of a run."""
        settings = _moved(self.place, config.load(run.path / "config.yaml"))
        newest, chosen = open_run.open_both(run, self.trust)
        check(self.settings)
        last, best = self._subject(newest), self._subject(chosen) if chosen else None
        key = json.dumps(settings.data, default=str)
        if key not in self.benches:
            self.console.say(f"Reading {settings.data['name']}")
            self.benches[key] = self._bench(build.build_data(settings), settings.data["name"])
        _check_data(run, self.benches[key].dataset)
        self.console.say(f"Measuring {run.path}, {_described(last, best)}")
        record = record_of(self.benches[key], run, last, best)
        record["data"] = {"name": settings.data["name"], **record["data"]}
        return record

    def _subject(self, opened: Opened) -> Subject:
        return Subject(opened.model.to(self.device), opened.step, opened.digest, opened.weights)

    def _bench(self, dataset: Dataset, name: str) -> Bench:
        if not len(dataset.splits[SPLIT]):
            raise ConfigError(f"Data {name!r} has no test {dataset.kind.plural} to measure on.")

        facts: dict[str, Any] = {"dataset": dataset, "device": self.device, "console": self.console}
        return Bench(
            dataset,
            self.device,
            self.settings,
            create_extractor=lambda: extractors.create(self.settings.features, needs="vector", data=name, **facts),
            train_classifier=lambda: trained_classifier(**facts),
            create_perceptual=lambda: extractors.create(None, needs="maps", data=name, **facts),
        )


def _described(last: Subject, best: Subject | None) -> str:
    if best is None:
        return f"the last checkpoint, step {last.step:,}; the run has no best one"
    if best.step == last.step:
        return f"the last checkpoint, step {last.step:,}, which is also the best"
    return f"the last checkpoint, step {last.step:,}, and the best, step {best.step:,}"


def _moved(place: Path | None, settings: Config) -> Config:
    """Return the config with the folder where the data is now."""
    if place is None:
        return settings
    key = next((key for key in ("path", "root") if key in settings.data), None)
    if key is None:
        raise ConfigError(f"Data {settings.data['name']!r} is not read from a folder; leave out --data.")
    return replace(settings, data={**settings.data, key: str(place)})


def _check_data(run: Run, dataset: Dataset) -> None:
    """Raise a ConfigError if the data is not what the run was trained on."""
    known = run.facts["fingerprint"]
    if dataset.fingerprint != known:
        raise ConfigError(
            f"The data is not what {run.path} was trained on: its fingerprint is {dataset.fingerprint}, not {known}. "
            "The present test items may have been trained on. If the data has moved, say where with --data FOLDER."
        )
