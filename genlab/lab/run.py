"""A trained run as a Python object: its model, its metrics, and what the model can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageColor
from torch import Tensor

from genlab.config import compose
from genlab.config.trust import Trust
from genlab.contract import (
    ABILITIES,
    Batch,
    Decodes,
    Encodes,
    Infers,
    Model,
    Reconstructs,
    Samples,
    Scores,
    conditions,
    home,
)
from genlab.evaluation import record
from genlab.evaluation.super_resolution import as_tensor
from genlab.evaluation.tiles import TiledUpscaler
from genlab.kinds import Classes, Image, Kind
from genlab.lab import picture
from genlab.lab.abilities import cannot
from genlab.lab.inputs import Fitting, Inputs, elements, items, numbers, values
from genlab.lab.upscale import upscaler_of
from genlab.randomness import generator
from genlab.registry import ConfigError, unknown
from genlab.runs import open as open_run
from genlab.runs.open import Opened
from genlab.runs.run import Run as Folder
from genlab.training.engine import choose_device
from genlab.training.journal import read

Checkpoint = Literal["last", "best"]
Label = int | str | np.integer[Any] | Sequence[int | str] | NDArray[Any] | Tensor
"""A class by number or by name (upper or lower case), or one for each item."""

_ITEMS = 256
"""Items that go through the model at once."""


class Run:
    """A trained run. `genlab.load`, `genlab.train` and `genlab.runs` return it.

    All results are tensors on the CPU; `.numpy()` turns them into arrays. Images are floats, N x C x H x W in [0, 1].
    Token sequences are int64; `run.kinds["x"].decode` turns them into texts.
    Everything is computed in batches without gradients, and is the same in every call.

    ```python
    run = genlab.load("latest")
    run.sample(64, label="trouser", seed=1)
    run.reconstruct("photos/")
    ```

    Inputs are files, folders, patterns such as `photos/*.jpg`, PIL images, arrays, tensors, or lists of these. Files
    and PIL images are converted to the run's size and to grey or RGB: the middle is cut out and resized. Arrays and
    tensors must have the right size. They hold uint8 in 0..255 or floats in 0..1, with channels first or last.
    """

    def __init__(
        self, path: Path | str, *, checkpoint: Checkpoint = "last", device: str = "auto", trust: bool = False
    ) -> None:
        if checkpoint not in ("last", "best"):
            raise ConfigError(f"checkpoint must be 'last' or 'best', got {checkpoint!r}.")
        self.path = Path(path)
        self._folder, self._checkpoint, self._device, self._trust = Folder(self.path), checkpoint, device, trust
        self._folder.check_format()

    def __repr__(self) -> str:
        facts = self._folder.facts
        steps = f" at step {facts['step']:,}" if "step" in facts else ""
        able = f"can {', '.join(self.abilities)}"
        parts = [
            f"genlab.Run {self.name}: {self._folder.state}{steps}",
            str(self.path),
            self.kinds["x"].describe(),
            able,
        ]
        return f"<{'; '.join(parts)}>"

    @property
    def name(self) -> str:
        """The names of the model and of the data, such as `vae-fashion-mini`."""
        return str(self._folder.facts["name"])

    @property
    def config(self) -> dict[str, Any]:
        """All settings as a nested dictionary, as in the run's config.yaml."""
        return compose.load(self.path / "config.yaml").plain

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each column: `x` holds the modelled items; `label` and others are there if the data has them."""
        return self._folder.kinds

    @property
    def abilities(self) -> tuple[str, ...]:
        """The abilities of the model, of: reconstruct, encode, decode, sample, score, upscale, infer."""
        noted = self._folder.facts.get("abilities")
        if noted is not None:
            return tuple(noted)
        return tuple(name for name, ability in ABILITIES.items() if isinstance(self.model, ability))

    @property
    def history(self) -> list[dict[str, Any]]:
        """All lines of the run's metrics.jsonl: step, epoch, split and metrics."""
        return read(self.path)

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The newest line of each split: `run.metrics["validation"]["loss"]`."""
        return {str(line["split"]): {key: line[key] for key in line if key != "split"} for line in self.history}

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """Metrics of `genlab evaluate`, as in evaluation.json; None if nothing was measured."""
        return record.read(self._folder)

    @cached_property
    def _opened(self) -> Opened:
        trust = Trust(self._trust)
        if self._checkpoint == "last":
            return open_run.open_checkpoint(self._folder, trust=trust)
        _, best = open_run.open_both(self._folder, trust)
        if best is None:
            raise ConfigError(f"{self.path} has no best checkpoint. Use checkpoint='last'.")
        return best

    @cached_property
    def model(self) -> Model:
        """The model as a torch module on the device, in evaluation mode, with frozen weights."""
        return self._opened.model.to(choose_device(self._device))

    @property
    def step(self) -> int:
        """The step of the checkpoint."""
        return self._opened.step

    def sample(self, count: int = 16, *, label: Label | None = None, seed: int = 0) -> Tensor:
        """Generate items.

        For a conditional model, `label` is a class, or a class for each item. Without it the classes are
        drawn at random, too. The same seed gives the same items; fewer items are the first ones of more.

        ```python
        run.sample(8, label=3)
        run.sample(2, label=["trouser", "bag"], seed=7)
        ```
        """
        model = self.model
        if not isinstance(model, Samples):
            raise self._cannot("sample")
        count, seed = _whole("count", count), _whole("seed", seed)
        if count < 1:
            raise ConfigError(f"count must be at least 1, got {count}.")
        condition, draws = self._condition(label, count), generator(seed, "sample")

        def generate(places: Tensor) -> Tensor:
            part = {name: values[places].to(home(model)) for name, values in condition.items()}
            return model.sample(len(places), part or None, draws)

        return _in_parts(generate, torch.arange(count))

    def reconstruct(self, inputs: Inputs, *, label: Label | None = None) -> Tensor:
        """Reconstruct items.

        For a conditional model, `label` is the class of each item. Without it the model infers the class.
        """
        model = self.model
        if not isinstance(model, Reconstructs):
            raise self._cannot("reconstruct")
        return self._apply(model.reconstruct, inputs, label)

    def encode(self, inputs: Inputs, *, label: Label | None = None) -> Tensor:
        """Return the code of each item, N x D: of a VAE the mean.

        ```python
        codes = run.encode(["one.png", "two.png"])
        ```
        """
        model = self.model
        if not isinstance(model, Encodes):
            raise self._cannot("encode")
        return self._apply(model.encode, inputs, label)

    def decode(self, codes: Tensor | NDArray[Any] | Sequence[Any], *, label: Label | None = None) -> Tensor:
        """Turn codes into items: N x D numbers, or D numbers for one item.

        ```python
        first, last = run.encode(["one.png", "two.png"])
        between = run.decode([first.lerp(last, weight / 7) for weight in range(8)])
        ```
        """
        model = self.model
        if not isinstance(model, Decodes):
            raise self._cannot("decode")
        rows = numbers(codes, "codes, N x D")
        rows = rows[None] if rows.dim() == 1 else rows
        size = getattr(model, "latent_dim", None)
        if rows.dim() != 2 or (size is not None and rows.shape[1] != size):
            raise ConfigError(f"Codes of this run must be N x {size or 'D'}, got shape {tuple(rows.shape)}.")
        condition = self._condition(label, len(rows))
        if not condition and conditions(model):
            raise ConfigError(f"{self.name} is conditional and needs the class of each item: pass label=.")

        def decode(places: Tensor) -> Tensor:
            part = {name: values[places].to(home(model)) for name, values in condition.items()}
            return model.decode(rows[places].to(home(model)), part or None)

        return _in_parts(decode, torch.arange(len(rows)))

    def score(self, inputs: Inputs, *, label: Label | None = None) -> Tensor:
        """Return the score of each item in nats, N; higher is likelier. Of a VAE it is the evidence lower bound."""
        model = self.model
        if not isinstance(model, Scores):
            raise self._cannot("score")
        # Scores may draw codes at random; the fixed seed makes them the same in every call.
        with torch.random.fork_rng(devices=[home(model)] if home(model).type == "cuda" else []):
            torch.manual_seed(0)
            return self._apply(model.score, inputs, label)

    def upscale(self, inputs: Inputs) -> Tensor:
        """Upscale images of any size, tile by tile: N x C x sH x sW in [0, 1], s times larger each way.

        Files and PIL images give the same pixels as `genlab upscale`, without transparency. All images of one call must
        have the same size.

        ```python
        large = run.upscale("holiday.jpg")
        ```
        """
        upscaler = upscaler_of(self._folder, self.model)
        large = [_upscale(upscaler, self.kinds["x"], element) for element in elements(inputs)]
        if len({tuple(images.shape[1:]) for images in large}) != 1:
            sizes = ", ".join(sorted({" x ".join(map(str, images.shape[1:])) for images in large}))
            raise ConfigError(f"Upscale images of one size at a time: the results would be {sizes or 'none'}.")
        return torch.cat(large)

    def _apply(self, function: Callable[[Batch], Tensor], inputs: Inputs, label: Label | None) -> Tensor:
        """Apply an ability to items in batches."""
        rows = items(self.kinds["x"], inputs, self._fitting())
        condition, place = self._condition(label, len(rows)), home(self.model)

        def apply(places: Tensor) -> Tensor:
            batch = {name: values[places].to(place) for name, values in {"x": rows, **condition}.items()}
            return function(self._with_condition(batch))

        return _in_parts(apply, torch.arange(len(rows)))

    def _with_condition(self, batch: Batch) -> Batch:
        """Let the model infer the condition if it is not given."""
        told = conditions(self.model)
        if told.keys() <= batch.keys():
            return batch
        if not isinstance(self.model, Infers):
            raise ConfigError(f"{self.name} is conditional and needs the class of each item: pass label=.")
        return {**self.model.infer(batch), **batch}

    def _condition(self, label: Label | None, count: int) -> Batch:
        """Return the labels as a condition; nothing without labels."""
        if label is None:
            return {}
        classes = conditions(self.model).get("label")
        if classes is None:
            raise ConfigError(f"{self.name} is not conditional. Leave out label=, or train a conditional model.")
        return {"label": _labels(label, classes, count)}

    def _fitting(self) -> Fitting:
        """Return how the run's own data brings pictures to one size."""
        data: Mapping[str, Any] = self.config["data"]
        if data.get("class") != "folder":
            return Fitting()
        ground = ImageColor.getrgb(data["background"])
        return Fitting(data["crop"] != "none", (ground[0], ground[1], ground[2]))

    def _cannot(self, ability: str) -> ConfigError:
        return cannot(self._folder, ability, self.abilities)


