"""`genlab traverse`: units of a code, varied one at a time."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import genlab
from genlab.contract import Batch, Model
from genlab.data.dataset import Dataset, attribute
from genlab.lab.prior import Mixture
from genlab.lab.traverse import Unit, moments
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program
from tests.fixtures.toys import toy_splits

SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}
NO_PRIOR: dict[str, Any] = {"model.fitted_prior": []}
STRAIGHT: dict[str, Any] = {"model.network.hidden": [], "model.output_activation": "none", "model.latent_dim": 3}
FACES: dict[str, Any] = {
    "data.size": 16,
    "data.count": 60,
    "data.validation": 16,
    "data.test": 16,
    "model.network.hidden": [8],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with models of digits and faces, and a linear autoencoder of points."""
    folder = tmp_path_factory.mktemp("trained")
    for model, network in (("vae", "mlp"), ("ae", "mlp"), ("gan", "mlp-small"), ("cgan", "mlp-small")):
        genlab.train(model, data="digits", run=folder / model, **SMALL | {"model/network": network})
    genlab.train("vae", data="faces", run=folder / "faces", **SMALL | FACES)
    genlab.train("ae", data="ring", run=folder / "line", **SMALL, **NO_PRIOR, **STRAIGHT)
    return folder


def refused(action: Callable[[], Any]) -> str:
    with pytest.raises(genlab.ConfigError) as caught:
        action()
    return str(caught.value)


