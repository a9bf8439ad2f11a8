"""Export a trained model in one of three formats."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

from genlab import __version__
from genlab.contract import ABILITIES, conditions
from genlab.data.progress import progress
from genlab.kinds import Image, to_facts
from genlab.lab.export import archive, onnx
from genlab.lab.export.abilities import Abilities, on_cpu
from genlab.lab.export.graphs import SIZES, Graph
from genlab.lab.export.trace import BOUND, TraceError, traced
from genlab.lab.results import Results, new_folder
from genlab.registry import ConfigError, RunError, unknown

if TYPE_CHECKING:
    from genlab.lab.run import PriorName, Run

Format = Literal["onnx", "torch", "hub"]
FILE = "export.json"
FORMAT = 1
"""The format of export.json; it changes if the meaning of its fields changes."""
_WRITERS: dict[str, ModuleType] = {"onnx": onnx, "torch": archive}


@dataclass(frozen=True)
class Exported:
    """The files of an export, how far they are from the model, and the abilities that have no file."""

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    """The file of each ability; with the format hub, the folder by the name `hub`."""
    differences: dict[str, float] = field(default_factory=dict)
    """The largest difference between a file and the model, by ability."""
    left_out: dict[str, str] = field(default_factory=dict)
    """The reason for each ability without a file."""


def export(
    run: Run,
    form: Format = "onnx",
    results: Results | None = None,
    *,
    only: Sequence[str] = (),
    prior: PriorName = "auto",
) -> Exported:
    """Export the model of a run; see `Run.export`."""
    if form not in get_args(Format):
        raise unknown("format", form, get_args(Format))
    _check_only(run, form, only)
    if form == "hub":
        from genlab.lab.export.hub import write_hub

        results = results or Results(new_folder(run.path, "export"))
        return Exported(results.folder, {"hub": write_hub(run, results)})
    if form == "onnx":
        onnx.refuse_missing()
    return _write_graphs(run, form, results or Results(new_folder(run.path, "export")), tuple(only), prior)


def _check_only(run: Run, form: str, only: Sequence[str]) -> None:
    for name in only:
        if name not in ABILITIES:
            raise unknown("ability", name, ABILITIES)
        if name not in run.abilities and name != "sample":
            raise run._cannot(name)
    if only and form == "hub":
        raise ConfigError("A folder for the hub holds the whole model. Leave out --only, or choose another format.")


def _write_graphs(run: Run, form: str, results: Results, only: tuple[str, ...], prior: PriorName) -> Exported:
    abilities = Abilities(on_cpu(run.model), run.kinds["x"], run._prior(prior))
    found = Exported(results.folder, left_out=abilities.left_out)
    total = len(only or abilities.names)
    files, bad = dict[str, Any](), list[str]()
    with progress(total, "exporting", "exported", "abilities") as advance:
        for graph in abilities.graphs(only):
            results.say(f"Exporting {graph.ability} ...")
            try:
                files[graph.ability] = _write(graph, form, results, found)
            except TraceError as error:
                found.left_out[graph.ability] = f"torch cannot export it ({error})."
            except _WrongError as error:
                bad.append(str(error))
            advance()
    for name, reason in found.left_out.items():
        results.say(f"{name} is left out. {reason}")
    if files:
        results.text(FILE, json.dumps(_facts(run, form, files, found.left_out), indent=2, ensure_ascii=False) + "\n")
    if bad:
        raise RunError("\n".join(bad))
    if not files:
        raise ConfigError(f"{run.path} has no ability that can be exported as {form}.")
    return found


class _WrongError(Exception):
    """A file that computes something else than the model."""


def _write(graph: Graph, form: str, results: Results, found: Exported) -> dict[str, Any]:
    """Export one graph; keep the file if it agrees with the model, and return its facts."""
    writer, began = _WRITERS[form], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{graph.ability}{writer.SUFFIX}"
        facts = writer.write(traced(graph), graph, path)
        distance = writer.check(path, graph)
        # Written so that a difference that is not a number is refused, too.
        if not distance <= BOUND:
            raise _WrongError(
                f"{path.name} was refused: its largest difference from the model is {distance:.1e}, and at most "
                f"{BOUND:.0e} is allowed. Please report this with the config of the run."
            )
        with path.open("rb") as source:
            kept = results.file(path.name, lambda file: shutil.copyfileobj(source, file))
        size = path.stat().st_size
    found.files[graph.ability], found.differences[graph.ability] = kept, distance
    ports = [", ".join(map(str, ports)) for ports in (graph.inputs, graph.outputs)]
    results.say(
        f"  {kept.name}: {' -> '.join(ports)}; {_bytes(size)}; largest difference {distance:.1e}; "
        f"{time.perf_counter() - began:.1f} s"
    )
    return {
        "file": kept.name,
        "inputs": [port.facts() for port in graph.inputs],
        "outputs": [port.facts() for port in graph.outputs],
        **({"note": graph.note} if graph.note else {}),
        "largest_difference": distance,
        **facts,
    }


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"


def _facts(run: Run, form: str, files: dict[str, Any], left_out: dict[str, str]) -> dict[str, Any]:
    """Return the content of export.json."""
    import torch

    kind = run.kinds["x"]
    items: dict[str, Any] = to_facts(kind)
    if isinstance(kind, Image):
        colours = {1: "grey", 3: "RGB"}.get(kind.channels, f"{kind.channels} channels")
        items |= {"layout": "N x C x H x W", "range": [0, 1], "colours": colours}
    sides = {side for entry in files.values() for port in entry["inputs"] for side in port["shape"]}
    checked = [{side: length for side, length in sizes.items() if side in sides} for sizes in SIZES]
    return {
        "format": FORMAT,
        "exported_as": form,
        "name": run.name,
        "checkpoint": run.checkpoint_digest,
        "step": run.step,
        "weights": run._opened.weights,
        "items": items,
        "classes": {name: list(classes.names) for name, classes in conditions(run.model).items()},
        "files": files,
        "left_out": left_out,
        "checked_at": checked,
        "largest_difference_allowed": BOUND,
        "versions": {"genlab": __version__, "torch": torch.__version__, **_WRITERS[form].versions()},
    }
