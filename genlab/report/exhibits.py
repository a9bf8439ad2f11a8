"""Exhibits of a run: the pictures, texts and sounds that its training wrote, few and small enough for a page."""

import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from genlab.pages import data_uri
from genlab.runs.run import Run
from genlab.training.journal import FOLDERS, UNREADABLE

MOST_STEPS = 12
_PICTURES, _SOUNDS = 1_200_000, 1_000_000
"""Bytes of the pictures and of the sounds of one exhibit, such as the samples."""
_AS_IT_IS, _SIDE, _QUALITY = 80_000, 1000, 85
"""Larger files are encoded again: bytes, the longest side in pixels, and WebP's quality."""
_LETTERS = 4000
_ORDER = ("samples", "reconstructions", "interpolations", "enlargements")


class _TooLargeError(ValueError):
    """Says that a file is too large for a page."""


@dataclass
class Exhibits:
    """The exhibits of a run, and the files that are left out, with the reason."""

    shown: list[dict[str, Any]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)


def read_exhibits(run: Run) -> Exhibits:
    """Read the exhibits of a run: of each at most twelve steps, the first and the last among them."""
    found = Exhibits()
    files = _files(run)
    for name in sorted(files, key=lambda name: (name not in _ORDER, _ORDER.index(name) if name in _ORDER else 0, name)):
        exhibit = _exhibit(name, files[name], found.bad)
        if exhibit["items"]:
            found.shown.append(exhibit)
    return found


def newest(run: Run, side: int, largest: int) -> dict[str, Any] | None:
    """Return the newest picture or text of a run, of samples if it has any.

    A picture with more bytes than `largest`, or with a longer side in pixels, is made smaller.
    """
    files = _files(run)
    for name in [*(name for name in _ORDER if name in files), *files]:
        for step, paths in sorted(files[name].items(), reverse=True):
            try:
                if path := paths.get("images"):
                    return {"name": name, "step": step, **_picture(path, side, largest)}
                if path := paths.get("texts"):
                    return {"name": name, "step": step, **_text(path, 600)}
            except UNREADABLE:
                continue
    return None


def evenly(steps: Sequence[int], most: int) -> list[int]:
    """Return at most this many of the steps, spread evenly, with the first and the last."""
    if len(steps) <= most:
        return list(steps)
    if most == 1:
        return [steps[-1]]
    return [steps[round(place * (len(steps) - 1) / (most - 1))] for place in range(most)]


def _files(run: Run) -> dict[str, dict[int, dict[str, Path]]]:
    """Return the files of each exhibit by step and folder."""
    found: dict[str, dict[int, dict[str, Path]]] = {}
    for folder, ending in FOLDERS.items():
        for path in sorted((run.path / folder).glob(f"*-*{ending}")):
            name, _, digits = path.stem.rpartition("-")
            if name and digits.isascii() and digits.isdigit():
                found.setdefault(name, {}).setdefault(int(digits), {})[folder] = path
    return found


def _exhibit(name: str, files: dict[int, dict[str, Path]], bad: list[str]) -> dict[str, Any]:
    steps = sorted(files)
    chosen = evenly(steps, _affordable(files[steps[-1]]))
    items = []
    for step in chosen:
        item: dict[str, Any] = {"step": step}
        for folder, path in files[step].items():
            try:
                item |= _read(folder, path)
            except _TooLargeError as error:
                bad.append(f"{folder}/{path.name} ({error})")
            except UNREADABLE:
                bad.append(f"{folder}/{path.name} (cannot be read)")
        if len(item) > 1:
            items.append(item)
    return {"name": name, "items": items, "left_out": len(steps) - len(chosen)}


def _affordable(paths: dict[str, Path]) -> int:
    """Return the number of steps whose files fit on the page, if all are as large as these."""
    most = MOST_STEPS
    for folder, budget in (("images", _PICTURES), ("sounds", _SOUNDS)):
        if path := paths.get(folder):
            try:
                size = len(_picture(path)["picture"]) if folder == "images" else path.stat().st_size * 4 // 3
            except UNREADABLE:
                continue
            most = min(most, max(1, budget // max(1, size)))
    return most


def _picture(path: Path, side: int = _SIDE, largest: int = _AS_IT_IS) -> dict[str, Any]:
    """Return a picture as an address with its size; large ones are made smaller."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
        opened.load()
        picture: Image.Image = opened
        # Small pictures are shown pixel by pixel, so they are not blurred by WebP.
        if len(content) > largest or max(opened.size) > side:
            picture = opened.convert("RGB")
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            content, media = _webp(picture), "image/webp"
        else:
            media = "image/png"
        return {"picture": data_uri(content, media), "width": picture.width, "height": picture.height}


def _webp(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="WEBP", quality=_QUALITY, method=4)
    return file.getvalue()


def _text(path: Path, most: int = _LETTERS) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8", errors="replace")
    cut = f"{text[:most]}\n..." if len(text) > most else text
    return {"text": cut}


def _sound(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    with wave.open(io.BytesIO(content)) as opened:
        seconds = opened.getnframes() / max(1, opened.getframerate())
    if len(content) * 4 // 3 > 3 * _SOUNDS:
        raise _TooLargeError(f"{len(content) / 1e6:.0f} MB are too large for a page")
    return {"sound": data_uri(content, "audio/wav"), "seconds": round(seconds, 1)}


def _read(folder: str, path: Path) -> dict[str, Any]:
    return _picture(path) if folder == "images" else _text(path) if folder == "texts" else _sound(path)