class Planted(Model):
    """A model of points: units 0 and 2 are the coordinates, and unit 1 looks like noise and varies least."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def encode(self, batch: Batch) -> Tensor:
        first, second = batch["x"].T
        return torch.stack([2 * first, 0.1 * (1000 * first).sin(), second], 1)

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        return torch.stack([codes[:, 0] / 2, codes[:, 2]], 1)


class PlantedVae(Planted):
    """The same with a posterior, in which unit 1 has the largest KL because its variance is smallest."""

    continuous = True

    def score(self, batch: Batch) -> Tensor:
        return batch["x"].sum(1)

    def nats(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return batch["x"].sum(1), batch["x"].sum(1)

    def log_prior(self, codes: Tensor) -> Tensor:
        return codes.sum(2)

    def log_likelihood(self, codes: Tensor, batch: Batch) -> Tensor:
        return codes.sum(2)

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        mean = self.encode(batch)
        return mean, torch.tensor([0.0, -20.0, 0.0]).expand_as(mean)


def planted(run: genlab.Run, model: type[Planted]) -> tuple[genlab.Run, Tensor]:
    """Return the run with points whose coordinates are two known factors, and its test points."""
    draws = torch.Generator().manual_seed(0)
    points = torch.randn(10000, 2, generator=draws)
    factors = {
        "size": attribute(points[:, 0].exp()),
        "colour": attribute((points[:, 1] > 0.3).long(), ("red", "blue")),
        "noise": attribute(torch.randn(10000, generator=draws)),
        "constant": attribute(torch.ones(10000)),
    }
    data = Dataset.of_points(points, toy_splits(10000))
    data = Dataset({**data.columns, **factors}, data.splits)
    vars(run).update(dataset=data, model=model())
    return run, points[data.splits["test"]]


def test_a_unit_of_a_linear_decoder_moves_along_its_column(trained: Path) -> None:
    run = genlab.load(trained / "line")
    found = run.traverse(torch.tensor([0.3, -0.2]), units=3, steps=5, reach=2)
    layer = dict(run.model.named_modules())["decoder.0.0"]
    assert isinstance(layer, nn.Linear)
    codes = run.encode(run_items(run))
    start = run.reconstruct(torch.tensor([0.3, -0.2]))[0]
    assert torch.allclose(found.start[1], start)
    for row, unit in enumerate(found.units):
        column = layer.weight[:, unit.number]
        for step in range(5):
            expected = start + (found.values[row, step] - found.code[unit.number]) * column
            assert torch.allclose(found.items[row, step], expected, atol=1e-5)
        mean, std = codes[:, unit.number].mean(), codes[:, unit.number].std()
        assert torch.allclose(found.values[row], mean + std * torch.linspace(-2, 2, 5), atol=1e-4)


def run_items(run: genlab.Run) -> Tensor:
    """Return the test items whose codes are measured: all of them, if there are few."""
    rows = run.dataset.splits["test"]
    assert len(rows) <= 2000
    return run.dataset.columns["x"].rows[rows]


def test_units_are_ordered_by_the_variance_of_the_codes(trained: Path) -> None:
    run, points = planted(genlab.load(trained / "line"), Planted)
    found = run.traverse(points[0], units=2)
    assert [unit.number for unit in found.units] == [0, 2]
    assert found.units[0].metrics["variance"] == pytest.approx(float(4 * points[:, 0].var()), rel=1e-5)


def test_units_are_ordered_by_kl_if_there_is_a_posterior(trained: Path) -> None:
    run, points = planted(genlab.load(trained / "line"), PlantedVae)
    found = run.traverse(points[0])
    assert [unit.number for unit in found.units] == [1, 0, 2]
    # Both have the variance of the prior: the KL is half the mean square.
    assert found.units[1].metrics["KL"] == pytest.approx(float((2 * points[:, 0]).square().mean() / 2), rel=1e-5)
    assert found.units[0].caption.startswith("unit 1: KL 9.5 nats")


def test_each_unit_follows_the_factor_that_was_planted_in_it(trained: Path) -> None:
    run, points = planted(genlab.load(trained / "line"), Planted)
    units = {unit.number: unit for unit in run.traverse(points[0]).units}
    assert units[0].follows is not None
    assert units[2].follows is not None
    assert (units[0].follows[0], units[1].follows, units[2].follows[0]) == ("size", None, "colour")
    assert units[2].follows[1] > 0.8
    assert "follows colour" in units[2].caption
    assert "constant" not in units[0].factors


def test_without_attributes_no_unit_follows_anything() -> None:
    assert Unit(3, {"variance": 0.5}, {}).follows is None
    assert Unit(3, {"variance": 0.5}, {}).caption == "unit 3: variance 0.5"


def test_the_range_is_that_of_the_prior(trained: Path) -> None:
    run = genlab.load(trained / "vae")
    assert torch.allclose(run.traverse(reach=1.5, steps=3).values, torch.tensor([-1.5, 0, 1.5]).expand(8, 3))
    weights = torch.tensor([0.25, 0.75]).double()
    means = torch.arange(40).view(2, 20).double()
    factors = torch.eye(20).double() * torch.tensor([1.0, 2.0]).double().view(2, 1, 1)
    prior = Mixture(weights, means, factors)
    vars(run)["fitted_prior"] = prior
    # Within both Gaussians 0.25 * 1 + 0.75 * 4, between them 0.25 * 0.75 * 20^2.
    mean, std = moments(prior)
    assert torch.allclose(std, torch.full((20,), 78.25).double().sqrt())
    found = run.traverse(reach=1, steps=3)
    numbers = [unit.number for unit in found.units]
    assert torch.allclose(found.values[:, 1], mean[numbers].float())
    assert torch.equal(run.traverse(prior="normal").values[0], torch.linspace(-2.5, 2.5, 9))


@pytest.mark.parametrize("name", ["gan", "cgan"])
def test_a_gan_varies_a_drawn_code_and_orders_by_the_change(trained: Path, name: str) -> None:
    run = genlab.load(trained / name)
    found = run.traverse(units=3, seed=4)
    codes, _ = run.draw(1, seed=4)
    assert torch.equal(found.code, codes[0])
    change = [unit.metrics["change"] for unit in found.units]
    assert change == sorted(change, reverse=True)
    ends = found.items[:, -1] - found.items[:, 0]
    assert change == pytest.approx(ends.square().flatten(1).mean(1).sqrt().tolist(), rel=1e-4)
    assert "cannot encode images. Leave out the item" in refused(lambda: run.traverse(torch.rand(1, 1, 8, 8)))


def test_the_sheet_the_animation_and_the_table_are_the_same_each_time(trained: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        done = program(trained, "traverse", "faces", "--units", "4", "--format", "npz", "--out", str(tmp_path / out))
        assert done.returncode == 0, done.stderr
        assert "follows" in done.stdout
    files = sorted((tmp_path / "one").iterdir())
    assert [file.name for file in files] == ["traversal.gif", "traversal.npz", "traversal.png", "units.csv"]
    assert all(file.read_bytes() == (tmp_path / "two" / file.name).read_bytes() for file in files)
    arrays = np.load(files[1])
    assert arrays["x"].shape == (36, 3, 16, 16)
    assert arrays["value"].shape == (4, 9)
    with (tmp_path / "one/units.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["unit"]) for row in rows] == arrays["unit"].tolist()
    assert {"KL", "variance", "smile", "hat"} <= rows[0].keys()


def test_a_picture_of_the_user_is_varied(trained: Path, tmp_path: Path) -> None:
    Image.new("L", (8, 8), 90).save(tmp_path / "grey.png")
    done = program(trained, "traverse", "vae", str(tmp_path / "grey.png"), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    run = genlab.load(trained / "vae")
    assert torch.allclose(run.traverse(tmp_path / "grey.png").code, run.encode(tmp_path / "grey.png")[0])


def test_mistakes_are_answered_by_sentences(trained: Path) -> None:
    run = genlab.load(trained / "vae")
    assert refused(lambda: run.traverse(units=0)) == "units must be at least 1, got 0."
    assert refused(lambda: run.traverse(steps=1)) == "steps must be at least 2, got 1."
    assert refused(lambda: run.traverse(reach=0)) == "reach must be a number above 0, got 0."
    assert refused(lambda: run.traverse(torch.rand(2, 1, 8, 8))) == "Pass one item to traverse, got 2."
    assert "not conditional" in refused(lambda: run.traverse(label=3))
    assert_refused(program(trained, "traverse", "vae", "nowhere.png"), "nowhere.png")
