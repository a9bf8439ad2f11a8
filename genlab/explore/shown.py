"""Items as the page shows them: pixels, coordinates or texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from genlab.kinds import Image, Kind, Points, Tokens

Shown = dict[str, Any]
"""An item as the page takes it; see the top of `page/server.js`."""


@singledispatch
def shown(kind: Kind, items: Tensor) -> list[Shown]:
    """Return each item as the page shows it."""
    raise TypeError(f"the page cannot show {kind.describe()}")


@shown.register
def _(kind: Image, items: Tensor) -> list[Shown]:
    return [pixels(image) for image in items]


@shown.register
def _(kind: Points, items: Tensor) -> list[Shown]:
    return [cloud(point[None]) for point in items]


@shown.register
def _(kind: Tokens, items: Tensor) -> list[Shown]:
    return [{"type": "text", "text": text} for text in kind.decode(items)]


def pixels(image: Tensor) -> Shown:
    """Return one image in [0, 1], C x H x W, as bytes of H x W x C."""
    values = image.detach().float().cpu().nan_to_num().clamp(0, 1).mul(255).round().to(torch.uint8)
    return _of_bytes(values.permute(1, 2, 0).contiguous().numpy())


def picture(image: Pillow.Image) -> Shown:
    """Return a grey or colour picture as bytes; transparency is left out."""
    plain = image.convert("L" if image.mode in ("L", "LA") else "RGB")
    values = np.array(plain)
    return _of_bytes(values[:, :, None] if values.ndim == 2 else values)


def cloud(points: Tensor) -> Shown:
    """Return points as one item: all are drawn into one plot."""
    return {"type": "points", "shape": list(points.shape), "values": points.detach().float().nan_to_num()}


def together(kind: Kind, items: Tensor) -> Sequence[Shown]:
    """Return several items side by side; points are one plot together."""
    return [cloud(items)] if isinstance(kind, Points) else shown(kind, items)


def _of_bytes(values: Any) -> Shown:
    return {"type": "image", "shape": list(values.shape), "pixels": values}
