"""The animation of samples over the training: its frames, its size, and after a resumed training."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from genlab.training import animation as animations
from genlab.training.animation import animation
from tests.fixtures.program import TINY, genlab

Previews = list[tuple[int, Path]]


def previews(folder: Path, count: int, *, noise: bool = False) -> Previews:
    """Write pictures that become lighter with the step."""
    found = []
    for number in range(count):
        found.append((10 * number, folder / f"samples-{10 * number:010d}.png"))
        grey = np.full((120, 160), 255 * number // max(1, count - 1), np.uint8)
        pixels = np.random.default_rng(number).integers(0, 256, (600, 600), np.uint8) if noise else grey
        Pillow.fromarray(pixels).save(found[-1][1])
    return found


def frames(encoded: bytes | None) -> tuple[list[int], list[int], tuple[int, int]]:
    """Return the middle grey and the milliseconds of each frame, and the size."""
    assert encoded
    opened = Pillow.open(io.BytesIO(encoded))
    greys, times = list[int](), list[int]()
    for number in range(getattr(opened, "n_frames", 1)):
        opened.seek(number)
        times.append(int(opened.info["duration"]))
        pixel = opened.convert("L").getpixel((80, 100))
        assert isinstance(pixel, int)
        greys.append(pixel)
    return greys, times, opened.size


def test_every_preview_is_a_frame_below_its_step_and_the_last_is_held(tmp_path: Path) -> None:
    greys, times, size = frames(animation(previews(tmp_path, 5)))
    assert greys == pytest.approx([0, 63, 127, 191, 255], abs=4)
    assert times == [600, 600, 600, 600, 2000]
    assert size == (160, 120 + 18)


def test_many_previews_are_spread_over_forty_frames_with_the_first_and_the_last(tmp_path: Path) -> None:
    greys, times, _ = frames(animation(previews(tmp_path, 101)))
    assert len(times) == 40
    assert [greys[0], greys[-1]] == pytest.approx([0, 255], abs=4)
    assert greys == sorted(greys)


def test_an_animation_that_would_be_too_large_gets_smaller_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(animations, "_LARGEST", 100_000)
    encoded = animation(previews(tmp_path, 4, noise=True))
    assert encoded
    assert 20_000 < len(encoded) <= 100_000


def test_one_picture_is_no_animation_and_damaged_ones_are_left_out(tmp_path: Path) -> None:
    found = previews(tmp_path, 3)
    assert animation(found[:1]) is None
    found[1][1].write_bytes(b"\x89PNG")
    greys, _, _ = frames(animation(found))
    assert len(greys) == 2


def test_a_resumed_run_ends_with_the_animation_of_a_whole_one(tmp_path: Path) -> None:
    every = ["trainer.validate_every=1", "trainer.checkpoint_every=1"]
    for run, steps in (("whole", 4), ("parts", 2)):
        done = genlab(tmp_path, "train", "model=vae", *TINY, *every, f"trainer.steps={steps}", f"run={run}")
        assert done.returncode == 0, done.stderr
    whole, parts = (tmp_path / run / "images" / "samples.gif" for run in ("whole", "parts"))
    assert len(frames(parts.read_bytes())[0]) == 2
    assert genlab(tmp_path, "resume", "parts", "trainer.steps=4").returncode == 0
    assert parts.read_bytes() == whole.read_bytes()
    assert len(frames(parts.read_bytes())[0]) == 4
