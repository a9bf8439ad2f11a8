"""`genlab fit-prior`: densities, draws and the choice of a prior are right, and only a good file is used."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

import genlab
from genlab.lab import fit_prior as fitting
from genlab.lab.fit_prior import Codes, fitted_mixture, fitted_second_stage
from genlab.lab.prior import FILE, Mixture, SecondStage, fitted_prior, keep, second_stage_network
from genlab.lab.results import Results
from genlab.registry import ConfigError
from genlab.training import checkpoint
from genlab.training.console import Console
from tests.fixtures import tiny
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True}
NO_PRIOR: dict[str, Any] = {"model.fitted_prior": []}
HIDDEN: dict[str, Any] = {"model.network.hidden": [8]}
NARROW: dict[str, Any] = {"model/network": "mlp-small"}
UNBOUNDED: dict[str, Any] = {"model.output_activation": "none"}
DIGEST, OTHER = "0123456789abcdef", "fedcba9876543210"
MODEL = tiny.tiny_vae(latent_dim=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a VAE and an autoencoder of digits, an autoencoder of points, and a GAN."""
    folder = tmp_path_factory.mktemp("trained")
    genlab.train("vae", data="digits", run=folder / "vae", **SMALL, **HIDDEN)
    genlab.train("ae", data="digits", run=folder / "ae", **SMALL, **NO_PRIOR, **HIDDEN)
    genlab.train("ae", data="gaussian", run=folder / "points", **SMALL, **NO_PRIOR, **UNBOUNDED)
    genlab.train("gan", data="gaussian", run=folder / "gan", **SMALL)
    genlab.train("cgan", data="digits", run=folder / "cgan", **SMALL, **NARROW)
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies a run, so that a test may write into it."""
    return lambda name: Path(shutil.copytree(trained / name, tmp_path / "runs" / name))


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixture() -> Mixture:
    """Make a mixture of two Gaussians in the plane, far apart and of different shapes."""
    factors = torch.tensor([[[1.0, 0.0], [0.5, 0.2]], [[0.3, 0.0], [-0.6, 1.5]]]).double()
    return Mixture(torch.tensor([0.3, 0.7]).double(), torch.tensor([[-2.0, 1.0], [4.0, 0.0]]).double(), factors)


def moons(count: int, seed: int = 0) -> Tensor:
    """Draw codes from three narrow Gaussians on a triangle."""
    centres = torch.tensor([[0.0, 0.0], [6.0, 0.0], [3.0, 6.0]]).double()
    noise = torch.randn(count, 2, generator=draws(seed)).double()
    return centres[torch.arange(count) % 3] + 0.5 * noise


def ring(count: int, seed: int) -> Tensor:
    angles = 2 * math.pi * torch.rand(count, generator=draws(seed)).double()
    radii = 5 + 0.2 * torch.randn(count, generator=draws(seed + 1)).double()
    return torch.stack([radii * angles.cos(), radii * angles.sin()], 1)


def second_stage() -> SecondStage:
    torch.manual_seed(1)
    network = second_stage_network(2, [5, 3]).double().eval().requires_grad_(False)
    return SecondStage(torch.tensor([1.0, 2.0]).double(), torch.tensor([0.1, 3.0]).double(), network, (5, 3))


def refused(action: Callable[[], Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        action()
    return str(caught.value)


def test_draws_of_a_mixture_have_its_mean_and_its_covariance() -> None:
    prior = mixture()
    found = prior.draw(200_000, draws()).double()
    covariances = prior.factors @ prior.factors.mT
    offsets = prior.means - prior.mean
    # The law of total variance: the mean of the covariances plus the covariance of the means.
    expected = (prior.weights[:, None, None] * (covariances + offsets[:, :, None] * offsets[:, None])).sum(0)
    assert torch.allclose(prior.mean, torch.tensor([2.2, 0.3]).double())
    assert torch.allclose(found.mean(0), prior.mean, atol=0.02)
    assert torch.allclose(found.T.cov(), expected, rtol=0.02, atol=0.02)


def test_the_density_is_that_of_scikit_learn() -> None:
    prior, codes = mixture(), moons(50)
    covariances = prior.factors @ prior.factors.mT
    theirs = GaussianMixture(2)
    theirs.weights_, theirs.means_ = prior.weights.numpy(), prior.means.numpy()
    theirs.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(covariances.numpy()))
    assert np.allclose(prior.nats(codes).numpy(), theirs.score_samples(codes.numpy()))


def test_a_fitted_mixture_finds_the_gaussians_whatever_the_scale_of_the_codes() -> None:
    codes = moons(3000)
    for scale in (1.0, 1e-4, 1e5):
        found = fitted_mixture(scale * codes, 3, seed=0)
        order = found.means[:, 0].argsort()
        centres = torch.tensor([[0.0, 0.0], [3.0, 6.0], [6.0, 0.0]]).double()
        assert torch.allclose(found.means[order] / scale, centres, atol=0.06)
        assert torch.allclose(found.weights, torch.full((3,), 1 / 3).double(), atol=0.01)
        stds = (found.factors @ found.factors.mT).diagonal(dim1=1, dim2=2).sqrt() / scale
        assert torch.allclose(stds, torch.full((3, 2), 0.5).double(), atol=0.03)


def test_codes_that_repeat_or_have_an_unused_number_are_fitted() -> None:
    unused = torch.cat([moons(300), torch.full((300, 1), 7.0)], 1)
    found = fitted_mixture(unused, 3, seed=0)
    assert torch.allclose(found.draw(100, draws())[:, 2], torch.full((100,), 7.0), atol=1e-3)
    for same in (torch.zeros(40, 2).double(), moons(3).repeat(20, 1)):
        drawn = fitted_mixture(same, 5, seed=0).draw(50, draws())
        nearest = torch.cdist(drawn.double(), same).min(1).values
        assert float(nearest.max()) < 0.1


@pytest.mark.parametrize("prior", [mixture(), second_stage()], ids=["mixture", "second stage"])
def test_draws_in_parts_are_the_draws_at_once(prior: Mixture | SecondStage) -> None:
    at_once, one = prior.draw(1000, draws(3)), draws(3)
    for parts in ((1, 999), (1000,), (37, 400, 563)):
        one = draws(3)
        assert torch.equal(torch.cat([prior.draw(count, one) for count in parts]), at_once)
    assert at_once.dtype == torch.float32


def test_many_long_codes_are_drawn_in_parts_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mixture().draw(100, draws())
    monkeypatch.setattr("genlab.lab.prior._NUMBERS", 12)
    assert torch.equal(mixture().draw(100, draws()), whole)


def test_a_conditional_model_has_gaussians_of_its_own_for_each_class(tmp_path: Path) -> None:
    seen, held = moons(600, 1), moons(300, 2)
    label = {"label": torch.arange(600) % 3}
    codes = Codes(seen, held, label, {"label": torch.arange(300) % 3})
    found = fitting._mixtures(codes, [1, 7], 0, [])["7 Gaussians"]
    prior = found.prior
    assert isinstance(prior, Mixture)
    assert prior.classes is not None
    assert prior.classes.tolist() == [0, 0, 1, 1, 2, 2]
    assert prior.describe() == "a mixture of 6 Gaussians for 3 classes"
    centres = torch.tensor([[0.0, 0.0], [6.0, 0.0], [3.0, 6.0]])
    wanted = torch.tensor([2, 0, 1, 1, 0, 2]).repeat(20)
    drawn = prior.draw(120, draws(), wanted)
    assert torch.equal(torch.cdist(drawn, centres).argmin(1), wanted)
    assert torch.equal(
        torch.cat([prior.draw(50, one := draws(), wanted[:50]), prior.draw(70, one, wanted[50:])]), drawn
    )
    own = fitted_mixture(seen[label["label"] == 1], 2, 0)
    assert torch.allclose(prior.nats(held, torch.ones(300).long()), own.nats(held))
    assert found.held_out == pytest.approx(float(prior.nats(held, torch.arange(300) % 3).mean()))
    # A class that no code had draws from all Gaussians.
    assert prior.draw(5, draws(), torch.full((5,), 7)).isfinite().all()
    keep(tmp_path, "0" * 16, prior, {})
    again = fitted_prior(tmp_path, "0" * 16, tiny.denoiser())
    assert isinstance(again, Mixture)
    assert again.classes is not None
    assert torch.equal(again.classes, prior.classes)


def test_held_out_codes_choose_the_number_of_gaussians() -> None:
    notes = list[str]()
    codes = Codes(moons(60, 1), moons(600, 2), {}, {})
    found = fitting._mixtures(codes, [1, 3, 20, 100], 0, notes)
    assert list(found) == ["1 Gaussian", "3 Gaussians", "20 Gaussians"]
    assert notes == ["There are 60 codes, so mixtures of more Gaussians were left out."]
    assert max(found, key=lambda name: found[name].held_out) == "3 Gaussians"
    # More Gaussians fit the codes that they have seen ever better.
    seen = [found[name].seen for name in found]
    assert seen == sorted(seen)
    # The density of the true mixture: the entropy of a Gaussian in the plane with a std of 0.5, and that of the choice.
    truth = -(1 + math.log(2 * math.pi * 0.25)) - math.log(3)
    assert found["3 Gaussians"].held_out == pytest.approx(truth, abs=0.3)


def test_a_second_stage_learns_a_ring_that_no_gaussian_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = Codes(ring(1000, 1), ring(300, 3), {}, {})
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    monkeypatch.setattr(fitting, "_STEPS", 300)
    prior = fitted_second_stage(codes, 0, Console())
    assert torch.equal(torch.rand(3), expected)
    gaussian = fitted_mixture(codes.seen, 1, 0)
    assert fitting._second_stage_nats(prior, codes.held_out, 0) > float(gaussian.nats(codes.held_out).mean()) + 0.3

    def off(drawn: Tensor) -> float:
        return float((drawn.norm(dim=1) - 5).abs().mean())

    assert off(prior.draw(2000, draws())) < 0.75 * off(gaussian.draw(2000, draws()))


@pytest.mark.parametrize("prior", [mixture(), second_stage()], ids=["mixture", "second stage"])
def test_a_file_gives_back_the_prior(prior: Mixture | SecondStage, tmp_path: Path) -> None:
    assert fitted_prior(tmp_path, DIGEST, MODEL) is None
    path = keep(tmp_path, DIGEST, prior, {"seed": 3})
    again = fitted_prior(tmp_path, DIGEST, MODEL)
    assert again
    assert again.describe() == prior.describe()
    assert torch.equal(again.mean, prior.mean)
    assert torch.equal(again.draw(100, draws()), prior.draw(100, draws()))
    _, facts = checkpoint.unpacked(path.read_bytes())
    assert (facts["seed"], facts["checkpoint"]) == (3, DIGEST)
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_a_prior_of_another_checkpoint_is_refused_with_both_hashes(tmp_path: Path) -> None:
    keep(tmp_path, DIGEST, mixture(), {})
    sentence = refused(lambda: fitted_prior(tmp_path, OTHER, MODEL))
    assert (
        f"was fitted to checkpoint {DIGEST}, and this is checkpoint {OTHER}. Fit it again: genlab fit-prior" in sentence
    )
    assert sentence.endswith("(or use the model's own prior: --prior normal)")
    assert "--prior normal" not in refused(lambda: fitted_prior(tmp_path, OTHER, tiny.denoiser()))


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    data = keep(tmp_path, DIGEST, mixture(), {}).read_bytes()
    middle = len(data) - 20
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    renamed = data.replace(DIGEST.encode(), OTHER.encode())
    for wrong in (b"", b"\x80\x04.", data[:-8], data[:30], flipped, renamed, b"\xff" * 200):
        (tmp_path / FILE).write_bytes(wrong)
        assert "is damaged" in refused(lambda: fitted_prior(tmp_path, DIGEST, MODEL))
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    assert "is damaged: it is not a file" in refused(lambda: fitted_prior(tmp_path, DIGEST, MODEL))


def crafted(
    folder: Path, prior: Mixture | SecondStage, change: Callable[[dict[str, Tensor], dict[str, Any]], Any]
) -> None:
    """Write a file whose contents were changed and whose hash fits them."""
    from genlab.lab.prior import _contents_digest

    tensors, facts = checkpoint.unpacked(keep(folder, DIGEST, prior, {}).read_bytes())
    del facts["contents"]
    change(tensors, facts)
    facts["contents"] = _contents_digest(tensors, facts)
    (folder / FILE).write_bytes(checkpoint.packed(tensors, facts))


Change = Callable[[dict[str, Tensor], dict[str, Any]], Any]
CRAFTED: dict[str, tuple[Mixture | SecondStage, Change]] = {
    "it lacks 'weights'": (mixture(), lambda tensors, _: tensors.pop("weights")),
    "it holds 'odd'": (mixture(), lambda tensors, _: tensors.update(odd=torch.zeros(1))),
    "'factors' is (2, 2) of": (mixture(), lambda tensors, _: tensors.update(factors=torch.eye(2).double())),
    "'means' is (2, 2) of torch.float32": (mixture(), lambda tensors, _: tensors.update(means=torch.zeros(2, 2))),
    "'factors' is (2, 2, 2) of": (mixture(), lambda tensors, _: tensors.update(means=torch.zeros(2).double())),
    "not finite": (mixture(), lambda tensors, _: tensors["means"].fill_(math.nan)),
    "do not add up to 1": (mixture(), lambda tensors, _: tensors["weights"].mul_(2)),
    "no Cholesky factors": (mixture(), lambda tensors, _: tensors["factors"].neg_()),
    "holds no prior": (mixture(), lambda _, facts: facts.update(prior="flow")),
    "has format 2": (mixture(), lambda _, facts: facts.update(format=2)),
    "does not name its checkpoint": (mixture(), lambda _, facts: facts.update(checkpoint="\x1b[2J")),
    "the sizes of its network": (second_stage(), lambda _, facts: facts.update(hidden=[10**12])),
    "the sizes of its network are": (second_stage(), lambda _, facts: facts.update(hidden="5")),
    "'network/decoder.0.bias' is (3,) of": (second_stage(), lambda _, facts: facts.update(hidden=[9000, 9000])),
    "its scales": (second_stage(), lambda tensors, _: tensors["scale"].zero_()),
}


@pytest.mark.parametrize(
    ("sentence", "prior", "change"), [(key, *value) for key, value in CRAFTED.items()], ids=CRAFTED
)
def test_a_crafted_file_is_refused(tmp_path: Path, sentence: str, prior: Mixture | SecondStage, change: Change) -> None:
    crafted(tmp_path, prior, change)
    found = refused(lambda: fitted_prior(tmp_path, DIGEST, MODEL))
    assert "is damaged: " in found
    assert sentence in found


def test_a_prior_for_longer_codes_is_refused(tmp_path: Path) -> None:
    keep(tmp_path, DIGEST, mixture(), {})
    sentence = refused(lambda: fitted_prior(tmp_path, DIGEST, tiny.tiny_vae(latent_dim=3)))
    assert "its codes have 2 numbers, and those of the model have 3" in sentence


def test_an_autoencoder_samples_after_a_fit_and_not_before(copied: Callable[[str], Path]) -> None:
    run = genlab.load(copied("ae"))
    assert refused(run.sample) == (
        f"ae-digits cannot sample: its codes have no known distribution. Fit one: genlab fit-prior {run.path}"
    )
    found = run.fit_prior([2], count=0)
    samples = run.sample(9, seed=4)
    assert samples.shape == (9, 1, 8, 8)
    assert torch.equal(genlab.load(run.path).sample(20, seed=4)[:9], samples)
    assert not torch.equal(run.sample(9, seed=5), samples)
    assert torch.allclose(
        run.sample(9, seed=4, truncation=1e-6), run.decode(found.prior.mean).expand(9, -1, -1, -1), atol=1e-4
    )
    assert "cannot sample with prior 'normal'" in refused(lambda: run.sample(9, prior="normal"))
    assert list(found.metrics) == ["1 Gaussian", "2 Gaussians"]
    assert list(found.samples) == list(dict.fromkeys(["1 Gaussian", found.chosen, "training codes"]))


def test_the_same_seed_gives_the_same_file(copied: Callable[[str], Path]) -> None:
    run = genlab.load(copied("ae"))
    first = run.fit_prior([2], count=0, seed=1)
    data = first.path.read_bytes()
    again = run.fit_prior([2], count=0, seed=1)
    assert first.path.read_bytes() == data
    assert any("Wrote" in note for note in first.notes)
    assert any("Replaced" in note for note in again.notes)
    run.fit_prior([2], count=0, seed=2)
    assert first.path.read_bytes() != data


def test_a_vae_keeps_its_own_prior_beside_the_fitted_one(copied: Callable[[str], Path]) -> None:
    run = genlab.load(copied("vae"))
    before = run.sample(5)
    found = run.fit_prior([2], count=0)
    assert torch.equal(run.sample(5, prior="normal"), before)
    assert not torch.equal(run.sample(5), before)
    assert torch.equal(run.sample(5), run.sample(5, prior="fitted"))
    assert torch.equal(found.samples["own prior"][:5], before)
    assert torch.equal(found.samples[found.chosen][:5], run.sample(5))
    codes = run.encode(run.dataset.columns["x"].rows[run.dataset.splits["validation"]])
    nats = -0.5 * (codes.square() + math.log(2 * math.pi)).sum(1).mean()
    assert found.metrics["own prior"]["held-out nats"] == pytest.approx(float(nats), rel=1e-5)


def test_a_run_that_has_gone_on_refuses_the_old_prior_until_it_is_fitted_again(copied: Callable[[str], Path]) -> None:
    path = copied("vae")
    genlab.load(path).fit_prior([2], count=0)
    assert program(path.parent, "resume", str(path), "trainer.steps=3").returncode == 0
    run = genlab.load(path)
    assert "was fitted to checkpoint" in refused(run.sample)
    assert run.sample(2, prior="normal").shape == (2, 1, 8, 8)
    run.fit_prior([2], count=0)
    assert run.sample(2).shape == (2, 1, 8, 8)


def test_samples_are_compared_with_test_items(copied: Callable[[str], Path], tmp_path: Path) -> None:
    run = genlab.load(copied("points"))
    found = run.fit_prior([2], count=200)
    assert set(found.metrics) == {"1 Gaussian", "2 Gaussians", "training codes"}
    assert found.metrics[found.chosen]["FD-coordinates"] >= 0
    found.write(Results(tmp_path / "out"))
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["prior.csv", "prior.png"]
    assert "held-out nats" in (tmp_path / "out/prior.csv").read_text()


def test_a_conditional_model_draws_the_classes_that_are_not_given(trained: Path) -> None:
    run = genlab.load(trained / "cgan")
    size = int(getattr(run.model, "latent_dim"))  # noqa: B009
    identity = torch.eye(size).double()[None]
    run.fitted_prior = Mixture(torch.ones(1).double(), torch.zeros(1, size).double(), identity)
    codes, condition = run.draw(500, seed=2)
    assert condition["label"].bincount(minlength=10).min() > 25
    fewer, first = run.draw(20, seed=2)
    assert torch.equal(fewer, codes[:20])
    assert torch.equal(first["label"], condition["label"][:20])
    same, given = run.draw(20, seed=2, label=3)
    assert torch.equal(same, fewer)
    assert given["label"].tolist() == [3] * 20


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"components": [0]}, "components must be at least 1, got 0."),
        ({"components": ["ten"]}, "components must be an integer, got 'ten'."),
        ({"components": "10"}, "components must be a list of integers, such as [10, 50], got '10'."),
        ({"count": 1}, "count must be 0 or at least 2, got 1"),
        ({"count": -1}, "count must be at least 0, got -1."),
        ({"seed": 0.5}, "seed must be an integer, got 0.5."),
    ],
)
def test_wrong_arguments_are_refused_by_name(trained: Path, arguments: dict[str, Any], sentence: str) -> None:
    run = genlab.load(trained / "points")
    assert sentence in refused(lambda: run.fit_prior(**arguments))
    assert not (run.path / FILE).exists()


def test_a_model_without_codes_is_refused(trained: Path) -> None:
    sentence = refused(genlab.load(trained / "gan").fit_prior)
    assert "(gan-gaussian) cannot encode; it can" in sentence
    assert "A prior is fitted to codes, so the model must encode and decode." in sentence


def test_the_command_fits_prints_and_writes(copied: Callable[[str], Path], tmp_path: Path) -> None:
    path = str(copied("points"))
    assert_refused(program(tmp_path, "sample", path), "cannot sample: its codes have no known distribution")
    done = program(tmp_path, "fit-prior", path, "--components", "2,3", "--count", "100", "--out", "out")
    assert done.returncode == 0, done.stderr
    for part in (
        "held-out nats",
        "FD-coordinates",
        "training codes",
        "Gaussian",
        f"Wrote {path}/{FILE}",
        "prior.png, prior.csv",
    ):
        assert part in done.stdout
    assert program(tmp_path, "sample", path, "--out", "samples").returncode == 0
    assert_refused(program(tmp_path, "fit-prior", path, "--components", "2,x"), "must be integers with commas")


def test_a_second_stage_is_a_prior_like_any_other(
    copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "_STEPS", 20)
    run = genlab.load(copied("ae"))
    found = run.fit_prior(second_stage=True, count=0)
    assert found.chosen == "second-stage VAE"
    # Twenty steps are too few.
    assert found.notes[0].startswith("One Gaussian explains the held-out codes better than the second stage")
    assert json.dumps(found.metrics)
    assert torch.equal(genlab.load(run.path).sample(5), run.sample(5))