def _whole(name: str, value: object) -> int:
    """Return an argument that must be an integer, of Python or of numpy."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ConfigError(f"{name} must be an integer, got {value!r}.")
    return int(value)


@torch.no_grad()
def _in_parts(function: Callable[[Tensor], Tensor], places: Tensor) -> Tensor:
    found = torch.cat([function(part).cpu() for part in torch.split(places, _ITEMS)])
    # Symbols of token sequences stay integers, so that their kind can decode them.
    return found.float() if found.is_floating_point() else found


@torch.no_grad()
def _upscale(upscaler: TiledUpscaler, kind: Kind, element: Path | Pillow.Image | Tensor) -> Tensor:
    assert isinstance(kind, Image)
    if isinstance(element, Tensor):
        return upscaler.upscale_images(values(kind, element, None, None))
    small = picture.open_plain(element)
    large = upscaler.upscale(small)
    return as_tensor(large.convert(large.mode.removesuffix("A")))


def _labels(label: Label, classes: Classes, count: int) -> Tensor:
    """Return the number of a class for each item."""
    if isinstance(label, Tensor | np.ndarray):
        label = label.tolist()
    if not isinstance(label, Sequence) or isinstance(label, str):
        return torch.full((count,), _number(label, classes))
    given = torch.tensor([_number(each, classes) for each in label], dtype=torch.int64)
    if len(given) != count:
        raise ConfigError(f"label must be one class or {count} classes, got {len(given)}.")
    return given


def _number(label: object, classes: Classes) -> int:
    if isinstance(label, str):
        numbers_of = {name.casefold(): number for number, name in enumerate(classes.names)}
        if label.casefold() not in numbers_of:
            raise unknown("class", label, classes.names)
        return numbers_of[label.casefold()]
    if not isinstance(label, int | np.integer) or isinstance(label, bool) or not 0 <= label < len(classes):
        raise ConfigError(f"A class must be a number from 0 to {len(classes) - 1} or a name, got {label!r}.")
    return int(label)
