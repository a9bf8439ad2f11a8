"""What keeps a critic smooth: penalties on its slope, clipped weights, spectral norms, other normalisations."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genlab.contract import Shape, Turn
from genlab.models.critic import Critic, CriticNormalization, gradient_penalty, squared_gradient
from genlab.models.gan import GAN
from genlab.networks.convolutional import Resnet
from genlab.networks.dcgan import Dcgan
from genlab.networks.mlp import Mlp
from genlab.training.journal import read
from genlab.training.players import Players
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.tiny import TINY, batch
from tests.fixtures.toys import toy_images

COUNT = 3
Score = Callable[[Tensor, Tensor], Tensor]


def tiny_gan(**settings: object) -> GAN:
    """A GAN of few smooth weights."""
    torch.manual_seed(4)
    chosen = {"critic_normalization": "none", **settings}
    network = Mlp(hidden=[3], activation="tanh")
    model = GAN(shape=TINY, classes=0, network=network, latent_dim=2, **chosen)  # type: ignore[arg-type]
    with torch.no_grad():
        for weight in model.critic.parameters():
            weight.mul_(1.5)
    return model


def scored(weights: Tensor, images: Tensor) -> Tensor:
    """The tiny critic written out, of its weights in one row."""
    first, first_bias, second, second_bias = weights.split([12, 3, 3, 1])
    return torch.tanh(images.flatten(1) @ first.view(3, 4).T + first_bias) @ second + second_bias


def slopes(weights: Tensor, images: Tensor) -> Tensor:
    """The length of each score's gradient by its image, by central differences."""
    nudges = 1e-5 * torch.eye(4, dtype=torch.float64).view(4, 1, *TINY)
    differences = [scored(weights, images + nudge) - scored(weights, images - nudge) for nudge in nudges]
    return torch.stack(differences, 1).div(2e-5).norm(dim=1)


def row_of(model: GAN) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.critic.parameters()]).double()


def differences(value: Callable[[Tensor], Tensor], weights: Tensor) -> Tensor:
    """The gradient of a value by central differences."""
    nudges = 1e-3 * torch.eye(len(weights), dtype=torch.float64)
    return torch.stack([(value(weights + nudge) - value(weights - nudge)) / 2e-3 for nudge in nudges])


def assert_gradients(term: Tensor, value: Callable[[Tensor], Tensor], model: GAN) -> None:
    """A term is the value that was written out, and so is its gradient by every weight of the critic."""
    assert float(term.detach()) == pytest.approx(float(value(row_of(model))), rel=1e-5)
    gradients = torch.autograd.grad(term, list(model.critic.parameters()), allow_unused=True)
    pairs = zip(gradients, model.critic.parameters(), strict=True)
    row = torch.cat([(torch.zeros_like(weight) if given is None else given).flatten() for given, weight in pairs])
    assert row.abs().max() > 0.01
    torch.testing.assert_close(row.double(), differences(value, row_of(model)), rtol=1e-4, atol=1e-5)


def test_the_penalty_and_its_gradient_are_those_of_finite_differences() -> None:
    model, real, fake = tiny_gan(), batch(count=COUNT)["image"], torch.rand(COUNT, *TINY)
    torch.manual_seed(6)
    share = torch.rand(COUNT, 1, 1, 1)
    between = (share * real + (1 - share) * fake).double()
    torch.manual_seed(6)
    term = gradient_penalty(lambda images: model.critic(images, None), real, fake)
    assert_gradients(term, lambda weights: (slopes(weights, between) - 1).square().mean(), model)


def test_r1_and_its_gradient_are_those_of_finite_differences() -> None:
    model, images = tiny_gan(r1=0.3), batch(count=COUNT)["image"]
    term = model.smooth_critic_loss({"image": images})["r1"]
    real = (2 * images - 1).double()
    assert_gradients(term, lambda weights: 0.5 * slopes(weights, real).square().mean(), model)


def test_a_gradient_is_of_each_image_by_its_own_score() -> None:
    images = torch.randn(5, *TINY, requires_grad=True)
    torch.testing.assert_close(
        squared_gradient(images.square().sum((1, 2, 3)), images), 4 * images.square().sum((1, 2, 3))
    )


