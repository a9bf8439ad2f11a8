"""The questions that the page may ask about a run, and the answers."""

from __future__ import annotations

import io
import wave
from typing import Any, cast, get_args

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from genlab.contract import (
    Batch,
    Decodes,
    Draws,
    Encodes,
    Infers,
    Reconstructs,
    Samples,
    Styles,
    Upscales,
    conditions,
)
from genlab.contract import decoding_conditions as decoding
from genlab.explore import uploads
from genlab.explore.shown import Shown, picture, pixels, shown, together
from genlab.explore.survey import Survey, scored
from genlab.explore.uploads import Upload
from genlab.explore.wire import Question
from genlab.kinds import Classes, Image, Points, Spectrogram, Tokens
from genlab.kinds.resampling import shrunk
from genlab.lab.denoise import trained_noise
from genlab.lab.interpolate import Mode, between, usual_mode
from genlab.lab.run import PriorName, Run
from genlab.lab.upscale import upscaler_of
from genlab.randomness import normal_rows
from genlab.registry import ConfigError

Answer = dict[str, Any]

MOST_SAMPLES, POINTS = 64, 1_000
"""Samples of one question, and points that are drawn at once."""
LARGEST_SEED = 2**31 - 1
LARGEST_SIDE = 192
"""Longer sides of a picture are cut before it is upscaled: on one core a larger one takes too long."""
_TOP = 5
"""Classes that are listed with their probability."""


