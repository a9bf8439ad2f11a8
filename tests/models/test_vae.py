"""The settings of a VAE: against closed forms, brute force over a fine grid, and numbers computed by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, distributions

from genlab.contract import Batch, Infers, abilities_of
from genlab.data.dataset import Dataset
from genlab.evaluation import parts
from genlab.evaluation.bench import Bench, EvaluationSettings
from genlab.kinds import Classes, Image, MissingColumnError, Points
from genlab.metrics.likelihood import bounds
from genlab.models.losses.bounds import kl_by_unit, log_aggregate, log_normal, total_correlation
from genlab.models.vae import VAE, log_standard_normal
from genlab.networks.mlp import Mlp
from genlab.registry import ConfigError
from tests.fixtures.tiny import TINY

THREE = Classes(("a", "b", "c"))


def tiny(**settings: Any) -> VAE:
    """Build a VAE with one unit, whose posterior is far from its prior."""
    torch.manual_seed(5)
    model = VAE(**{"x": TINY, "network": Mlp(hidden=[3], activation="tanh"), "latent_dim": 1, **settings})
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(2)
    return model


def conditional(**settings: Any) -> VAE:
    return tiny(label=THREE, condition="label", **settings)


def some(count: int = 4, repeat: int = 1) -> Batch:
    images = torch.rand(count, *TINY.shape, generator=torch.Generator().manual_seed(1))
    return {"x": images.repeat_interleave(repeat, 0), "label": (torch.arange(count) % 3).repeat_interleave(repeat)}


def unlabelled(batch: Batch) -> Batch:
    return {"x": batch["x"]}


@torch.no_grad()
def by_grid(model: VAE, batch: Batch) -> Tensor:
    """Return log p(x) of each item by a fine grid over the code, given its class if the model is told one."""
    grid = torch.linspace(-8, 8, 4001).view(1, -1, 1).expand(len(batch["x"]), -1, 1)
    joint = model.log_likelihood(grid, batch) + log_standard_normal(grid)
    return joint.double().logsumexp(1) + math.log(16 / 4000)


@torch.no_grad()
def marginal(model: VAE, batch: Batch) -> Tensor:
    """Return the log of the mean of p(x | class) over the classes."""
    told = [batch | {"label": torch.full((len(batch["x"]),), number)} for number in range(model.classes)]
    return torch.stack([by_grid(model, each) for each in told]).logsumexp(0) - math.log(model.classes)


@pytest.mark.parametrize("build", [tiny, conditional])
@torch.no_grad()
def test_one_weighted_code_is_the_elbo_and_more_come_closer_to_the_likelihood(build: Any) -> None:
    exact = -float(by_grid(build(), some()).mean())
    torch.manual_seed(0)
    elbo, *weighted = (float(build(importance=count).loss(some(repeat=3000)).loss.detach()) for count in (1, 2, 8, 64))
    assert [elbo, *weighted, exact] == sorted([elbo, *weighted, exact], reverse=True)
    assert weighted[-1] == pytest.approx(exact, abs=0.03)
    # A single weight has the ELBO as its mean.
    model, batch = build(), some(repeat=3000)
    mean, log_variance = model.posterior(batch)
    assert float(model._weighted(batch, mean, log_variance)[0]) == pytest.approx(elbo, abs=0.02)
    assert elbo == pytest.approx(float(torch.stack(model.nats(batch)).sum(0).mean()), abs=0.02)


def test_the_weighted_loss_and_its_gradient_are_those_of_torch_for_the_same_codes() -> None:
    model, batch = tiny(importance=5, likelihood="gaussian", std=0.4), some()
    torch.manual_seed(3)
    result = model.loss(batch)
    mean, log_variance = model.posterior(batch)
    own = distributions.Normal(mean.unsqueeze(1), (log_variance / 2).exp().unsqueeze(1))
    torch.manual_seed(3)
    codes = own.mean + own.stddev * torch.randn(4, 5, 1)
    pixels = model.decode(codes.flatten(0, 1)).view(4, 5, *TINY.shape)
    likelihood = distributions.Normal(pixels, 0.4).log_prob(batch["x"].unsqueeze(1)).flatten(2).sum(2)
    weights = likelihood + (distributions.Normal(0.0, 1.0).log_prob(codes) - own.log_prob(codes)).sum(2)
    expected = -weights.exp().mean(1).log().mean()
    torch.testing.assert_close(result.loss, expected)
    torch.testing.assert_close(result.shown["reconstruction"], -likelihood.mean())
    weight = list(model.parameters())
    for found, wanted in zip(
        torch.autograd.grad(result.loss, weight), torch.autograd.grad(expected, weight), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_bounds_approach_the_likelihood_by_brute_force() -> None:
    for model, batch, exact in (
        (tiny(), unlabelled(some()), by_grid(tiny(), some())),
        (conditional(), some(), by_grid(conditional(), some())),
        (conditional(), unlabelled(some()), marginal(conditional(), some())),
    ):
        found = bounds(model, [batch], 20_000, seed=0)
        assert found["negative_bound-20000"] == pytest.approx(-float(exact.mean()), abs=0.01)


def test_the_mean_of_an_elbo_without_labels_holds_the_cost_of_the_class() -> None:
    model, batch = conditional(), unlabelled(some(repeat=5000))
    found = bounds(model, [batch], 1, seed=0)
    with torch.no_grad():
        shares, expected = model.classify(batch).exp(), torch.zeros(len(batch["x"]))
        for number in range(3):
            told = batch | {"label": torch.full((len(batch["x"]),), number)}
            cost = torch.stack(model.nats(told)).sum(0) + shares[:, number].log() + math.log(3)
            expected += shares[:, number] * cost
    assert found["negative_elbo"] == pytest.approx(float(expected.mean()), abs=0.03)


def test_bounds_of_a_conditional_model_do_not_depend_on_the_batches() -> None:
    batch, model = unlabelled(some(7)), conditional()
    whole = bounds(model, [batch], 9, seed=2)
    assert bounds(model, [{"x": part} for part in batch["x"].split([4, 1, 2])], 9, seed=2) == pytest.approx(whole)


# Conditional models.


def mixture_model(centres: Tensor, direction: Tensor, std: float) -> VAE:
    """Return a conditional VAE of x = code * direction + centre of the class + noise, with the true posteriors."""
    model = VAE(
        x=Points(2),
        label=THREE,
        network=Mlp(hidden=[]),
        latent_dim=1,
        likelihood="gaussian",
        std=std,
        condition="label",
    )
    variance = 1 / (1 + direction.square().sum() / std**2)
    inverse = direction / std**2 * variance
    state = model.state_dict()
    state["plane.weight"] = centres
    state["encoder.1.weight"] = torch.cat([torch.cat([inverse, -inverse])[None], torch.zeros(1, 4)])
    state["encoder.1.bias"] = torch.stack([torch.zeros(()), variance.log()])
    state["decoder.0.weight"] = torch.cat([direction[:, None], centres.T], 1)
    state["decoder.0.bias"] = torch.zeros(2)
    model.load_state_dict(state)
    return model


@torch.no_grad()
def test_a_mixture_is_classified_by_its_exact_posterior_and_scored_by_its_density() -> None:
    centres, direction, std = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]), torch.tensor([0.6, 0.3]), 0.5
    model, points = mixture_model(centres, direction, std), 3 * torch.rand(200, 2) - 0.5
    covariance = direction.outer(direction) + std**2 * torch.eye(2)
    joint = distributions.MultivariateNormal(centres, covariance).log_prob(points.unsqueeze(1)) - math.log(3)
    torch.testing.assert_close(model.classify({"x": points}), joint.log_softmax(1), rtol=1e-4, atol=1e-4)
    assert torch.equal(model.infer({"x": points})["label"], joint.argmax(1))
    exact = joint.logsumexp(1)
    found = bounds(model, [{"x": points}], 200, seed=0)["negative_bound-200"]
    assert found == pytest.approx(-float(exact.mean()), abs=0.01)
    torch.manual_seed(0)
    repeated = torch.stack([model.score({"x": points}) for _ in range(200)])
    # The log of a sum of random numbers is below the exact one on average, and near it.
    assert float((repeated.mean(0) - exact).abs().mean()) < 0.2


@torch.no_grad()
def test_a_conditional_model_uses_the_class_that_is_given_and_infers_it_otherwise() -> None:
    model, batch = conditional(), some(6)
    inferred = model.infer(unlabelled(batch))
    other = {"label": (inferred["label"] + 1) % 3}
    for able in (model.encode, model.reconstruct):
        torch.testing.assert_close(able(unlabelled(batch)), able(unlabelled(batch) | inferred))
        assert not torch.allclose(able(unlabelled(batch)), able(unlabelled(batch) | other))
    assert isinstance(model, Infers)
    assert "infer" in abilities_of(model)
    assert "infer" not in abilities_of(tiny())
    codes, condition = model.draw(4, {"label": torch.tensor([2, 0, 1, 2])})
    assert condition["label"].tolist() == [2, 0, 1, 2]
    assert not torch.allclose(model.decode(codes, condition), model.decode(codes, {"label": torch.zeros(4).long()}))
    assert model.draw(3000)[1]["label"].bincount().min() > 900


def test_an_inferred_class_costs_the_log_of_the_number_of_classes() -> None:
    model, batch = conditional(), unlabelled(some())
    known = batch | model.infer(batch)
    torch.testing.assert_close(model.nats(batch)[1], model.nats(known)[1] + math.log(3))


def test_wrong_labels_in_the_data_change_no_metric_that_is_not_given_them() -> None:
    images = (some(40)["x"] * 255).to(torch.uint8)
    splits = {"train": torch.arange(10), "validation": torch.arange(10, 12), "test": torch.arange(12, 40)}
    labels, found = torch.arange(40) % 3, []
    model = conditional()
    for given in (labels, (labels + 1) % 3):
        data = Dataset.of_images(images, splits, given, THREE.names)

        def refuse() -> Any:
            raise ConfigError("nothing may be created")

        settings = EvaluationSettings(importance=4, draws=2)
        measured = parts.measure("score", Bench(data, torch.device("cpu"), settings, refuse, refuse, refuse), model)
        assert measured
        found.append((measured[0].metrics, measured[1].columns))
    (right, columns), (wrong, _) = found
    told = {name for name in right if columns[name] == ("label",)}
    assert told == {
        "accuracy-inferred",
        *(f"{name}-given_label" for name in ("negative_elbo", "reconstruction", "kl")),
    }
    assert {name: value for name, value in right.items() if name not in told} == {
        name: value for name, value in wrong.items() if name not in told
    }
    assert right["negative_elbo-given_label"] != wrong["negative_elbo-given_label"]


# The cost of the codes.


def test_the_parts_of_the_kl_are_those_of_a_correlated_normal_and_add_up() -> None:
    torch.manual_seed(0)
    covariance, noise = torch.tensor([[1.5, 0.9], [0.9, 1.2]]), 0.3
    mean = distributions.MultivariateNormal(torch.zeros(2), covariance - noise * torch.eye(2)).sample((2000,))
    log_variance = torch.full_like(mean, math.log(noise))
    codes = mean + noise**0.5 * torch.randn_like(mean)
    joint, independent = log_aggregate(codes, mean, log_variance)
    own, prior = log_normal(codes, mean, log_variance).sum(1), log_standard_normal(codes)
    information, single = (own - joint).mean(), (independent - prior).mean()
    correlation = total_correlation(codes, mean, log_variance)
    torch.testing.assert_close(information + correlation + single, (own - prior).mean())
    variances = covariance.diagonal()
    expected = torch.stack(
        [
            0.5 * (covariance.logdet() - 2 * math.log(noise)),
            0.5 * (variances.log().sum() - covariance.logdet()),
            0.5 * (variances - 1 - variances.log()).sum(),
        ]
    )
    found = torch.stack([information, correlation, single])
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.03)
    torch.testing.assert_close(found.sum(), kl_by_unit(mean, log_variance).sum(1).mean(), rtol=0.03, atol=0)


MEAN = torch.tensor([[1.0, 0.0, 2.0], [1.0, 0.2, 0.0]])
"""With variances of 1, the KL of a unit is half its square: 0.5, 0.01 and 1 on average, 1.51 in all."""


class Posed(VAE):
    """A VAE with the posterior of MEAN, and no reconstruction error."""

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return MEAN, torch.zeros(2, 3)

    def _error(self, codes: Tensor, batch: Batch) -> Tensor:
        return torch.zeros(2)


@pytest.mark.parametrize(
    ("settings", "step", "expected"),
    [
        ({}, None, 1.51),
        ({"beta": 4}, None, 6.04),
        ({"free_bits": 0.25}, None, 0.5 + 0.25 + 1),
        ({"free_bits": 0.7, "beta": 2}, None, 2 * (0.7 + 0.7 + 1)),
        ({"kl_warmup": 10}, None, 1.51),
        ({"kl_warmup": 10}, 0, 0.0),
        ({"kl_warmup": 10}, 4, 0.4 * 1.51),
        ({"kl_warmup": 10, "beta": 4}, 25, 6.04),
        ({"capacity": 1.0, "capacity_weight": 10}, None, 5.1),
        ({"capacity": 2.0, "capacity_weight": 10}, None, 4.9),
        ({"capacity": 2.0, "capacity_weight": 10, "capacity_steps": 8}, 2, 10.1),
        ({"capacity": 2.0, "capacity_weight": 10, "capacity_steps": 0}, 2, 4.9),
    ],
)
def test_the_cost_of_codes_is_the_one_computed_by_hand(settings: Any, step: int | None, expected: float) -> None:
    model = Posed(x=TINY, network=Mlp(hidden=[]), latent_dim=3, **settings)
    batch = some(2) | ({} if step is None else {"step": torch.tensor(float(step))})
    result = model.loss(batch)
    assert float(result.loss) == pytest.approx(expected, rel=1e-5)
    assert float(result.shown["kl"]) == pytest.approx(1.51, rel=1e-5)
    # Validation keeps to the ELBO, with beta.
    assert float(model.validate(some(2)).loss) == pytest.approx(1.51 * settings.get("beta", 1), rel=1e-5)


def test_the_total_correlation_is_weighted_within_the_kl() -> None:
    plain, weighted = (
        Posed(x=TINY, network=Mlp(hidden=[]), latent_dim=3, correlation=weight).eval() for weight in (1.0, 6.0)
    )
    torch.manual_seed(0)
    result = weighted.loss(some(2))
    assert float(result.loss - plain.loss(some(2)).loss) == pytest.approx(5 * float(result.shown["correlation"]), 1e-4)
    assert "correlation" not in plain.loss(some(2)).shown


def test_units_are_active_if_their_mean_varies_over_items() -> None:
    model = Posed(x=TINY, network=Mlp(hidden=[]), latent_dim=3)
    # The variances are 0, 0.01 in exact numbers, and 1.
    assert float(model.validate(some(2)).shown["active_share"]) in (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert "active_share" not in tiny().validate({"x": some(1)["x"]}).shown


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"importance": 10, "beta": 4}, "importance=10 does not work together with beta=4; set model.b"),
        ({"importance": 2, "correlation": 6}, "does not work together with correlation=6; set model.correlation=1."),
        ({"importance": 2, "free_bits": 0.1}, "does not work together with free_bits=0.1; set model.free_bits=0."),
        ({"importance": 2, "capacity": 25}, "does not work together with capacity=25; set model.capacity=null."),
        ({"capacity": 25, "beta": 4}, "capacity=25 does not work together with beta=4; set model.beta=1."),
        ({"capacity": 25, "kl_warmup": 9}, "does not work together with kl_warmup=9; set model.kl_warmup=0."),
        ({"importance": 0}, "importance must be at least 1, got 0."),
        ({"capacity": -1}, "capacity must be at least 0, got -1."),
        ({"free_bits": -1}, "free_bits must be at least 0, got -1."),
        ({"kl_warmup": -1}, "kl_warmup must be at least 0, got -1."),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: Any, message: str) -> None:
    with pytest.raises((ConfigError, ValueError)) as caught:
        tiny(**settings)
    assert message in str(caught.value)


def test_a_condition_needs_labels() -> None:
    with pytest.raises(MissingColumnError):
        VAE(x=Image(1, 2, 2), network=Mlp(hidden=[]), latent_dim=1, condition="label")
