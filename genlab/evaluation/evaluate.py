"""Measures trained runs, one after the other, each with the data that it was trained on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genlab import build
from genlab.config import compose as config
from genlab.config.compose import Config
from genlab.config.trust import Trust
from genlab.data.dataset import Images
from genlab.evaluation.bench import SPLIT, Asked, Bench
from genlab.evaluation.judge import judge
from genlab.evaluation.record import FILE, Record, Subject, check, evaluated, keep, with_older
from genlab.extractors.classifier import trained_classifier
from genlab.extractors.embeddings import embedding_of
from genlab.registry import ConfigError, RunError
from genlab.runs import open as open_run
from genlab.runs.open import Opened
from genlab.runs.run import Run
from genlab.training.console import Console
from genlab.training.engine import keep_freed_memory

Tell = Callable[[Record], None]


def evaluate(
    runs: list[Run], asked: Asked, device: torch.device, place: Path | None, console: Console, tell: Tell, trust: Trust
) -> None:
    """Measure every run that can be, keep and tell each record; at the end name those that could not be."""
    check(asked)
    if device.type == "cpu":
        keep_freed_memory()
    benches: dict[str, Bench] = {}
    failed: dict[Run, str] = {}
    for there in runs:
        try:
            record = with_older(there, _evaluated(there, asked, device, place, console, benches, trust))
            tell(record)
            keep(there, record)
            console.say(f"The figures and their protocol are in {there.path / FILE}")
        except ConfigError as error:
            failed[there] = str(error)
            if len(runs) > 1:
                console.say(f"{there.path}: {error}")
    if failed:
        if len(runs) == 1:
            raise ConfigError(*failed.values())
        text = (
            f"{len(failed)} of the {len(runs)} runs could not be measured: {', '.join(str(run.path) for run in failed)}"
        )
        raise ConfigError(text) if len(failed) == len(runs) else RunError(f"{text}. The others are done.")


def _evaluated(
    there: Run,
    asked: Asked,
    device: torch.device,
    place: Path | None,
    console: Console,
    benches: dict[str, Bench],
    trust: Trust,
) -> Record:
    wanted = _found_at(place, config.load(there.path / "config.yaml"))
    newest, chosen = open_run.open_both(there, trust)
    last, best = _subject(newest, device), _subject(chosen, device) if chosen else None
    key = json.dumps(wanted.data, default=str)
    if key not in benches:
        console.say(f"Reading {wanted.data['name']}")
        benches[key] = _bench(build.build_images(wanted), asked, device, console)
    _check_data(there, benches[key].images)
    console.say(f"Measuring {there.path}, {_said(last, best)}")
    record = evaluated(benches[key], there, last, best)
    record["data"] = {"name": wanted.data["name"], **record["data"]}
    return record


def _subject(opened: Opened, device: torch.device) -> Subject:
    return Subject(opened.model.to(device), opened.step, opened.digest, opened.weights)


def _said(last: Subject, best: Subject | None) -> str:
    if best is None:
        return f"the last checkpoint, step {last.step:,}; no best one was chosen"
    if best.step == last.step:
        return f"the last checkpoint, step {last.step:,}, which is also the best"
    return f"the last checkpoint, step {last.step:,}, and the best, step {best.step:,}"


def _bench(images: Images, asked: Asked, device: torch.device, console: Console) -> Bench:
    if not len(images.splits[SPLIT]):
        raise ConfigError("The data has no test images to measure on.")
    facts: dict[str, Any] = {"device": device, "console": console}
    return Bench(
        images,
        device,
        asked,
        embed=lambda: embedding_of(asked.features, images=images, **facts),
        classify=lambda: trained_classifier(images, **facts),
        judge=lambda: judge(None, lambda: images, console.say, **facts),
    )


def _found_at(place: Path | None, wanted: Config) -> Config:
    """The config with the data where it is now."""
    if place is None:
        return wanted
    key = next((key for key in ("path", "root") if key in wanted.data), None)
    if key is None:
        raise ConfigError(f"The data {wanted.data['name']} lies in no folder; leave out --data.")
    return replace(wanted, data={**wanted.data, key: str(place)})


def _check_data(there: Run, images: Images) -> None:
    if images.fingerprint != there.facts["fingerprint"]:
        raise ConfigError(
            f"The data is not what {there.path} was trained on (its fingerprint is {images.fingerprint} and was "
            f"{there.facts['fingerprint']}): what are test images now may have been trained on, so nothing is "
            "measured. --data FOLDER says where the data is, if it has moved."
        )
