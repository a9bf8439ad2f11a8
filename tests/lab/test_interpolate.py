"""`genlab interpolate`: paths between pictures and samples."""

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
from genlab.kinds import Classes
from genlab.lab.flow import Flow, normalised
from genlab.lab.interpolate import between
from genlab.lab.prior import Mixture, SecondStage, second_stage_network
from genlab.training.interpolation import evenly, linear, spherical
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}
NO_PRIOR: dict[str, Any] = {"model.fitted_prior": []}
STRAIGHT: dict[str, Any] = {"model.network.hidden": [], "model.output_activation": "none", "model.latent_dim": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with models of digits, and a linear autoencoder of points."""
    folder = tmp_path_factory.mktemp("trained")
    for model, network in (("vae", "mlp"), ("gan", "mlp-small"), ("cgan", "mlp-small")):
        genlab.train(model, data="digits", run=folder / model, **SMALL | {"model/network": network})
    genlab.train("ae", data="digits", run=folder / "ae", **SMALL, **NO_PRIOR)
    genlab.train("ae", data="ring", run=folder / "line", **SMALL, **NO_PRIOR, **STRAIGHT)
    for number, brightness in enumerate((20, 120, 220)):
        Image.new("L", (8, 8), brightness).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def vae(trained: Path) -> genlab.Run:
    return genlab.load(trained / "vae")


def interpolate(folder: Path, *arguments: str) -> str:
    done = program(folder, "interpolate", *arguments, "--features", "random")
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(action: Callable[[], Any]) -> str:
    with pytest.raises(genlab.ConfigError) as caught:
        action()
    return str(caught.value)


def pictures(count: int) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(count))


def mixture() -> Mixture:
    """Return three narrow Gaussians in two dimensions, far from each other."""
    means = torch.tensor([[0.0, 0.0], [6.0, 1.0], [1.0, 8.0]], dtype=torch.float64)
    factors = torch.tensor([[[1.0, 0.0], [0.5, 0.7]], [[0.3, 0.0], [0.0, 1.2]], [[0.8, 0.0], [-0.6, 0.2]]]).double()
    return Mixture(torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64), means, factors)


def test_a_path_goes_through_all_pictures_and_its_ends_are_their_reconstructions(vae: genlab.Run) -> None:
    given = pictures(3)
    path = vae.interpolate(*given, steps=5)
    assert path.items.shape == (9, 1, 8, 8)
    assert path.positions.tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
    ends = path.positions == path.positions.round()
    assert torch.equal(path.codes[ends], vae.encode(given))
    assert torch.allclose(path.items[ends], vae.reconstruct(given), atol=1e-6)
    assert torch.equal(path.compared["cross-fade"][ends], given)
    assert torch.allclose(path.compared["cross-fade"][2], given[:2].mean(0), atol=1e-6)


def test_the_mode_follows_from_the_prior(trained: Path, vae: genlab.Run) -> None:
    given = pictures(2)
    codes = vae.encode(given)
    arc = spherical(codes[:1], codes[1:], evenly(12))[0]
    assert (vae.interpolate(given).mode, vae.interpolate(given, mode="linear").mode) == ("spherical", "linear")
    assert torch.equal(vae.interpolate(given).codes, arc)
    autoencoder = genlab.load(trained / "ae")
    assert autoencoder.interpolate(given).mode == "linear"
    assert list(autoencoder.interpolate(given).compared) == ["spherical", "cross-fade"]


@pytest.mark.parametrize("name", ["vae", "gan", "cgan"])
def test_the_ends_of_seeds_are_the_samples_of_these_seeds(trained: Path, tmp_path: Path, name: str) -> None:
    interpolate(trained, name, "--seeds", "1,7", "--format", "npz", "--out", str(tmp_path / "path"))
    frames = np.load(tmp_path / "path/frames.npz")["x"]
    for seed, frame in ((1, frames[0]), (7, frames[-1])):
        out = str(tmp_path / f"{seed}")
        arguments = ("--count", "1", "--seed", str(seed), "--format", "npz", "--out", out)
        assert program(trained, "sample", name, *arguments).returncode == 0
        sample = np.load(tmp_path / f"{seed}/samples.npz")["x"][0]
        assert np.abs(frame.astype(int) - sample.astype(int)).max() <= 1


def test_a_conditional_model_changes_the_class_halfway(trained: Path) -> None:
    run = genlab.load(trained / "cgan")
    path = run.interpolate(seeds=(1, 2), label=[3, 5], steps=6)
    assert path.condition["label"].tolist() == [3, 3, 3, 5, 5, 5]
    assert "The classes of the ends are 3, 5; the path changes the class halfway." in path.sentences
    assert run.interpolate(seeds=(1, 2), label=4).condition["label"].unique().tolist() == [4]
    assert "not conditional" in refused(lambda: genlab.load(trained / "gan").interpolate(seeds=(1, 2), label=4))


class ToldToy(Model):
    """A model of digits that is told a class, infers it from the brightness, and shows it in what it decodes."""

    def __init__(self) -> None:
        super().__init__()
        self.told, self.weight = {"label": Classes(("dark", "bright"))}, nn.Parameter(torch.zeros(1))

    def infer(self, batch: Batch) -> Batch:
        return {"label": self.classify(batch).argmax(1)}

    def classify(self, batch: Batch) -> Tensor:
        bright = batch["x"].flatten(1).mean(1) - 0.5
        return torch.stack([-bright, bright], 1).log_softmax(1)

    def encode(self, batch: Batch) -> Tensor:
        return batch["x"].flatten(1)[:, :2] + batch["label"][:, None]

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        assert condition
        return condition["label"].view(-1, 1, 1, 1).expand(-1, 1, 8, 8).float() + 0 * codes[:, :1, None, None]


def test_a_conditional_model_infers_the_class_of_pictures(vae: genlab.Run) -> None:
    vars(vae)["model"] = ToldToy()
    given = torch.stack([torch.full((1, 8, 8), 0.1), torch.full((1, 8, 8), 0.9)])
    path = vae.interpolate(given, steps=4)
    assert path.items[:, 0, 0, 0].tolist() == [0, 0, 1, 1]
    assert path.sentences == (
        "The classes of the ends are dark, bright, as the model infers; the path changes the class halfway.",
    )
    assert vae.interpolate(given, label="bright").items.unique().tolist() == [1]


def test_a_known_path_is_measured_in_closed_form(trained: Path) -> None:
    run = genlab.load(trained / "line")
    start, end = torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0])
    path = run.interpolate(start, end, mode="linear")
    for name in ("linear", "cross-fade"):
        assert path.metrics[name]["detour"] == pytest.approx(1, abs=1e-5)
        assert path.metrics[name]["largest step"] == pytest.approx(1, abs=1e-4)
    assert path.metrics["cross-fade"]["length"] == pytest.approx(5)


def test_the_flow_of_a_mixture_turns_its_codes_into_standard_normal_numbers_and_back() -> None:
    prior = mixture()
    flow = Flow(prior)
    codes = prior.draw(4000, torch.Generator().manual_seed(0))
    numbers = flow.numbers(codes)
    assert torch.allclose(numbers.mean(0), torch.zeros(2).double(), atol=0.06)
    assert torch.allclose(torch.cov(numbers.T), torch.eye(2).double(), atol=0.08)
    assert float(numbers.pow(4).mean()) == pytest.approx(3, abs=0.25)
    error = (flow.codes(numbers) - codes).abs()
    assert (float(error.mean()) < 1e-3, float(error.max()) < 0.2) == (True, True)


def test_the_flow_of_one_gaussian_is_its_whitening() -> None:
    means, factors = torch.tensor([[1.0, -2.0]]).double(), torch.tensor([[[2.0, 0.0], [1.0, 0.5]]]).double()
    codes = torch.tensor([[0.0, 0.0], [3.0, 1.0], [-4.0, -6.0]])
    numbers = Flow(Mixture(torch.ones(1).double(), means, factors)).numbers(codes)
    distances = torch.linalg.solve_triangular(factors[0], (codes - means).double().T, upper=False).T
    assert torch.allclose(numbers.norm(dim=1), distances.norm(dim=1), atol=1e-4)


def test_halfway_between_codes_of_a_mixture_lie_codes_of_the_mixture(vae: genlab.Run) -> None:
    prior = mixture()
    vars(vae)["fitted_prior"] = prior
    start, end = prior.draw(2000, torch.Generator().manual_seed(1)).chunk(2)
    half = between(vae, start, end, torch.tensor([0.5]), "spherical")[:, 0]
    straight = linear(start, end, torch.tensor([0.5]))[:, 0]
    usual = float(prior.nats(start).mean())
    assert float(prior.nats(half).mean()) == pytest.approx(usual, abs=0.25)
    assert float(prior.nats(straight).mean()) < usual - 5


@pytest.mark.parametrize("prior", [mixture(), "second stage"])
def test_ends_are_exact_with_a_fitted_prior_too(vae: genlab.Run, prior: Mixture | str) -> None:
    if isinstance(prior, str):
        torch.manual_seed(0)
        network = second_stage_network(2, [4]).double().eval().requires_grad_(False)
        stage = SecondStage(torch.ones(2).double(), torch.full((2,), 3.0).double(), network, (4,))
        codes = torch.randn(5, 2)
        assert torch.allclose(normalised(stage).codes(normalised(stage).numbers(codes)), codes, atol=1e-5)
    vars(vae)["fitted_prior"] = stage if isinstance(prior, str) else prior
    start, end = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(3))
    path = between(vae, start, end, evenly(5), "spherical")
    assert torch.equal(path[:, 0], start)
    assert torch.equal(path[:, -1], end)


def test_the_strip_the_animation_and_the_frames_are_written_the_same_each_time(trained: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        printed = interpolate(
            trained, "vae", "0.png", "1.png", "2.png", "--format", "npz", "--out", str(tmp_path / out)
        )
        assert "Images" not in printed
    files = sorted((tmp_path / "one").iterdir())
    assert [file.name for file in files] == ["frames.npz", "interpolation.gif", "interpolation.png"]
    assert all(file.read_bytes() == (tmp_path / "two" / file.name).read_bytes() for file in files)
    arrays = np.load(files[0])
    assert arrays["x"].shape == (23, 1, 8, 8)
    assert arrays["codes"].shape == (23, 20)
    with Image.open(files[1]) as animation:
        # Pillow joins frames that are equal.
        assert 30 < getattr(animation, "n_frames", 1) <= 44


def test_without_pictures_the_seed_selects_the_ends(vae: genlab.Run) -> None:
    first, second = vae.interpolate(seed=0).items, vae.interpolate(seed=1).items
    assert not torch.equal(first[0], second[0])


def test_points_are_drawn_beside_the_data(trained: Path, tmp_path: Path) -> None:
    done = program(trained, "interpolate", "line", "--out", str(tmp_path))
    assert "Features: coordinates." in done.stdout
    with Image.open(tmp_path / "interpolation.png") as picture:
        # One panel for the data and one for each of three paths.
        assert picture.width == 4 * 250


def test_mistakes_are_answered_by_sentences(trained: Path, vae: genlab.Run) -> None:
    one = pictures(1)[0]
    assert refused(lambda: vae.interpolate(one, one)) == "Images 1 and 2 are equal, so there is no path between them."
    assert refused(lambda: vae.interpolate(seeds=(3, 3))).startswith("Seeds 1 and 2 are equal")
    assert refused(lambda: vae.interpolate(one)) == "A path needs at least two images, got 1."
    assert refused(lambda: vae.interpolate(pictures(21))) == "A path goes through at most 20 images, got 21."
    assert refused(lambda: vae.interpolate(one, seeds=(1, 2))) == "Pass pictures or seeds, not both."
    assert refused(lambda: vae.interpolate(steps=2)) == "steps must be at least 3, got 2."
    assert "mode must be one of linear, spherical" in refused(lambda: vae.interpolate(mode="round"))  # type: ignore[arg-type]
    gan, autoencoder = genlab.load(trained / "gan"), genlab.load(trained / "ae")
    assert "cannot encode images, so it finds no path between them. Interpolate between samples" in refused(
        lambda: gan.interpolate(pictures(2))
    )
    assert "--seeds 1,2" in refused(gan.interpolate)
    assert "its codes have no known distribution" in refused(lambda: autoencoder.interpolate(seeds=(1, 2)))
    assert_refused(
        program(trained, "interpolate", "vae", "--seeds", "1,x"), "Seeds must be integers such as 1,2, got '1,x'."
    )
    assert_refused(program(trained, "interpolate", "vae", "0.png", "0.png"), "are equal")
    assert_refused(program(trained, "interpolate", "vae", "0.png", "1.png", "--seeds", "1,2"), "not both")


def test_a_bad_file_in_a_chain_stops_it_because_the_path_would_be_another_one(trained: Path, tmp_path: Path) -> None:
    (trained / "bad.png").write_bytes(b"no picture")
    arguments = ("0.png", "bad.png", "2.png", "--features", "random", "--out", str(tmp_path / "out"))
    assert_refused(program(trained, "interpolate", "vae", *arguments), "bad.png cannot be read")
    assert not (tmp_path / "out").exists()
