"""Evaluates trained runs one after the other, each on the data that it was trained on."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from genlab import build, extractors
from genlab.config.trust import Trust
from genlab.data.dataset import Dataset
from genlab.evaluation.bench import SPLIT, Bench, EvaluationSettings
from genlab.evaluation.main_metrics import main_metrics
from genlab.evaluation.measure import Subject, check, record_of
from genlab.evaluation.record import FILE, Record, keep, with_earlier
from genlab.extractors.classifier import trained_classifier
from genlab.registry import ConfigError, RunError
from genlab.runs import open as open_run
from genlab.runs.open import Opened
from genlab.runs.run import Run
from genlab.training.console import Console
from genlab.training.engine import keep_freed_memory
from genlab.training.journal import show_evaluation

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
            _show_on_board(run, record)
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
        settings = open_run.settings_of(run, self.place)
        newest, chosen = open_run.open_both(run, self.trust)
        check(self.settings)
        last, best = self._subject(newest), self._subject(chosen) if chosen else None
        key = json.dumps([settings.data, settings.keep], default=str)
        if key not in self.benches:
            self.console.say(f"Reading {settings.data['name']}")
            self.benches[key] = self._bench(build.build_data(settings), settings.data["name"])
        open_run.check_data(run, self.benches[key].dataset, self.place)
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


def _show_on_board(run: Run, record: Record) -> None:
    """Show the main metrics in TensorBoard; not while the run is trained, because its file is still written then."""
    if not run.locked:
        last, main = record["last"], main_metrics(record)
        show_evaluation(run.path, last["step"], {name: last["metrics"][name]["mean"] for name in main})


def _described(last: Subject, best: Subject | None) -> str:
    if best is None:
        return f"the last checkpoint, step {last.step:,}; the run has no best one"
    if best.step == last.step:
        return f"the last checkpoint, step {last.step:,}, which is also the best"
    return f"the last checkpoint, step {last.step:,}, and the best, step {best.step:,}"
