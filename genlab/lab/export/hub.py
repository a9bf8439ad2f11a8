"""A folder for the Hugging Face Hub: a small run that `genlab.load` opens, and a model card.

Nothing here contacts the hub; the user uploads the folder.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import torch

from genlab.config import compose
from genlab.contract import Model, Samples
from genlab.lab.export.card import Card, repository, text_of
from genlab.lab.prior import FILE as PRIOR
from genlab.lab.prior import keep as keep_prior
from genlab.lab.results import Results
from genlab.registry import ConfigError, RunError
from genlab.runs import open as open_run
from genlab.runs.run import Run as Folder
from genlab.training import checkpoint
from genlab.training.journal import read

if TYPE_CHECKING:
    from genlab.kinds import Kind, Row
    from genlab.lab.run import Run

_PRIVATE = ("command", "start")
"""Facts of run.json that can name folders of the user."""
_PLACES = ("path", "root", "labels", "run", "start", "weights", "plugins")
"""Settings that can name files and folders of the user; only their last part is published."""
_SHOWN, _ACROSS = 64, 16


def write_hub(run: Run, results: Results) -> Path:
    """Write the folder; say how to upload it."""
    _refuse_missing()
    folder = results.folder
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty. A folder for the hub must be new; choose another --out.")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _fill(part, run)
        _check(part, run)
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    results.written += sorted(folder.iterdir())
    for line in _advice(run, folder):
        results.say(line)
    return folder


def _refuse_missing() -> None:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ConfigError("A package is not installed: huggingface_hub. Run pip install 'genlab[hub]'.")


def _advice(run: Run, folder: Path) -> list[str]:
    lines = ["The folder opens with genlab.load, and its weights are those of the run."]
    if (folder / "plugins").is_dir():
        lines.append("It holds your plugins, which are Python code: others open it with trust=True.")
    return [
        *lines,
        f"The card states no license. The terms of the data ({run.config['data']['name']}) may apply to the model; "
        "add a line such as `license: mit` at the top of README.md if you may choose one.",
        "To upload it (after `hf auth login`):",
        f"  hf upload USER/{repository(run.name)} {shlex.quote(str(folder))}",
    ]


def _fill(folder: Path, run: Run) -> None:
    source = Folder(run.path)
    digest = _write_weights(folder, run)
    (folder / "config.yaml").write_text(compose.as_yaml(published(run.config)), encoding="utf-8")
    facts = {name: value for name, value in source.facts.items() if name not in _PRIVATE}
    facts |= {"step": run.step, "state": "stopped" if facts["state"] == "running" else facts["state"]}
    _write_json(folder / "run.json", facts)
    lines = [json.dumps(line) for line in read(run.path) if line["step"] <= run.step]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if (run.path / "plugins").is_dir():
        (folder / "plugins").mkdir()
        for file in sorted((run.path / "plugins").glob("*.py")):
            shutil.copyfile(file, folder / "plugins" / file.name)
    prior = run.fitted_prior
    if prior is not None:
        keep_prior(folder, digest, prior, _prior_facts(run.path / PRIOR))
    record = _evaluation(run, digest)
    if record is not None:
        _write_json(folder / "evaluation.json", record)
    picture = _samples(folder, run)
    card = Card(run.name, run.config, facts, run.kinds, record, run.step, picture, prior is not None)
    (folder / "README.md").write_text(text_of(card), encoding="utf-8")


def _write_weights(folder: Path, run: Run) -> str:
    """Write the checkpoint without the states of the optimizers; return its digest."""
    found = checkpoint.at(run.path / "checkpoints", run.step)
    assert found is not None
    tensors = {name: value for name, value in found.tensors.items() if name.partition("/")[0] in ("model", "ema")}
    facts = {name: value for name, value in found.facts.items() if name != "format"}
    path = checkpoint.save(folder / "checkpoints", run.step, tensors, facts)
    written = checkpoint.newest(folder / "checkpoints")
    assert written is not None
    assert written.digest in path.name
    return written.digest


def published(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which the user's files and folders are only named, without the folders above them."""

    def name_of(value: Any) -> Any:
        if isinstance(value, list):
            return [name_of(each) for each in value]
        return PurePath(value).name if isinstance(value, str) else value

    return {
        key: published(value) if isinstance(value, Mapping) else name_of(value) if key in _PLACES else value
        for key, value in config.items()
    }


def _prior_facts(path: Path) -> dict[str, Any]:
    """Return how a fitted prior was fitted."""
    _, facts = checkpoint.unpacked(path.read_bytes())
    return {name: value for name, value in facts.items() if name in ("codes", "seed", "metrics")}


def _evaluation(run: Run, digest: str) -> dict[str, Any] | None:
    """Return the evaluation of the exported checkpoint, if it was measured."""
    record = run.evaluation
    if record is None:
        return None
    sections = [record.get(name) for name in ("last", "best")]
    section = next((one for one in sections if one and one["checkpoint"] == run.checkpoint_digest), None)
    if section is None:
        return None
    return {**record, "run": run.name, "last": {**section, "checkpoint": digest}, "best": None}


def _samples(folder: Path, run: Run) -> str | None:
    """Write a picture of samples; return its name, or None if the model cannot sample."""
    if not (isinstance(run.model, Samples) or run.fitted_prior):
        return None
    items = run.sample(_SHOWN, seed=0)
    exhibit = run.kinds["x"].exhibit(_rows(run.kinds["x"], items))
    if exhibit.picture is None:
        return None
    exhibit.picture.save(folder / "samples.png")
    return "samples.png"


def _rows(kind: Kind, items: torch.Tensor) -> list[Row]:
    from genlab.kinds import Image, Row

    return [Row("", part) for part in torch.split(items, _ACROSS)] if isinstance(kind, Image) else [Row("", items)]


def _check(folder: Path, run: Run) -> None:
    """Open the folder as genlab.load does, and compare its weights with those of the run."""
    opened: Model = open_run.open_checkpoint(Folder(folder), trust=run._trust).model
    wanted = run.model.state_dict()
    same = all(torch.equal(value.cpu(), wanted[name].cpu()) for name, value in opened.state_dict().items())
    if not same:
        raise RunError("The folder was refused: it opens with other weights than the run. Please report this.")


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
