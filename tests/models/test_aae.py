"""The adversarial autoencoder: its game of two players, its priors, and classes in its codes."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genlab.kinds import Classes, MissingColumnError
from genlab.models.aae import AAE
from genlab.models.losses.ring import Ring
from genlab.networks.mlp import Mlp
from genlab.registry import ConfigError
from genlab.training.players import Players
from genlab.training.settings import PlayerSettings
from tests.fixtures import tiny
from tests.fixtures.program import assert_refused, assert_resumed_exactly, genlab

DIGITS = Classes(tuple("0123456789"))


def built(**settings: Any) -> AAE:
    torch.manual_seed(3)
    chosen: dict[str, Any] = {"latent_dim": 3, "hidden": [8]} | settings
    return AAE(x=tiny.TINY, label=DIGITS, network=Mlp(hidden=[6]), **chosen)


def conditional(**settings: Any) -> AAE:
    return built(prior="mixture", condition="label", **settings)


def test_the_losses_are_those_of_hand_computed_numbers() -> None:
    model = AAE(x=tiny.TINY, network=Mlp(hidden=[]), latent_dim=1, hidden=[], adversarial=2, output_activation="none")
    layers = tiny.linear(model.encoder[0], 1), tiny.linear(model.decoder[0]), tiny.linear(model.discriminator, 1)
    with torch.no_grad():
        for layer, weight, bias in zip(layers, (0.25, 1.0, -1.0), (0.0, 0.0, 0.5), strict=True):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
    batch = {"x": torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])}
    # The codes are the mean pixels, 0.5 and 1, and so is every pixel of the reconstruction: the errors are
    # 4 * 0.25 / 2 = 0.5 and 0. The scores are 0.5 - code: 0 and -0.5.
    result = model.autoencoder_loss(batch)
    softplus = [math.log(2), math.log(1 + math.exp(0.5))]
    assert result.shown["reconstruction"].item() == pytest.approx(0.25)
    assert result.shown["adversarial"].item() == pytest.approx(sum(softplus) / 2)
    assert result.loss.item() == pytest.approx(0.25 + 2 * sum(softplus) / 2)
    assert torch.equal(result.handed_on["codes"], torch.tensor([[0.5], [1.0]]))
    # Of codes that score 0 and -0.5, -log(1 - D) is softplus(score). The draws score 0.5 - draw.
    torch.manual_seed(0)
    draws = model.draw(2)[0]
    torch.manual_seed(0)
    found = model.discriminator_loss(batch | result.handed_on)
    real = (1 + (draws - 0.5).exp()).log().mean().item()
    assert found.loss.item() == pytest.approx(real + (math.log(2) + math.log(1 + math.exp(-0.5))) / 2)
    assert found.shown["generated_accuracy"].item() == 0.5


@pytest.mark.parametrize("settings", [{}, {"r1": 1.0}, {"prior": "mixture", "condition": "label"}])
def test_a_turn_moves_its_player_and_leaves_the_other_alone(settings: dict[str, Any]) -> None:
    model, batch = built(**settings), tiny.batch()
    players = Players(model, {name: PlayerSettings(lr=0.1) for name in model.players()}, total=1)
    for turn in model.turns(0):
        before = {name: weight.clone() for name, weight in model.named_parameters()}
        player = players.give_floor(turn.player)
        result = turn.loss(batch)
        player.move(result.loss, 0)
        batch = batch | {name: value.detach() for name, value in result.handed_on.items()}
        moved = {
            name.split(".")[0] for name, weight in model.named_parameters() if not torch.equal(weight, before[name])
        }
        assert moved == ({"discriminator"} if turn.player == "discriminator" else {"encoder", "decoder"})


def test_r1_is_half_the_squared_gradient_of_a_draws_score() -> None:
    model, batch = built(r1=3.0), tiny.batch()
    torch.manual_seed(1)
    draws = model.draw(8)[0]
    jacobian = torch.autograd.functional.jacobian(lambda codes: model.discriminator(codes).sum(), draws)
    assert isinstance(jacobian, Tensor)
    torch.manual_seed(1)
    result = model.discriminator_loss(batch)
    torch.testing.assert_close(result.shown["r1"], 0.5 * jacobian.square().sum(1).mean())
    plain = built()
    torch.manual_seed(1)
    loss = plain.discriminator_loss(batch).loss
    torch.testing.assert_close(result.loss, loss + 3 * result.shown["r1"])


@pytest.mark.parametrize("components", [3, 10])
def test_each_number_of_a_ring_has_mean_0_and_variance_1_and_components_are_in_their_places(components: int) -> None:
    ring = Ring(components)
    codes, _ = built(prior="mixture", components=components, latent_dim=4).draw(
        40_000, generator=torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(codes.mean(0), torch.zeros(4), atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(codes.T), torch.eye(4), atol=0.03, rtol=0)
    nearest = torch.cdist(codes[:, :2], ring.centres)
    shares = torch.bincount(nearest.argmin(1), minlength=components) / len(codes)
    torch.testing.assert_close(shares, torch.full((components,), 1 / components), atol=0.02, rtol=0)
    # Half the distance of two neighbours is two std.
    torch.testing.assert_close((ring.centres[0] - ring.centres[1]).norm(), torch.tensor(4 * ring.std))


def test_the_density_of_a_ring_is_that_of_torch_distributions() -> None:
    model, codes = built(prior="mixture", components=5), torch.randn(6, 2, 3)
    assert model.ring
    means = torch.cat([model.ring.centres, torch.zeros(5, 1)], 1)
    std = torch.tensor([model.ring.std, model.ring.std, 1.0]).expand(5, 3)
    parts = torch.distributions.Independent(torch.distributions.Normal(means, std), 1)
    mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(torch.ones(5)), parts)
    torch.testing.assert_close(model.log_prior(codes), mixture.log_prob(codes))
    normal = torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(built().log_prior(codes), normal.log_prob(codes).sum(2))


@pytest.mark.parametrize("model", [built(), built(prior="mixture"), conditional()])
def test_draws_do_not_depend_on_how_they_are_split(model: AAE) -> None:
    whole, parts = torch.Generator().manual_seed(2), torch.Generator().manual_seed(2)
    codes, condition = model.draw(9, generator=whole)
    split = [model.draw(count, generator=parts) for count in (2, 3, 4)]
    assert torch.equal(codes, torch.cat([part for part, _ in split]))
    assert condition.keys() == model.told.keys()
    for name, values in condition.items():
        assert torch.equal(values, torch.cat([part[name] for _, part in split]))


def test_a_class_is_drawn_from_its_own_component_and_inferred_from_the_code() -> None:
    model, label = conditional(), torch.arange(10).repeat(50)
    codes, condition = model.draw(500, {"label": label}, torch.Generator().manual_seed(0))
    assert torch.equal(condition["label"], label)
    model.encoder = nn.Sequential(nn.Flatten())
    # Neighbours overlap a little: beyond two std a draw is nearer to another centre.
    inferred = model.infer({"x": codes})["label"]
    assert (inferred == label).float().mean() > 0.9
    chances = model.classify({"x": codes}).exp()
    torch.testing.assert_close(chances.sum(1), torch.ones(500))
    assert torch.equal(chances.argmax(1), inferred)


def test_the_discriminator_is_told_the_class_and_nothing_else_needs_it() -> None:
    model, batch = conditional(), tiny.batch()
    other = batch | {"label": (batch["label"] + 1) % 10}
    assert not torch.equal(model.autoencoder_loss(batch).loss, model.autoencoder_loss(other).loss)
    alone = {"x": batch["x"]}
    assert torch.equal(model.reconstruct(alone), model.reconstruct(batch))
    assert torch.equal(model.score(alone), model.score(batch))
    assert model.validate(alone).shown["code_variance"].isfinite()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prior": "mixture", "latent_dim": 1}, "got latent_dim=1; set model.latent_dim to at least 2"),
        ({"condition": "label"}, "got prior=normal; set model.prior=mixture or model.condition=none."),
        ({"prior": "mixture", "components": 2}, "components must be at least 3, got 2."),
        (
            {"prior": "mixture", "condition": "label", "components": 12},
            "one component for each of the 10 classes, got 12; set model.components=10.",
        ),
        ({"adversarial": -1}, "adversarial must be above 0, got -1."),
    ],
)
def test_settings_that_cannot_be_played_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=message):
        built(**settings)


def test_a_condition_on_data_without_labels_or_with_few_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError):
        AAE(x=tiny.TINY, network=Mlp(hidden=[]), latent_dim=2, hidden=[], prior="mixture", condition="label")
    chosen = ["model=aae", "data=gaussian", "model.prior=mixture", "model.condition=label"]
    done = genlab(tmp_path, "train", *chosen, "model.output_activation=none")
    assert_refused(done, "model 'aae': condition=label needs at least 3 classes")


SMALL = ["model=aae", "data=digits", "trainer.batch_size=16", "trainer.epochs=null", "model.hidden=[8]"]
SMALL += ["model.network.hidden=[8]", "model.optimizers.autoencoder.ema=0.9", "trainer.checkpoint_every=3"]


def test_a_resumed_run_ends_as_one_that_was_never_interrupted(tmp_path: Path) -> None:
    chosen = ["model.prior=mixture", "model.condition=label", "model.r1=1"]
    # A cosine depends on the length of the run, which resuming changes here.
    constant = [f"model.optimizers.{player}.schedule=constant" for player in ("autoencoder", "discriminator")]
    assert_resumed_exactly(tmp_path, *SMALL, *chosen, *constant)


def test_a_class_can_be_sampled_and_no_prior_is_fitted_to_codes_that_hold_the_class(tmp_path: Path) -> None:
    chosen = ["model.prior=mixture", "model.condition=label", "trainer.steps=2", "run=aae"]
    assert genlab(tmp_path, "train", *SMALL, *chosen).returncode == 0
    done = genlab(tmp_path, "sample", "aae", "--label", "3", "--count", "4")
    assert done.returncode == 0, done.stderr
    assert_refused(genlab(tmp_path, "fit-prior", "aae"), "The codes of aae-digits hold the class")
