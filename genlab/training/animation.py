"""An animation of one preview over the training, as a GIF of bounded size."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from genlab.kinds.sheet import fitting

_FRAMES, _LARGEST = 40, 2_000_000
"""Largest number of frames, and of bytes."""
_ALL, _SLOWEST, _QUICKEST, _END = 6000, 600, 100, 2000
"""Milliseconds of the whole animation, of a frame at most and at least, and of the last frame."""
_COLOURS, _LINE, _FONT = 64, 18, 13
_TRIES = 5


def animation(previews: Sequence[tuple[int, Path]]) -> bytes | None:
    """Return a GIF of pictures with their steps, evenly spread over the training; None if there are fewer than two.

    Pictures that cannot be read are left out. The GIF is smaller than the pictures if it would be larger than 2 MB.
    """
    frames = [frame for step, path in _spread(previews) if (frame := _frame(step, path))]
    if len(frames) < 2:
        return None
    size = max(frame.width for frame in frames), max(frame.height for frame in frames)
    frames = [_on_sheet(frame, size) for frame in frames]
    # Estimated with three frames: to encode all of them at every size would take seconds.
    some = [frames[0], frames[len(frames) // 2], frames[-1]]
    scale = min(1.0, (_LARGEST / (len(_encoded(some, 1.0)) / len(some) * len(frames))) ** 0.5)
    for _ in range(_TRIES):
        encoded = _encoded(frames, scale)
        if len(encoded) <= _LARGEST:
            return encoded
        scale *= 0.95 * (_LARGEST / len(encoded)) ** 0.5
    return None


def _spread(previews: Sequence[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """Return at most so many previews as there can be frames, at equal distances, with the first and the last."""
    ordered = sorted(previews)
    if len(ordered) <= _FRAMES:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / (_FRAMES - 1))] for place in range(_FRAMES)]


def _frame(step: int, path: Path) -> Image.Image | None:
    """Return a picture below its step, or None if it is damaged."""
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None
    font = ImageFont.load_default(_FONT)
    whole = Image.new("RGB", (picture.width, picture.height + _LINE), (255, 255, 255))
    ImageDraw.Draw(whole).text((2, 1), fitting(f"step {step:,}", picture.width - 4, font), (30, 30, 30), font)
    whole.paste(picture, (0, _LINE))
    return whole


def _on_sheet(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a frame of this size: all frames of a GIF have the same."""
    if frame.size == size:
        return frame
    whole = Image.new("RGB", size, (255, 255, 255))
    whole.paste(frame, (0, 0))
    return whole


def _encoded(frames: Sequence[Image.Image], scale: float) -> bytes:
    size = max(1, round(frames[0].width * scale)), max(1, round(frames[0].height * scale))
    resized = frames if scale == 1 else [frame.resize(size, Image.Resampling.LANCZOS) for frame in frames]
    first, *rest = (_reduced(frame) for frame in resized)
    each = max(_QUICKEST, min(_SLOWEST, _ALL // len(frames)))
    file = io.BytesIO()
    first.save(file, format="GIF", save_all=True, append_images=rest, loop=0, duration=[*[each] * len(rest), _END])
    return file.getvalue()


def _reduced(frame: Image.Image) -> Image.Image:
    """Return a frame with few colours; of the ways that Pillow knows, this one is quick."""
    return frame.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
