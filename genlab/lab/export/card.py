"""The model card of a run: README.md with metadata for the Hugging Face Hub."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genlab import __version__
from genlab.evaluation.main_metrics import main_metrics
from genlab.kinds import Image, Kind
from genlab.training.console import number

_PROTOCOL = ("samples", "real_items", "items", "images", "photographs", "features", "features_digest", "seeds")
"""Facts of a protocol that stand beside each metric."""
_UNTOLD = ("device", "versions", "seconds", "measured", "draws")


@dataclass(frozen=True)
class Card:
    """The facts on a card."""

    name: str
    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    kinds: Mapping[str, Kind]
    record: Mapping[str, Any] | None
    """The evaluation of the exported checkpoint."""
    step: int
    picture: str | None
    """The file with samples."""
    fitted_prior: bool

    @property
    def task(self) -> str:
        """The task as the hub calls it."""
        able, images = self.facts["abilities"], isinstance(self.kinds["x"], Image)
        if images and ("upscale" in able or "translate" in able):
            return "image-to-image"
        if images and ("sample" in able or self.fitted_prior):
            return "unconditional-image-generation"
        return "image-feature-extraction" if images and "encode" in able else "other"


def text_of(card: Card) -> str:
    """Return the text of README.md."""
    from huggingface_hub import ModelCard, ModelCardData

    results = _results(card)
    data = ModelCardData(
        library_name="genlab",
        tags=["genlab", card.config["model"]["name"], "generative"],
        pipeline_tag=None if card.task == "other" else card.task,
        model_name=card.name if results else None,
        eval_results=results or None,
    )
    text = f"---\n{data.to_yaml()}\n---\n\n{_body(card)}"
    return f"{ModelCard(text).content.rstrip()}\n"


def _results(card: Card) -> list[Any]:
    """Return the metrics in the form of the hub, each with its protocol."""
    from huggingface_hub import EvalResult

    if card.record is None:
        return []
    data, found = card.record["data"], list[Any]()
    for name, metric in card.record["last"]["metrics"].items():
        if metric["mean"] is None or not math.isfinite(metric["mean"]):
            continue
        beside = {key: metric[key] for key in ("std", "baseline", "better") if metric.get(key) is not None}
        found.append(
            EvalResult(
                task_type=card.task,
                dataset_type=data["name"],
                dataset_name=data["name"],
                dataset_split=data["split"],
                dataset_revision=data["fingerprint"],
                metric_type=name,
                metric_name=name,
                metric_value=metric["mean"],
                metric_args={**beside, **_protocol(card.record, metric)},
            )
        )
    return found


def _protocol(record: Mapping[str, Any], metric: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a metric was measured: everything but the time and the versions."""
    part = record["parts"].get(metric["part"], {})
    return {key: value for key, value in part.items() if key not in _UNTOLD}


def _body(card: Card) -> str:
    columns = {name: kind.describe() for name, kind in card.kinds.items()}
    able = ", ".join(card.facts["abilities"])
    model, data = plain(card.config["model"]["name"]), plain(card.config["data"]["name"])
    about = [
        f"# {plain(card.name)}",
        f"The model {model}, trained with genlab {__version__} on the data {data}.",
        f"- Items: {plain(columns['x'])}\n- It can: {able}\n- Weights: {card.facts.get('weights', 0):,}\n"
        f"- Step: {card.step:,}",
    ]
    if card.fitted_prior:
        about.append("Samples are drawn from a prior that was fitted to the codes (`prior.safetensors`).")
    if card.picture:
        about.append(f"![Samples with seed 0]({card.picture})")
    license_of = (
        "## License\n\nNo license is stated. The terms of the data that the model was trained on may apply to it."
    )
    return "\n\n".join([*about, _use(card), *_metrics(card), _training(card), license_of])


def _use(card: Card) -> str:
    able, calls = card.facts["abilities"], list[str]()
    if "sample" in able or card.fitted_prior:
        calls.append("items = run.sample(16, seed=0)")
    if "reconstruct" in able:
        calls.append(
            'items = run.reconstruct("photos/")' if isinstance(card.kinds["x"], Image) else "run.reconstruct()"
        )
    if "upscale" in able:
        calls.append('large = run.upscale("photo.jpg")')
    if "translate" in able:
        calls.append("images = run.translate().translated")
    trust = ", trust=True" if card.config.get("plugins") else ""
    code = "\n".join(["import genlab", "", f'run = genlab.load("model"{trust})', *calls])
    plugin = "\n\nThe folder `plugins` holds Python code, which `trust=True` runs. Read it first." if trust else ""
    download = f"hf download USER/{repository(card.name)} --local-dir model"
    return (
        f"## Use\n\n```\n{download}\n```\n\n```python\n{code}\n```{plugin}\n\n"
        "The commands of genlab take the folder, too: `genlab evaluate model`."
    )


def _metrics(card: Card) -> list[str]:
    if card.record is None:
        return ["## Metrics\n\nThe model was not evaluated."]
    record, main = card.record, main_metrics(dict(card.record))
    data, metrics = record["data"], record["last"]["metrics"]
    intro = (
        f"Measured on the {plain(data['split'])} split of {plain(data['name'])} (fingerprint "
        f"{plain(data['fingerprint'])}) by genlab {plain(record['genlab'])}. Values are mean ± std over seeds. The "
        "baseline is the value of real items in place of generated ones."
    )
    rest = [name for name in metrics if name not in main]
    parts = ["## Metrics", intro, _table(record, main)]
    if rest:
        parts.append(f"<details><summary>{len(rest)} more metrics</summary>\n\n{_table(record, rest)}\n\n</details>")
    return parts


def _table(record: Mapping[str, Any], names: list[str]) -> str:
    lines = ["| metric | value | baseline | better | protocol |", "|---|---|---|---|---|"]
    for name in names:
        metric = record["last"]["metrics"][name]
        std = f" ± {number(metric['std'])}" if metric.get("std") is not None else ""
        baseline = "" if metric.get("baseline") is None else number(metric["baseline"])
        told = _protocol(record, metric)
        protocol = "; ".join(f"{key}: {_told(told[key])}" for key in _PROTOCOL if key in told)
        cells = [name, f"{number(metric['mean'])}{std}", baseline, metric.get("better") or "", protocol]
        lines.append(f"| {' | '.join(plain(cell) for cell in cells)} |")
    return "\n".join(lines)


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _training(card: Card) -> str:
    facts = card.facts
    seconds, device = facts.get("seconds"), facts.get("device")
    cost = [f"{seconds:,.0f} s" if isinstance(seconds, int | float) else "", f"on {device}" if device else ""]
    versions = ", ".join(f"{name} {value}" for name, value in facts.get("versions", {}).items())
    took = " ".join(filter(None, cost))
    return (
        f"## Training\n\nAll settings are in `config.yaml`. The training took {plain(took) or 'an unknown time'} "
        f"({plain(versions)})."
    )


def repository(name: str) -> str:
    """Return a name that the hub takes for a repository."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)


def plain(text: object) -> str:
    """Return a text that Markdown and HTML show as it is, in one line."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return "".join(f"\\{character}" if character in "|`*_[]\\" else character for character in line)