def test_penalties_come_on_top_of_the_loss_with_their_weights() -> None:
    plain, smooth = tiny_gan(), tiny_gan(penalty=7.0, r1=0.3, r1_every=4)
    losses = []
    for loss in (plain.critic_loss, smooth.critic_loss, smooth.smooth_critic_loss):
        torch.manual_seed(2)
        losses.append(loss(batch()))
    alone, penalised, both = losses
    assert (alone.keys() - {"loss"}, penalised.keys() - alone.keys()) == (
        {"real_accuracy", "fake_accuracy"},
        {"penalty"},
    )
    torch.testing.assert_close(penalised["loss"], alone["loss"] + 7 * penalised["penalty"])
    # R1 that comes every fourth step weighs four times as much.
    torch.testing.assert_close(both["loss"], penalised["loss"] + 0.3 * 4 * both["r1"])


def critic_turn(model: GAN, step: int) -> Turn:
    return next(turn for turn in model.turns(step) if turn.player == "critic")


def test_r1_comes_in_every_so_manieth_step_and_only_second_gradients_are_eager() -> None:
    lazy = tiny_gan(r1=0.5, r1_every=3)
    critics = [critic_turn(lazy, step) for step in range(7)]
    assert [turn.loss == lazy.smooth_critic_loss for turn in critics] == [True, False, False, True, False, False, True]
    assert [turn.eager for turn in critics] == [True, False, False, True, False, False, True]
    assert critic_turn(tiny_gan(penalty=1.0), 1).eager
    assert not critic_turn(tiny_gan(), 0).eager


def test_the_critics_loss_in_the_journal_is_the_mean_of_all_moves_with_r1_and_without(tmp_path: Path) -> None:
    lines = []
    for every in (1, 6):
        model = tiny_gan(r1=0.5, r1_every=3)
        players = {name: PlayerSettings(rate=0.01) for name in model.players()}
        settings = TrainerSettings(batch_size=4, steps=6, log_every=every)
        Trainer(model, toy_images(), settings, players, best=None).fit(tmp_path / str(every))
        lines.append([line for line in read(tmp_path / str(every)) if line["split"] == "train"])
    each, (whole,) = lines
    assert ["critic/r1" in line for line in each] == [True, False, False, True, False, False]
    for term in ("critic/loss", "critic/gradient_norm", "generator/loss"):
        assert whole[term] == pytest.approx(sum(line[term] for line in each) / 6, rel=1e-5)
    assert whole["critic/r1"] == pytest.approx((each[0]["critic/r1"] + each[3]["critic/r1"]) / 2, rel=1e-5)


# Clipping.


def test_a_move_of_a_clipped_critic_is_the_plain_step_and_then_the_clip(tmp_path: Path) -> None:
    rate, clip = 0.03, 0.31

    def trained(**setting: float) -> dict[str, Tensor]:
        model = tiny_gan(loss="wasserstein", **setting)
        players = {name: PlayerSettings(optimizer="rmsprop", rate=rate) for name in model.players()}
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=1), players, best=None).fit(folder)
        return {name: value for name, value in model.state_dict().items() if name.startswith("critic")}

    plain, clipped = trained(), trained(clip=clip)
    inside = [value.abs() < clip for value in plain.values()]
    assert 0 < sum(int(part.sum()) for part in inside) < sum(part.numel() for part in inside)
    for name, value in plain.items():
        assert torch.equal(clipped[name], value.clamp(-clip, clip)), name


def test_after_each_of_its_moves_every_weight_of_the_critic_lies_within_the_clip(tmp_path: Path) -> None:
    largest: list[float] = []

    class Watched(GAN):
        def clip_weights(self) -> None:
            super().clip_weights()
            largest.append(max(float(weight.detach().abs().max()) for weight in self.critic.parameters()))

    model = tiny_gan(loss="wasserstein", clip=0.05, critic_turns=3)
    model.__class__ = Watched
    kept = [weight.detach().clone() for weight in model.generator.parameters()]
    players = {"critic": PlayerSettings(rate=0.1), "generator": PlayerSettings(optimizer="sgd", rate=0.0)}
    Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=4), players, best=None).fit(tmp_path)
    assert len(largest) == 12
    assert max(largest) == torch.tensor(0.05)
    assert all(torch.equal(*pair) for pair in zip(kept, model.generator.parameters(), strict=True))
    assert max(float(weight.abs().max()) for weight in kept) > 0.05


# Whose move it is.


