"""The page of `genlab explore` as one file that needs no server and no Python: the decoder is inside."""

from __future__ import annotations

import base64
import gzip
import hashlib
import math
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from torch import Tensor

from genlab import pages
from genlab.contract import Draws, decoding_conditions
from genlab.explore import page, sprite
from genlab.explore.questions import Answer, Questions
from genlab.explore.runtime import HOW, LICENSE, Runtime
from genlab.explore.shown import shown
from genlab.explore.wire import pack
from genlab.kinds import Image, Points
from genlab.lab.export import onnx
from genlab.lab.interpolate import usual_mode
from genlab.registry import ConfigError, RunError
from genlab.runs.results import refuse_unwritable, write_fresh

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genlab.lab.run import Run

BACKEND = "offline.js"
_SAMPLES, _NUMBERS = 480, 150_000
"""Codes of samples in the page, but no more than this many numbers in all codes of one sort."""
_PICTURES = 600_000
"""Bytes of the test items that are shown as they are; the others are decoded."""
_POLICY = (
    "default-src 'none'; script-src {scripts} blob: 'wasm-unsafe-eval'; style-src {styles}; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Written:
    """The page that was written."""

    path: Path
    size: int
    note: str
    """How the page decodes, and the way to more."""


def write_page(run: Run, path: Path, runtime: Runtime | None = None) -> Written:
    """Write the page of a run; with a runtime it decodes any code, and without one it shows decoded places of a plane.

    An existing file is not overwritten: the page gets a further number then.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder. Name a file for the page, such as {path / 'page.html'}.")
    refuse_unwritable(path.parent)
    if runtime is not None:
        onnx.refuse_missing()
    questions = Questions(run)
    _refuse(questions)
    content = document(questions, runtime).encode()

    def write(file: BinaryIO) -> None:
        file.write(content)

    kept = write_fresh(path, write)
    if runtime is None:
        note = (
            "Without a runtime the page shows the nearest of the places that were decoded beforehand. For a page that "
            f"decodes any code, get the runtime with `{HOW}` and name its file: --runtime onnxruntime-web-*.tgz"
        )
    else:
        note = "The page decodes by itself, without a server."
    if questions.survey.dataset is None:
        note = f"The data of the run cannot be read, so the page has no map. Name its folder with --data.\n{note}"
    return Written(kept.path, len(content), note)


def _refuse(questions: Questions) -> None:
    name = questions.run.name
    if not questions.size:
        raise ConfigError(
            f"{name} cannot decode codes, so a page without a server has nothing to show. Leave out --out."
        )
    if not isinstance(questions.kind, Image | Points):
        raise ConfigError(
            f"A page without a server shows images and points, and {name} decodes {questions.kind.plural}."
        )


def document(questions: Questions, runtime: Runtime | None) -> str:
    """Return the page as HTML."""
    answers = _answers(questions)
    if runtime is None:
        answers = sprite.flattened(questions, answers)
    files = {"answers": pack(answers)}
    scripts = [page.text(name) for name in (page.WIRE, BACKEND, *page.VIEW)]
    comment = ""
    if runtime is not None:
        files |= {"decoder": decoder(questions.run), "loader": runtime.loader, "wasm": runtime.wasm}
        scripts.insert(0, runtime.script)
        comment = f"<!-- {escape(LICENSE)} -->\n"
    styles = list(page.STYLES.values())
    # A policy in the page itself: whatever a name in the data holds, nothing else runs, and nothing is requested.
    policy = _POLICY.format(scripts=" ".join(map(_hash, scripts)), styles=" ".join(map(_hash, styles)))
    head = [f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">']
    head.append(f'<link rel="icon" href="{pages.data_uri(page.text(page.ICON).encode(), "image/svg+xml")}">')
    head += [f"<style>{_inside(style, 'style')}</style>" for style in styles]
    tail = [f'<script type="text/plain" id="{name}">{_packed(content)}</script>' for name, content in files.items()]
    tail += [f"<script>{_inside(script, 'script')}</script>" for script in scripts]
    return page.document("\n".join(head), comment + "\n".join(tail))


def decoder(run: Run) -> bytes:
    """Return the decoder of a run as an ONNX file, which agrees with the model."""
    from genlab.lab.export.export import export
    from genlab.lab.results import Results

    with tempfile.TemporaryDirectory() as folder:
        found = export(run, "onnx", Results(Path(folder)), only=["decode"])
        if "decode" not in found.files:
            raise RunError(f"The decoder cannot be exported. {found.left_out.get('decode', '')}")
        return found.files["decode"].read_bytes()


def _answers(questions: Questions) -> Answer:
    """Return the answers to all questions that need no model."""
    run, survey, facts = questions.run, questions.survey, questions.facts()
    drawn = _samples(questions) if facts["features"]["draw"] else None
    mapped = facts["features"]["map"]
    items = _items(questions, survey.map("pca")) if mapped else None
    features = dict.fromkeys(facts["features"], False) | {
        "decode": True,
        "draw": drawn is not None,
        "sample": drawn is not None,
        "truncation": drawn is not None and facts["features"]["truncation"],
        "map": mapped,
        "path": mapped or drawn is not None,
        "arc": mapped or drawn is not None,
        "encode": items is not None,
        "items": items is not None,
        "directions": facts["features"]["directions"],
        "background": facts["features"]["background"],
    }
    plain = survey.prior == "normal" or run.fitted_prior is None
    return {
        "facts": {
            **facts,
            "about": [*facts["about"], "a page without a server"],
            "features": features,
            "maps": ["pca"] if mapped else [],
            "priors": [],
            "items": len(items["codes"]) if items else 0,
        },
        "units": survey.units(),
        "map": None if items is None else items.pop("map"),
        "items": items,
        "samples": drawn,
        "directions": survey.directions()["directions"] if features["directions"] else [],
        "background": survey.background() if features["background"] else None,
        # The arc through a fitted prior needs its map, which is not in the page.
        "mode": usual_mode(run, "normal" if isinstance(run.model, Draws) else "auto")[0] if plain else "linear",
        "sprite": None,
    }


def _samples(questions: Questions) -> Answer:
    """Return codes of samples with seed 0, the class of each, and the code that truncation moves them to."""
    run, survey = questions.run, questions.survey
    classes = questions.facts()["drawn"]
    count = max(24, min(_SAMPLES, _NUMBERS // questions.size))
    labels = torch.arange(count) % len(classes) if classes else None
    codes, _ = run.draw(count, label=labels, seed=0, prior=survey.prior)
    fitted = run.fitted_prior if survey.prior == "auto" else None
    centre = torch.zeros(questions.size) if fitted is None else fitted.mean.float()
    return {"codes": codes, "labels": labels, "centre": centre}


def _items(questions: Questions, found: Mapping[str, Any]) -> Answer:
    """Return the map, and the codes, classes and captions of its items, with the pictures of the first ones."""
    run, survey, kind = questions.run, questions.survey, questions.kind
    count = max(3, min(len(survey.rows), _NUMBERS // questions.size))
    short = {name: found[name][:count] for name in ("x", "y", "items")}
    labels = None if found["labels"] is None else found["labels"][:count]
    few = max(1, min(count, _PICTURES // (math.prod(kind.shape) * (1 if isinstance(kind, Image) else 4))))
    pictures = torch.cat(list(survey.items(survey.rows[:few])))
    told = torch.full((count,), -1)
    if decoding_conditions(run.model):
        told = torch.cat([run._told(items, None)["label"] for items in survey.items(survey.rows[:count])])
    assert survey.dataset is not None
    names = found["names"]
    captions = [
        f"test item {row:,}" + (f", {names[label]}" if labels is not None else "")
        for row, label in zip(
            survey.rows[:count].tolist(), labels.tolist() if labels is not None else [0] * count, strict=True
        )
    ]
    return {
        "map": {**found, **short, "labels": labels},
        "codes": survey.codes[:count],
        "told": told,
        "captions": captions,
        "pictures": _together(shown(kind, pictures)),
    }


def _together(items: list[Answer]) -> Answer:
    """Return items of one shape as one array."""
    key = "pixels" if items[0]["type"] == "image" else "values"
    arrays = [torch.as_tensor(item[key]) for item in items]
    return {"type": items[0]["type"], "shape": items[0]["shape"], "count": len(items), key: torch.stack(arrays)}


def decoded(questions: Questions, codes: Tensor, label: int = -1) -> Answer:
    """Decode codes of one class, as one array of items."""
    condition = {} if label < 0 else {"label": torch.full((len(codes),), label)}
    return _together(shown(questions.kind, questions.run._decoded(codes, condition, "decoding")))


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _inside(text: str, element: str) -> str:
    """Return a text for inside an element, which nothing in it must end."""
    assert f"</{element}" not in text.lower()
    assert "<!--" not in text
    return text