class Questions:
    """The answers to questions of any page. Each question holds all that its answer depends on."""

    def __init__(self, run: Run) -> None:
        self.run, self.kind, self.survey = run, run.kinds["x"], Survey(run)
        self.upscaler = upscaler_of(run._folder, run.model) if isinstance(run.model, Upscales) else None

    @property
    def size(self) -> int:
        """Numbers in a code; 0 if the model decodes no codes."""
        return int(getattr(self.run.model, "latent_dim", 0)) if isinstance(self.run.model, Decodes) else 0

    def facts(self) -> Answer:
        """Return what the page shows of the run, and which of its features it has."""
        run, model, survey = self.run, self.run.model, self.survey
        fitted = survey.prior == "auto" and run.fitted_prior is not None
        return {
            "name": run.name,
            "about": self._about(fitted),
            "kind": {"type": _type(self.kind), "shape": list(self.kind.shape)},
            "size": self.size,
            "classes": list(_names(decoding(model))),
            "drawn": list(_names(conditions(model))),
            "priors": ["fitted", "normal"] if fitted and isinstance(model, Draws) else [],
            "features": self._features(fitted),
            "maps": survey.methods() if self.size else [],
            "scale": self.upscaler.scale if self.upscaler else 1,
            "noise": trained_noise(run) or 0.0,
            "items": len(survey.rows),
        }

    def _about(self, fitted: bool) -> list[str]:
        found = [self.kind.describe(), f"step {self.run.step:,}"]
        found += [f"{self.size:,} numbers in a code"] if self.size else []
        found += [f"prior: {self.run.fitted_prior.describe()}"] if fitted and self.run.fitted_prior else []
        return [*found, *(["its data cannot be read (see --data)"] if self.survey.dataset is None else [])]

    def _features(self, fitted: bool) -> dict[str, bool]:
        model, survey, items = self.run.model, self.survey, len(self.survey.rows) > 0
        decode, encode = self.size > 0, isinstance(model, Encodes)
        draws = decode and (isinstance(model, Draws) or fitted)
        looks = encode or isinstance(model, Reconstructs) or bool(survey.ways())
        return {
            "decode": decode,
            "encode": encode and decode,
            "sample": isinstance(model, Samples) or fitted,
            # The codes of a model with styles have only a direction: truncation would change nothing.
            "truncation": (isinstance(model, Draws) and not isinstance(model, Styles)) or fitted,
            "draw": draws,
            "map": decode and survey.mapped,
            "path": decode and (encode or draws),
            "arc": decode and (encode or draws),
            "directions": decode and survey.has_directions(),
            "examine": looks and self.upscaler is None,
            "noise": trained_noise(self.run) is not None and not isinstance(self.kind, Tokens),
            "upscale": self.upscaler is not None,
            "sound": isinstance(self.kind, Spectrogram),
            "background": isinstance(self.kind, Points) and items,
            "items": items,
        }

    # Questions of a moment, over the WebSocket.

    def decode(self, question: Question) -> Answer:
        """Decode one code."""
        code = question.codes(1, self._coded())
        return {"item": self._decoded(code, self._label(question, "label"))}

    def sample(self, question: Question) -> Answer:
        """Generate samples; without a class, all classes in turn."""
        run, classes = self.run, _names(conditions(self.run.model))
        count = question.integer("count", 1, MOST_SAMPLES)
        count = POINTS if isinstance(self.kind, Points) and count > 1 else count
        seed, label = question.integer("seed", 0, LARGEST_SEED), question.integer("label", -1, len(classes) - 1, -1)
        labels = (torch.arange(count) % len(classes) if label < 0 else torch.full((count,), label)) if classes else None
        prior = self._prior(question)
        truncation = question.number("truncation", 0.05, 2, 1.0)
        if not self._draws(prior):
            found = run.sample(count, label=labels, seed=seed, truncation=truncation, prior=prior)
            return {"items": together(self.kind, found), "codes": None, "labels": labels}
        codes, condition = run.draw(count, label=labels, seed=seed, truncation=truncation, prior=prior)
        found = run._decoded(codes, condition, "sampling")
        # Points are drawn into one plot, where none can be clicked.
        shown_codes = None if isinstance(self.kind, Points) and count > 1 else codes
        return {"items": together(self.kind, found), "codes": shown_codes, "labels": labels}

    def between(self, question: Question) -> Answer:
        """Decode a place on the path from one code to another; the class is that of the nearer end."""
        ends, at = question.codes(2, self._coded()), question.number("at", 0, 1)
        prior = self.survey.prior
        chosen = question.text("mode", (*get_args(Mode), "auto"))
        mode = usual_mode(self.run, prior)[0] if chosen == "auto" else cast(Mode, chosen)
        code = between(self.run, ends[:1], ends[1:], torch.tensor([at]), mode, prior)[0]
        condition = self._label(question, "startLabel" if at < 0.5 else "endLabel")
        label = int(condition["label"]) if condition else -1
        return {"item": self._decoded(code, condition), "code": code[0], "label": label, "mode": mode}

    def item(self, question: Question) -> Answer:
        """Return a test item, its code, and the class that the model infers."""
        item, caption = uploads.test_item(self.survey, question.integer("number", 0, LARGEST_SEED))
        code, label = self._encoded(item)
        return {"item": shown(self.kind, item)[0], "caption": caption, "code": code, "label": label}

    # Questions with a file, or of a test item.

    def examine(self, question: Question, upload: Upload) -> Answer:
        """Reconstruct an item, score it, infer its class and encode it; with noise, add noise first."""
        run, model = self.run, self.run.model
        item, caption = uploads.item_of(self.survey, upload)
        noise = question.number("noise", 0, 2, 0.0)
        noisy = self._noisy(item, noise, question.integer("seed", 0, LARGEST_SEED, 0)) if noise else None
        seen = item if noisy is None else noisy
        code, label = self._encoded(seen)
        result = run.apply(model.reconstruct, seen) if isinstance(model, Reconstructs) else None
        return {
            "input": shown(self.kind, item)[0],
            "noisy": None if noisy is None else shown(self.kind, noisy)[0],
            "result": None if result is None else shown(self.kind, result)[0],
            "code": code,
            "label": label,
            "classes": self._classes(seen),
            "scores": [{"name": way, "value": _finite(scored(run, way, item))} for way in self.survey.ways()],
            "notes": [caption],
        }

    def upscale(self, question: Question, upload: Upload) -> Answer:
        """Upscale a picture by the model, beside bicubic; a test item is downscaled first, so the truth is known."""
        if self.upscaler is None:
            raise ConfigError(f"{self.run.name} cannot upscale.")
        scale, truth = self.upscaler.scale, None
        if upload.number is None:
            small, notes = _cut(uploads.opened(upload.file))
        else:
            item, caption = uploads.test_item(self.survey, upload.number)
            item = item[:, :, : item.shape[2] // scale * scale, : item.shape[3] // scale * scale]
            truth, notes = pixels(item[0]), [f"{caption}, downscaled {scale} times first"]
            values = pixels(shrunk(item, scale)[0])["pixels"]
            small = Pillow.fromarray(values[:, :, 0] if values.shape[2] == 1 else values)
        large = self.upscaler.upscale(small)
        filtered = small.convert(large.mode).resize(large.size, Pillow.Resampling.BICUBIC)
        notes = [*notes, f"{small.width} x {small.height} to {large.width} x {large.height}"]
        return {"bicubic": picture(filtered), "model": picture(large), "truth": truth, "notes": notes}

    def sound(self, content: bytes) -> bytes:
        """Turn the bytes of a spectrogram's picture into a WAV file."""
        if not isinstance(self.kind, Spectrogram):
            raise ConfigError(f"{self.run.name} has no sounds.")
        height, width = self.kind.height, self.kind.width
        if len(content) != height * width:
            raise ConfigError(f"A spectrogram of this run has {height * width:,} bytes, got {len(content):,}.")
        image = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(1, 1, height, width).float() / 255
        samples = self.kind.sound(image)[0].mul(32_767).round().numpy().astype("<i2")
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(self.kind.rate)
            writer.writeframes(samples.tobytes())
        return file.getvalue()

    def _prior(self, question: Question) -> PriorName:
        """Return the prior that the question names; by default the fitted one if there is one."""
        chosen = question.settings.get("prior", "auto")
        if chosen not in get_args(PriorName):
            raise ConfigError(f"prior must be one of {', '.join(get_args(PriorName))}.")
        return self.survey.prior if chosen == "auto" else cast(PriorName, chosen)

    def _draws(self, prior: PriorName) -> bool:
        """Return True if codes can be drawn from this prior."""
        return self.size > 0 and (isinstance(self.run.model, Draws) or self.run._prior(prior) is not None)

    def _coded(self) -> int:
        """Return the numbers in a code; raise a ConfigError if the model decodes no codes."""
        if not self.size:
            raise ConfigError(f"{self.run.name} cannot decode codes.")
        return self.size

    def _label(self, question: Question, name: str) -> Batch:
        """Return the class that the question names, as the condition of the decoder."""
        classes = _names(decoding(self.run.model))
        if not classes:
            return {}
        return {"label": torch.tensor([question.integer(name, 0, len(classes) - 1)])}

    def _decoded(self, code: Tensor, condition: Batch) -> Shown:
        return shown(self.kind, self.run._decoded(code, condition, "decoding"))[0]

    def _encoded(self, item: Tensor) -> tuple[Tensor | None, int]:
        """Return the code of an item and the class that the model infers; None and -1 without them."""
        if not self.size or not isinstance(self.run.model, Encodes):
            return None, -1
        told = self.run._told(item, None) if decoding(self.run.model) else {}
        code = self.run.apply(self.run.model.encode, item, label=told.get("label"))[0]
        return code, int(told["label"]) if told else -1

    def _noisy(self, item: Tensor, noise: float, seed: int) -> Tensor:
        if isinstance(self.kind, Tokens):
            raise ConfigError("Noise cannot be added to a text.")
        return item + noise * normal_rows(seed, f"denoise/{noise:g}", 0, 1, *item.shape[1:])

    def _classes(self, item: Tensor) -> list[Answer]:
        """Return the likeliest classes of an item with their probabilities."""
        model, names = self.run.model, _names(conditions(self.run.model))
        if not isinstance(model, Infers) or not names:
            return []
        shares = self.run.apply(lambda batch: model.classify({"x": batch["x"]}), item).exp()[0]
        best = shares.argsort(descending=True)[:_TOP].tolist()
        return [{"name": names[number], "share": _finite(shares[number])} for number in best]


def _cut(image: Pillow.Image) -> tuple[Pillow.Image, list[str]]:
    """Return the middle of a picture that is too large to upscale while one waits, and sentences about it."""
    width, height = min(image.width, LARGEST_SIDE), min(image.height, LARGEST_SIDE)
    if (width, height) == image.size:
        return image, []
    left, top = (image.width - width) // 2, (image.height - height) // 2
    note = f"The middle of your picture ({image.width:,} x {image.height:,}); `genlab upscale` takes the whole."
    return image.crop((left, top, left + width, top + height)), [note]


def _type(kind: Any) -> str:
    names = {Spectrogram: "spectrogram", Image: "image", Points: "points", Tokens: "tokens"}
    return next(name for each, name in names.items() if isinstance(kind, each))


def _names(told: Any) -> tuple[str, ...]:
    """Return the names of the classes that a model is told, if it is told any."""
    kind = told.get("label")
    return kind.names if isinstance(kind, Classes) else ()


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
