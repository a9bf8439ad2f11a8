"""Samples in a comparison: the same noise for every run, drawn as the kind of the data asks."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image as Pictures
from torch import Tensor

from genlab.comparison import samples
from genlab.contract import Batch, Model
from genlab.kinds import Classes, Image, Kind, Points, Tokens
from genlab.randomness import normal
from genlab.runs.open import Opened, open_checkpoint
from genlab.runs.run import Run
from genlab.training.position import Position
from tests.fixtures.comparisons import comparison
from tests.fixtures.runs_made_up import make_run

GREY = Image(1, 2, 2)


class Echo(Model):
    """Returns the noise that it draws; each class is brighter than the one before."""

    def __init__(self, kind: Kind = GREY, classes: int = 0) -> None:
        super().__init__()
        self.kind, self.told = kind, {"label": Classes(tuple(map(str, range(classes))))} if classes else {}

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        if self.told:
            assert condition is not None
            grey = condition["label"].float() / len(self.told["label"])
            return grey.view(-1, 1, 1, 1).expand(count, *self.kind.shape)
        noise = normal(count, *self.kind.shape, device=torch.device("cpu"), generator=generator)
        return noise.sigmoid() if isinstance(self.kind, Image) else noise


def opened(kind: Kind = GREY, classes: int = 0) -> Callable[[Run], Opened]:
    """Return a function that opens a run as a model that returns its noise."""
    return lambda run: Opened(Echo(kind, classes), {"x": kind}, 1, "", "live", cast(Position, None))


def able(pair: list[Path]) -> list[Path]:
    """Let the runs say that they can sample."""
    for run in pair:
        facts = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(facts | {"abilities": ["sample"]}))
    return pair


def picture(panels: list[samples.Panel], folder: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the pixels of samples.png."""
    with open(folder / "samples.png", "wb") as file:
        samples.files(panels)["samples.png"](file)
    with Pictures.open(folder / "samples.png") as found:
        return np.asarray(found)


def test_runs_of_equal_weights_give_equal_samples_and_classes_take_turns(pair: list[Path]) -> None:
    rows = comparison(*able(pair)).rows
    panels, left_out = samples.drawn(rows, opened())
    assert left_out == []
    assert [panel.label for panel in panels] == ["seed 0", "seed 1"]
    assert torch.equal(panels[0].samples, panels[1].samples)
    assert panels[0].samples.unique().numel() > 100
    (panel, _), _ = samples.drawn(rows, opened(classes=3))
    assert (panel.samples[:, 0, 0, 0] * 3).round().tolist() == [number % 3 for number in range(32)]


def test_a_model_that_cannot_be_opened_is_named_and_one_that_cannot_sample_left_out(tmp_path: Path) -> None:
    unable = make_run(tmp_path / "unable", abilities=["reconstruct"])
    gone = make_run(tmp_path / "gone", "seed=1", abilities=["sample"])
    panels, left_out = samples.drawn(comparison(unable, gone).rows, open_checkpoint)
    assert panels == []
    assert left_out == [f"There are no samples of gone: {gone} has no checkpoint yet."]


def test_the_picture_shows_each_image_below_the_label_of_its_run(tmp_path: Path) -> None:
    images = torch.linspace(0, 1, 32).view(32, 1, 1, 1).expand(32, 1, 60, 60)
    kind = Image(1, 60, 60)
    sheet = picture([samples.Panel("one", kind, images), samples.Panel("two", kind, 1 - images)], tmp_path)[:, :, 0]
    for number, image in enumerate(images):
        top, left = 16 + 20 + 2 + number // 8 * 62, 16 + 2 + number % 8 * 62
        grey = round(float(image[0, 0, 0]) * 255)
        assert (sheet[top : top + 60, left : left + 60] == grey).all()
        right = left + 8 * 62 + 2 + 16
        assert (sheet[top : top + 60, right : right + 60] == 255 - grey).all()


def test_points_of_all_runs_are_drawn_in_one_window(tmp_path: Path) -> None:
    kind = Points(2)
    near = torch.rand(200, 2)
    alone = picture([samples.Panel("near", kind, near)], tmp_path)
    beside = picture([samples.Panel("near", kind, near), samples.Panel("far", kind, near + 9)], tmp_path)
    heights = []
    for sheet in (alone, beside):
        rows, columns = np.nonzero((sheet[40:] < 200).all(2))
        heights.append(np.ptp(rows[columns < 270]))
    assert 0 < heights[1] < heights[0] / 4


def test_token_sequences_are_written_as_text(tmp_path: Path) -> None:
    kind = Tokens(("", "a", "b"), 3)
    files = samples.files([samples.Panel("beta 2", kind, torch.tensor([[1, 2, 0], [2, 2, 2]]))])
    assert set(files) == {"samples.txt"}
    with open(tmp_path / "samples.txt", "wb") as file:
        files["samples.txt"](file)
    assert (tmp_path / "samples.txt").read_text() == "beta 2:\nab\nbbb\n"


def test_trained_models_of_equal_weights_give_equal_samples(place: Path) -> None:
    for beta in ("1.0", "2.0"):
        run = Path(shutil.copytree(place / "outputs/mine", place / "sweep" / f"beta={beta}"))
        (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("beta: 1.0", f"beta: {beta}"))
    panels, _ = samples.drawn(comparison(place / "sweep").rows, partial(open_checkpoint))
    assert [panel.label for panel in panels] == ["beta 1.0", "beta 2.0"]
    assert torch.equal(panels[0].samples, panels[1].samples)
    assert panels[0].samples.shape == (32, 1, 8, 8)
