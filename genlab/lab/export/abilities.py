"""Turns the abilities of a model into graphs; an ability that cannot be exported is left out with the reason."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genlab.contract import (
    Batch,
    Decodes,
    Encodes,
    Infers,
    Model,
    Reconstructs,
    Samples,
    Scores,
    Translates,
    Upscales,
    abilities_of,
    conditions,
    decoding_conditions,
)
from genlab.kinds import Classes, Image, Kind
from genlab.lab.export.graphs import EXAMPLE, Graph, Port, Traced, codes_port, items_port, label_port
from genlab.lab.export.noise import NoiseError, given_noise, width_of_noise
from genlab.lab.export.placed import placing
from genlab.lab.prior import Prior
from genlab.networks.autoregressive import Autoregressive

DRAWN = "It draws random numbers inside, and an exported file must give the same result in every call."


class LeftOutError(Exception):
    """The reason why an ability cannot be exported, as a sentence."""


@dataclass(frozen=True)
class Abilities:
    """The graphs of a model, and the abilities that have none."""

    model: Model
    kind: Kind
    prior: Prior | None = None
    """A fitted prior, from which samples are drawn then."""
    left_out: dict[str, str] = field(default_factory=dict)
    """The reason for each ability that is left out."""

    @property
    def names(self) -> list[str]:
        """The abilities that are tried."""
        able = abilities_of(self.model)
        return able if "sample" in able or self.prior is None else [*able, "sample"]

    def graphs(self, only: tuple[str, ...] = ()) -> Iterator[Graph]:
        """Yield the graph of each ability, or of those in `only`; note the ones that are left out."""
        build: dict[str, Callable[[], Graph]] = {
            "reconstruct": self._reconstruct,
            "encode": self._encode,
            "decode": self._decode,
            "sample": self._sample,
            "score": self._score,
            "upscale": self._upscale,
            "translate": self._translate,
            "infer": self._infer,
            "mix": self._mix,
        }
        for name in self.names:
            if only and name not in only:
                continue
            try:
                graph = build[name]()
                if not graph.repeats():
                    raise LeftOutError(DRAWN)
            except LeftOutError as reason:
                self.left_out[name] = str(reason)
            else:
                yield graph

    @property
    def _classes(self) -> Classes | None:
        """The classes that encoder and decoder are told."""
        return decoding_conditions(self.model).get("label")

    def _traced(self, function: Callable[..., Any]) -> Traced:
        return Traced(self.model, function)

    def _items(self, name: str = "items", about: str = "items") -> Port:
        return items_port(self.kind, name, about)

    def _code_size(self) -> int:
        size = getattr(self.model, "latent_dim", None)
        if isinstance(size, int):
            return size
        model, items = self.model, self._items().draw(EXAMPLE, torch.Generator().manual_seed(0))
        if not isinstance(model, Encodes):
            raise LeftOutError("The length of its codes is not known: the model has no attribute latent_dim.")
        with torch.no_grad():
            return int(model.encode({"x": items}).shape[1])

    def _decode(self) -> Graph:
        inputs = (codes_port(self._code_size()), *self._labels(inferred=False))
        return Graph("decode", self._traced(_decode), inputs, (self._items(),))

    def _encode(self) -> Graph:
        labels, codes = self._labels(inferred=True), codes_port(self._code_size())
        outputs = (codes, *(_used(classes) for classes in filter(None, [self._classes])))
        return Graph("encode", self._traced(_encode), (self._items(), *labels), outputs)

    def _reconstruct(self) -> Graph:
        inputs = (self._items(), *self._labels(inferred=True))
        return Graph("reconstruct", self._traced(_reconstruct), inputs, (self._items("reconstructed"),))

    def _labels(self, inferred: bool) -> tuple[Port, ...]:
        inferred = inferred and isinstance(self.model, Infers)
        return (label_port(self._classes, inferred=inferred),) if self._classes else ()

    def _score(self) -> Graph:
        scores = Port("scores", ("batch",), "scores in nats; higher is likelier")
        return Graph("score", self._traced(_score), (self._items(),), (scores,))

    def _infer(self) -> Graph:
        classes = conditions(self.model)["label"]
        # Not the probabilities: these are differences of large sums, whose rounding depends on the library.
        return Graph("infer", self._traced(_infer), (self._items(),), (label_port(classes),))

    def _upscale(self) -> Graph:
        assert isinstance(self.kind, Image)
        assert isinstance(self.model, Upscales)
        channels, scale = self.kind.channels, self.model.scale
        small = Port("images", ("batch", channels, "height", "width"), "images of any size, white is 1", range=(0, 1))
        sides = (f"{scale}*height", f"{scale}*width")
        large = Port("upscaled", ("batch", channels, *sides), f"images, {scale} times larger each way", range=(0, 1))
        return Graph("upscale", self._traced(_upscale), (small,), (large,))

    def _translate(self) -> Graph:
        assert isinstance(self.model, Translates)
        inputs = [items_port(self.model.source, "images", "inputs")]
        if self.model.domains:
            first, second = self.model.domains
            about = f"class to translate to: {first} or {second}"
            inputs.append(Port("to", ("batch",), about, torch.int64, (min(first, second), max(first, second))))
        return Graph("translate", self._traced(_translate), tuple(inputs), (self._items("translated"),))

    def _mix(self) -> Graph:
        raise LeftOutError("Styles are mixed by genlab mix; the file decode takes a code for all layers.")

    def _sample(self) -> Graph:
        told = conditions(self.model).get("label")
        labels = () if told is None else (label_port(told),)
        if self.prior is not None:
            return self._sample_fitted(self.prior, labels)
        if any(isinstance(part, Autoregressive) for part in self.model.modules()):
            raise LeftOutError(
                "Its prior draws the numbers of a code one after the other, and a file for that would need a loop over "
                "all of them. Decode codes of your own, or use genlab sample."
            )
        try:
            width = width_of_noise(self.model, told)
        except NoiseError as reason:
            raise LeftOutError(str(reason)) from None
        return Graph("sample", self._traced(_sample(width)), (_noise(width.used), *labels), (self._items(),))

    def _sample_fitted(self, prior: Prior, labels: tuple[Port, ...]) -> Graph:
        placed = placing(prior, len(conditions(self.model).get("label", ())))

        def reference(noise: Tensor, *label: Tensor) -> Tensor:
            with given_noise(noise):
                codes = prior.draw(len(noise), torch.Generator(), *label)
            return _decode(self.model, codes, *(label if self._classes else ()))

        def function(parts: nn.ModuleDict, noise: Tensor, *label: Tensor) -> Tensor:
            codes = parts["prior"](noise, *label)
            return _decode(parts["model"], codes, *(label if self._classes else ()))

        parts = nn.ModuleDict({"model": self.model, "prior": placed})
        note = f"Codes are drawn from the fitted prior, {prior.describe()}."
        inputs = (_noise(placed.width), *labels)
        return Graph("sample", Traced(parts, function), inputs, (self._items(),), note, reference)


def on_cpu(model: Model) -> Model:
    """Return a copy of a model on the CPU, in the usual memory format."""
    return copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format).eval().requires_grad_(False)  # type: ignore[call-overload, no-any-return]


def _noise(width: int) -> Port:
    return Port("noise", ("batch", width), "independent standard normal numbers")


def _used(classes: Classes) -> Port:
    about = "number of the class that was used: the given or the inferred one"
    return Port("used_label", ("batch",), about, torch.int64, (0, len(classes) - 1))


def _decode(model: Any, codes: Tensor, label: Tensor | None = None) -> Tensor:
    assert isinstance(model, Decodes)
    return model.decode(codes, None if label is None else {"label": label})


def _known(model: Any, items: Tensor, label: Tensor | None) -> Batch:
    if label is None:
        return {"x": items}
    if isinstance(model, Infers):
        label = torch.where(label < 0, model.infer({"x": items})["label"], label)
    return {"x": items, "label": label}


def _encode(model: Any, items: Tensor, label: Tensor | None = None) -> Any:
    assert isinstance(model, Encodes)
    known = _known(model, items, label)
    codes = model.encode(known)
    return codes if label is None else (codes, known["label"])


def _reconstruct(model: Any, items: Tensor, label: Tensor | None = None) -> Tensor:
    assert isinstance(model, Reconstructs)
    return model.reconstruct(_known(model, items, label))


def _score(model: Any, items: Tensor) -> Tensor:
    assert isinstance(model, Scores)
    return model.score({"x": items})


def _infer(model: Any, items: Tensor) -> Tensor:
    assert isinstance(model, Infers)
    return model.infer({"x": items})["label"]


def _upscale(model: Any, images: Tensor) -> Tensor:
    assert isinstance(model, Upscales)
    return model.upscale(images)


def _translate(model: Any, images: Tensor, to: Tensor | None = None) -> Tensor:
    assert isinstance(model, Translates)
    return model.translate(images, to)


def _sample(width: Any) -> Callable[..., Tensor]:
    def sample(model: Any, noise: Tensor, label: Tensor | None = None) -> Tensor:
        assert isinstance(model, Samples)
        with given_noise(width.padded(noise)):
            return model.sample(noise.shape[0], None if label is None else {"label": label})

    return sample
