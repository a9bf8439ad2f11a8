"""Kinds of data: what one item is, how it is loaded, augmented and shown."""

from dataclasses import asdict
from typing import Any

from genlab.kinds.attributes import Classes, Number
from genlab.kinds.augmentation import Augmentation
from genlab.kinds.fitting import Kinds, MissingColumnError, fit, missing
from genlab.kinds.image import Image
from genlab.kinds.kind import Exhibit, Kind, Row, Sound
from genlab.kinds.points import Points
from genlab.kinds.spectrogram import Spectrogram
from genlab.kinds.tokens import Tokens
from genlab.registry import pick

__all__ = [
    "KINDS",
    "Augmentation",
    "Classes",
    "Exhibit",
    "Image",
    "Kind",
    "Kinds",
    "MissingColumnError",
    "Number",
    "Points",
    "Row",
    "Sound",
    "Spectrogram",
    "Tokens",
    "fit",
    "from_facts",
    "missing",
    "to_facts",
]

KINDS: dict[str, type[Kind]] = {
    "image": Image,
    "points": Points,
    "tokens": Tokens,
    "spectrogram": Spectrogram,
    "classes": Classes,
    "number": Number,
}


def to_facts(kind: Kind) -> dict[str, Any]:
    """Convert a kind to plain values, which run.json keeps."""
    name = next(name for name, other in KINDS.items() if other is type(kind))
    return {"kind": name, **asdict(kind)}  # type: ignore[call-overload]


def from_facts(facts: dict[str, Any]) -> Kind:
    """Convert plain values back to the kind."""
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
    return pick("kind", str(settings.pop("kind")), KINDS)(**settings)