@pytest.mark.parametrize("mover", ["critic", "generator"])
def test_a_move_leaves_the_other_players_weights_and_gradients_alone(mover: str) -> None:
    torch.manual_seed(0)
    model = GAN(shape=Shape(1, 8, 8), classes=0, network=Dcgan(width=4, most=8), latent_dim=3)
    settings = PlayerSettings(rate=0.01)
    player = Players(model, {"critic": settings, "generator": settings}, 5).give_floor(mover)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    (turn,) = (turn for turn in model.turns(0) if turn.player == mover)
    player.move(turn.loss(batch(Shape(1, 8, 8)))["loss"], 0)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]) == (not name.startswith(mover)), name
        assert weight.grad is None, name


def test_each_move_of_the_critic_sees_a_batch_of_its_own_and_the_generator_the_first(tmp_path: Path) -> None:
    seen: list[tuple[str, list[float]]] = []

    class Watched(GAN):
        def critic_loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            seen.append(("critic", batch["image"].flatten().tolist()))
            return super().critic_loss(batch)

        def generator_loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            seen.append(("generator", batch["image"].flatten().tolist()))
            return super().generator_loss(batch)

    model = tiny_gan(critic_turns=3)
    model.__class__ = Watched
    players = {name: PlayerSettings() for name in model.players()}
    Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=2), players, best=None).fit(tmp_path)
    assert [player for player, _ in seen] == ["critic", "critic", "critic", "generator"] * 2
    for step in (seen[:4], seen[4:]):
        assert step[3][1] == step[0][1]
    assert len({tuple(images) for player, images in seen if player == "critic"}) == 6


# Norms.


@pytest.mark.parametrize("condition", ["none", "concatenate", "projection"])
@pytest.mark.parametrize("network", [Mlp(hidden=[6]), Dcgan(width=4, most=8), Resnet(width=4, most=8)])
def test_the_largest_singular_value_of_every_layer_becomes_1(network: object, condition: str) -> None:
    torch.manual_seed(3)
    shape = Shape(2, 8, 8)
    critic = Critic(network, shape, 5, condition, "none", True)  # type: ignore[arg-type]
    for _ in range(150):
        critic(torch.randn(2, *shape), torch.tensor([0, 4]))
    critic.eval()
    layers = [part for part in critic.modules() if isinstance(part, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert len(layers) >= 2
    for layer in layers:
        assert float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("normalization", "batch_norms", "layer_norms"), [("batch", 1, 0), ("layer", 0, 1), ("none", 0, 0)]
)
@pytest.mark.parametrize("network", [Dcgan(width=8, most=16), Resnet(width=8, most=16)])
def test_batch_normalisation_of_the_critic_gives_place_to_what_is_said(
    network: Dcgan | Resnet, normalization: CriticNormalization, batch_norms: int, layer_norms: int
) -> None:
    shape = Shape(1, 16, 16)
    whole = sum(isinstance(part, nn.BatchNorm2d) for part in network.encoder(shape, 1).modules())
    assert whole
    model = GAN(shape=shape, classes=0, network=network, latent_dim=3, critic_normalization=normalization)
    parts = list(model.critic.modules())
    assert sum(isinstance(part, nn.BatchNorm2d) for part in parts) == batch_norms * whole
    layers = [part for part in parts if isinstance(part, nn.GroupNorm)]
    assert len(layers) == layer_norms * whole
    assert all(layer.num_groups == 1 for layer in layers)
    assert any(isinstance(part, nn.BatchNorm2d) for part in model.generator.modules())
    # What it comes to: does an image's score depend on those beside it?
    images = torch.randn(4, *shape)
    together, alone = model.critic(images, None)[:2], model.critic(images[:2], None)
    assert torch.allclose(together, alone, atol=1e-5) == (normalization != "batch")
    assert model.critic.normalizes_batches == (normalization == "batch")


def test_where_each_moves_once_the_critic_judges_what_the_generator_has_just_made() -> None:
    model, images = tiny_gan(), batch()
    made: list[Tensor] = []
    model.generator.register_forward_hook(lambda *given: made.append(given[2].detach().tanh()))
    judged: list[Tensor] = []
    model.critic.register_forward_hook(lambda *given: judged.append(given[1][0].detach()))
    for turn in model.turns(0):
        turn.loss(images)
    assert len(made) == 1
    assert set(images) == {"image", "label"}
    # The generator's turn judges the fakes; the critic's the real ones, and then the fakes again.
    assert torch.equal(judged[0], made[0])
    assert torch.equal(judged[1], 2 * images["image"] - 1)
    assert torch.equal(judged[2], made[0])
    assert not judged[2].requires_grad
