"""Smooth discriminators: gradient penalties, clipped weights, spectral norms and normalisation."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genlab.contract import Batch, Result, Turn
from genlab.kinds import Image
from genlab.models.gan import GAN
from genlab.models.losses.gradient_penalty import gradient_penalty, squared_gradient
from genlab.networks.convolutional import Resnet
from genlab.networks.dcgan import Dcgan
from genlab.networks.discriminator import Condition, Discriminator, DiscriminatorNormalization
from genlab.networks.mlp import Mlp
from genlab.training.journal import read
from genlab.training.players import Players
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures.tiny import TINY, batch
from tests.fixtures.toys import toy_images

COUNT = 3


def tiny_gan(**settings: object) -> GAN:
    """Build a GAN of few smooth weights."""
    torch.manual_seed(4)
    chosen = {"discriminator_normalization": "none", **settings}
    network = Mlp(hidden=[3], activation="tanh")
    model = GAN(x=TINY, network=network, latent_dim=2, **chosen)  # type: ignore[arg-type]
    with torch.no_grad():
        for weight in model.discriminator.parameters():
            weight.mul_(1.5)
    return model


def scored(weights: Tensor, images: Tensor) -> Tensor:
    """Return the scores of the tiny discriminator, computed from its weights in one row."""
    first, first_bias, second, second_bias = weights.split([12, 3, 3, 1])
    scores: Tensor = torch.tanh(images.flatten(1) @ first.view(3, 4).T + first_bias) @ second + second_bias
    return scores


def slopes(weights: Tensor, images: Tensor) -> Tensor:
    """Return the length of the gradient of each score by its image, from central differences."""
    nudges = 1e-5 * torch.eye(4, dtype=torch.float64).view(4, 1, *TINY.shape)
    differences = [scored(weights, images + nudge) - scored(weights, images - nudge) for nudge in nudges]
    lengths: Tensor = torch.stack(differences, 1).div(2e-5).norm(dim=1)
    return lengths


def row_of(model: GAN) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.discriminator.parameters()]).double()


def numerical_gradient(value: Callable[[Tensor], Tensor], weights: Tensor) -> Tensor:
    """Return the gradient of a value from central differences."""
    nudges = 1e-3 * torch.eye(len(weights), dtype=torch.float64)
    return torch.stack([(value(weights + nudge) - value(weights - nudge)) / 2e-3 for nudge in nudges])


def assert_gradients(term: Tensor, value: Callable[[Tensor], Tensor], model: GAN) -> None:
    """Compare a term and its gradient by every weight of the discriminator with a computed value."""
    assert float(term.detach()) == pytest.approx(float(value(row_of(model))), rel=1e-5)
    gradients = torch.autograd.grad(term, list(model.discriminator.parameters()), allow_unused=True)
    pairs = zip(gradients, model.discriminator.parameters(), strict=True)
    row = torch.cat([(torch.zeros_like(weight) if given is None else given).flatten() for given, weight in pairs])
    assert row.abs().max() > 0.01
    torch.testing.assert_close(row.double(), numerical_gradient(value, row_of(model)), rtol=1e-4, atol=1e-5)


def test_the_penalty_and_its_gradient_are_those_of_finite_differences() -> None:
    model, real, generated = tiny_gan(), batch(count=COUNT)["x"], torch.rand(COUNT, *TINY.shape)
    torch.manual_seed(6)
    share = torch.rand(COUNT, 1, 1, 1)
    between = (share * real + (1 - share) * generated).double()
    torch.manual_seed(6)
    term = gradient_penalty(lambda images: model.discriminator(images, None), real, generated)
    assert_gradients(term, lambda weights: (slopes(weights, between) - 1).square().mean(), model)


def test_r1_and_its_gradient_are_those_of_finite_differences() -> None:
    model, images = tiny_gan(r1=0.3), batch(count=COUNT)["x"]
    term = model.smooth_discriminator_loss({"x": images}).shown["r1"]
    real = (2 * images - 1).double()
    assert_gradients(term, lambda weights: 0.5 * slopes(weights, real).square().mean(), model)


def test_each_gradient_is_that_of_a_score_by_its_own_image() -> None:
    images = torch.randn(5, *TINY.shape)
    lengths, scores = squared_gradient(lambda items: items.square().sum((1, 2, 3)), images)
    torch.testing.assert_close(scores, images.square().sum((1, 2, 3)))
    torch.testing.assert_close(lengths, 4 * scores)


def test_penalties_are_added_to_the_loss_with_their_weights() -> None:
    plain, smooth = tiny_gan(), tiny_gan(penalty=7.0, r1=0.3, r1_every=4)
    results = []
    for loss in (plain.discriminator_loss, smooth.discriminator_loss, smooth.smooth_discriminator_loss):
        torch.manual_seed(2)
        results.append(loss(batch()))
    alone, penalised, both = results
    accuracies = {"real_accuracy", "generated_accuracy"}
    assert set(alone.shown) == accuracies
    assert set(penalised.shown) == accuracies | {"penalty"}
    torch.testing.assert_close(penalised.loss, alone.loss + 7 * penalised.shown["penalty"])
    # R1 in every fourth step has four times the weight.
    torch.testing.assert_close(both.loss, penalised.loss + 0.3 * 4 * both.shown["r1"])


def discriminator_turn(model: GAN, step: int) -> Turn:
    return next(turn for turn in model.turns(step) if turn.player == "discriminator")


def test_r1_is_added_in_every_nth_step() -> None:
    lazy = tiny_gan(r1=0.5, r1_every=3)
    turns, every_third = [discriminator_turn(lazy, step) for step in range(7)], [step % 3 == 0 for step in range(7)]
    assert [turn.loss == lazy.smooth_discriminator_loss for turn in turns] == every_third


def test_the_discriminator_loss_in_the_journal_is_the_mean_of_moves_with_and_without_r1(tmp_path: Path) -> None:
    lines = []
    for every in (1, 6):
        model = tiny_gan(r1=0.5, r1_every=3)
        players = {name: PlayerSettings(lr=0.01) for name in model.players()}
        settings = TrainerSettings(batch_size=4, steps=6, log_every=every)
        Trainer(model, toy_images(), settings, players, best=None).fit(tmp_path / str(every))
        lines.append([line for line in read(tmp_path / str(every)) if line["split"] == "train"])
    each, (whole,) = lines
    assert ["discriminator/r1" in line for line in each] == [True, False, False, True, False, False]
    for term in ("discriminator/loss", "discriminator/gradient_norm", "generator/loss"):
        assert whole[term] == pytest.approx(sum(line[term] for line in each) / 6, rel=1e-5)
    assert whole["discriminator/r1"] == pytest.approx(
        (each[0]["discriminator/r1"] + each[3]["discriminator/r1"]) / 2, rel=1e-5
    )


# Clipping.


def test_a_move_of_a_clipped_discriminator_is_the_plain_step_and_then_the_clip(tmp_path: Path) -> None:
    lr, clip = 0.03, 0.31

    def trained(**setting: float) -> dict[str, Tensor]:
        model = tiny_gan(loss="wasserstein", **setting)
        players = {name: PlayerSettings(optimizer="rmsprop", lr=lr) for name in model.players()}
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=1), players, best=None).fit(folder)
        return {name: value for name, value in model.state_dict().items() if name.startswith("discriminator")}

    plain, clipped = trained(), trained(clip=clip)
    inside = [value.abs() < clip for value in plain.values()]
    assert 0 < sum(int(part.sum()) for part in inside) < sum(part.numel() for part in inside)
    for name, value in plain.items():
        assert torch.equal(clipped[name], value.clamp(-clip, clip)), name


def test_after_each_move_every_weight_of_the_discriminator_is_within_the_clip(tmp_path: Path) -> None:
    largest: list[float] = []

    class Watched(GAN):
        def clip_weights(self) -> None:
            super().clip_weights()
            largest.append(max(float(weight.detach().abs().max()) for weight in self.discriminator.parameters()))

    model = tiny_gan(loss="wasserstein", clip=0.05, discriminator_turns=3)
    model.__class__ = Watched
    kept = [weight.detach().clone() for weight in model.generator.parameters()]
    players = {"discriminator": PlayerSettings(lr=0.1), "generator": PlayerSettings(optimizer="sgd", lr=0.0)}
    Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=4), players, best=None).fit(tmp_path)
    assert len(largest) == 12
    assert max(largest) == torch.tensor(0.05)
    assert all(torch.equal(*pair) for pair in zip(kept, model.generator.parameters(), strict=True))
    assert max(float(weight.abs().max()) for weight in kept) > 0.05


# Turns.


@pytest.mark.parametrize("mover", ["discriminator", "generator"])
def test_a_move_changes_no_weight_or_gradient_of_the_other_player(mover: str) -> None:
    torch.manual_seed(0)
    kind = Image(1, 8, 8)
    model = GAN(x=kind, network=Dcgan(width=4, most=8), latent_dim=3)
    player = Players(model, {name: PlayerSettings(lr=0.01) for name in model.players()}, 5).give_floor(mover)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    (turn,) = (turn for turn in model.turns(0) if turn.player == mover)
    player.move(turn.loss(batch(kind)).loss, 0)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]) == (not name.startswith(mover)), name
        assert weight.grad is None, name


def test_each_move_of_the_discriminator_has_its_own_batch_and_the_generator_has_the_first(tmp_path: Path) -> None:
    seen: list[tuple[str, list[float]]] = []

    class Watched(GAN):
        def discriminator_loss(self, batch: Batch) -> Result:
            seen.append(("discriminator", batch["x"].flatten().tolist()))
            return super().discriminator_loss(batch)

        def generator_loss(self, batch: Batch) -> Result:
            seen.append(("generator", batch["x"].flatten().tolist()))
            return super().generator_loss(batch)

    model = tiny_gan(discriminator_turns=3)
    model.__class__ = Watched
    players = {name: PlayerSettings() for name in model.players()}
    Trainer(model, toy_images(), TrainerSettings(batch_size=4, steps=2), players, best=None).fit(tmp_path)
    assert [player for player, _ in seen] == ["discriminator", "discriminator", "discriminator", "generator"] * 2
    for step in (seen[:4], seen[4:]):
        assert step[3][1] == step[0][1]
    assert len({tuple(images) for player, images in seen if player == "discriminator"}) == 6


def test_if_each_player_moves_once_the_discriminator_gets_the_items_that_the_generator_handed_on() -> None:
    model, images = tiny_gan(), batch()
    generated: list[Tensor] = []
    model.generator.register_forward_hook(lambda *given: generated.append(given[2].detach().tanh()))
    scored: list[Tensor] = []
    model.discriminator.encoder.register_forward_hook(lambda *given: scored.append(given[1][0].detach()))
    given = dict(images)
    for turn in model.turns(0):
        given |= turn.loss(given).handed_on
    assert len(generated) == 1
    # The first scoring is in the turn of the generator, the others are in that of the discriminator.
    assert torch.equal(scored[0], generated[0])
    assert torch.equal(scored[1], 2 * images["x"] - 1)
    assert torch.equal(scored[2], generated[0])
    assert not scored[2].requires_grad


@pytest.mark.parametrize("turns", [1, 2])
def test_a_turn_changes_nothing_in_its_batch(turns: int) -> None:
    model, images = tiny_gan(discriminator_turns=turns, r1=0.1, penalty=1.0), batch()
    given = images | {"generated": torch.rand(8, *TINY.shape)}
    before = {name: values.clone() for name, values in given.items()}
    for turn in model.turns(0):
        turn.loss(given)
        assert given.keys() == before.keys()
        assert all(torch.equal(values, before[name]) for name, values in given.items())
        assert not any(values.requires_grad for values in given.values())


# Norms.


@pytest.mark.parametrize("condition", ["none", "concatenate", "projection"])
@pytest.mark.parametrize("network", [Mlp(hidden=[6]), Dcgan(width=4, most=8), Resnet(width=4, most=8)])
def test_the_largest_singular_value_of_every_layer_becomes_1(
    network: Mlp | Dcgan | Resnet, condition: Condition
) -> None:
    torch.manual_seed(3)
    kind = Image(2, 8, 8)
    discriminator = Discriminator(network, kind, 5, condition, "none", True)
    for _ in range(150):
        discriminator(torch.randn(2, *kind.shape), torch.tensor([0, 4]))
    discriminator.eval()
    layers = [part for part in discriminator.modules() if isinstance(part, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert len(layers) >= 2
    for layer in layers:
        assert float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("normalization", "batch_norms", "layer_norms"), [("batch", 1, 0), ("layer", 0, 1), ("none", 0, 0)]
)
@pytest.mark.parametrize("network", [Dcgan(width=8, most=16), Resnet(width=8, most=16)])
def test_the_batch_normalisation_of_the_discriminator_is_replaced_as_set(
    network: Dcgan | Resnet, normalization: DiscriminatorNormalization, batch_norms: int, layer_norms: int
) -> None:
    kind = Image(1, 16, 16)
    whole = sum(isinstance(part, nn.BatchNorm2d) for part in network.encoder(kind, 1).modules())
    assert whole
    model = GAN(x=kind, network=network, latent_dim=3, discriminator_normalization=normalization)
    parts = list(model.discriminator.modules())
    assert sum(isinstance(part, nn.BatchNorm2d) for part in parts) == batch_norms * whole
    layers = [part for part in parts if isinstance(part, nn.GroupNorm)]
    assert len(layers) == layer_norms * whole
    assert all(layer.num_groups == 1 for layer in layers)
    assert any(isinstance(part, nn.BatchNorm2d) for part in model.generator.modules())
    # With batch normalisation, and only then, the score of an image depends on the other images.
    images = torch.randn(4, *kind.shape)
    together, alone = model.discriminator(images, None)[:2], model.discriminator(images[:2], None)
    assert torch.allclose(together, alone, atol=1e-5) == (normalization != "batch")
    assert model.discriminator.normalizes_batches == (normalization == "batch")
