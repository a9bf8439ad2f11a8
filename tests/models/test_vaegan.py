"""VAE-GAN: where its gradients go, the layer in which it compares items, and its running statistics."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genlab.kinds import Image, Points
from genlab.models.vae import kl_to_standard_normal
from genlab.models.vaegan import VAEGAN
from genlab.networks.convolutional import Conv, Resnet
from genlab.networks.dcgan import Dcgan
from genlab.networks.mlp import Mlp
from genlab.networks.network import Network
from genlab.training.players import Players
from genlab.training.settings import PlayerSettings
from tests.fixtures import tiny
from tests.fixtures.program import assert_refused, assert_resumed_exactly, genlab

GREY = Image(1, 16, 16)


def built(network: Network | None = None, x: Image | Points = GREY, **settings: Any) -> VAEGAN:
    torch.manual_seed(4)
    return VAEGAN(x=x, network=network or Conv(width=4, most=8), latent_dim=3, **settings)


def gradients(loss: Tensor, module: nn.Module) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, list(module.parameters()), allow_unused=True, retain_graph=True))


def test_the_score_of_the_discriminator_teaches_the_decoder_and_never_the_encoder() -> None:
    model, batch = built(), tiny.batch(GREY)
    adversarial = model.autoencoder_loss(batch).shown["adversarial"]
    assert all(gradient is None for gradient in gradients(adversarial, model.encoder))
    assert all(gradient is not None and gradient.any() for gradient in gradients(adversarial, model.decoder)[2:])
    # The features teach both.
    features = model.autoencoder_loss(batch).shown["features"]
    for module in (model.encoder, model.decoder):
        assert all(gradient is not None for gradient in gradients(features, module))


@pytest.mark.parametrize("network", [Mlp(hidden=[6]), Conv(width=4, most=8), Dcgan(width=4, most=8), Resnet(width=4)])
def test_items_are_compared_in_the_layer_before_the_score(network: Network) -> None:
    model, batch, seen = built(network, beta=0.5, adversarial=2.0).eval(), tiny.batch(GREY), list[Tensor]()
    encoder = model.discriminator.encoder
    assert isinstance(encoder, nn.Sequential)
    encoder[-1].register_forward_hook(lambda layer, given, score: seen.append(given[0]))
    real = 2 * batch["x"] - 1
    model.discriminator(real, None)
    model.discriminator(2 * model.reconstruct(batch) - 1, None)
    expected = 0.5 * (seen[0] - seen[1]).square().sum(1)
    shown = model.validate(batch).shown
    torch.testing.assert_close(shown["features"], expected.mean())
    torch.testing.assert_close(shown["kl"], kl_to_standard_normal(*model.posterior(batch)).mean())
    result = model.autoencoder_loss(batch)
    parts = result.shown
    torch.testing.assert_close(result.loss, parts["features"] + 0.5 * parts["kl"] + 2 * parts["adversarial"])


def test_reconstructions_and_samples_are_judged_and_passed_on_without_a_gradient() -> None:
    model, batch = built(), tiny.batch(GREY)
    handed = model.autoencoder_loss(batch).handed_on["generated"]
    assert handed.shape == (16, 1, 16, 16)
    assert not handed.requires_grad
    torch.manual_seed(0)
    found = model.discriminator_loss(batch | {"generated": handed})
    real, generated = model.discriminator(2 * batch["x"] - 1, None), model.discriminator(handed, None)
    expected = nn.functional.softplus(-real).mean() + nn.functional.softplus(generated).mean()
    torch.testing.assert_close(found.loss, expected)


def test_each_turn_moves_its_player_and_only_the_discriminators_turn_its_running_statistics() -> None:
    model, batch = built(), tiny.batch(GREY)
    players = Players(model, {name: PlayerSettings(lr=1e-2) for name in model.players()}, total=1)
    assert model.discriminator.normalizes_batches
    for turn in model.turns(0):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        player = players.give_floor(turn.player)
        result = turn.loss(batch)
        player.move(result.loss, 0)
        batch = batch | result.handed_on
        moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        own = ("discriminator.",) if turn.player == "discriminator" else ("encoder.", "decoder.")
        assert moved
        assert all(name.startswith(own) for name in moved)
        assert any("running_mean" in name for name in moved)


def test_the_statistics_of_the_batch_are_used_while_nothing_is_remembered() -> None:
    model, batch = built(), tiny.batch(GREY)
    torch.manual_seed(0)
    first = model.autoencoder_loss(batch)
    # Running statistics far away would change the features if they were used.
    for part in model.discriminator.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            part.running_mean.fill_(100)
    torch.manual_seed(0)
    torch.testing.assert_close(model.autoencoder_loss(batch).shown["features"], first.shown["features"])
    assert all(part.track_running_stats for part in model.modules() if isinstance(part, nn.BatchNorm2d))


def test_the_loss_of_a_validation_is_half_the_squared_error_of_pixels_and_so_is_pixel_weight() -> None:
    model, batch = built(pixel_weight=2.0).eval(), tiny.batch(GREY)
    expected = 0.5 * (model.reconstruct(batch) - batch["x"]).square().flatten(1).sum(1).mean()
    torch.testing.assert_close(model.validate(batch).loss, expected)
    models, losses = (built().eval(), model), list[Tensor]()
    for each in models:
        torch.manual_seed(0)
        result = each.autoencoder_loss(batch)
        losses.append(result.loss)
    torch.testing.assert_close(losses[1], losses[0] + 2 * result.shown["pixels"])


def test_points_are_generated_without_a_bound() -> None:
    model = built(Mlp(hidden=[6]), Points(2)).eval()
    with torch.no_grad():
        model.decoder[-2].bias.fill_(7.0)  # type: ignore[index]
        assert model.sample(50, generator=torch.Generator().manual_seed(0)).max() > 1
    assert model.autoencoder_loss({"x": 5 * torch.randn(8, 2)}).loss.isfinite()


def test_a_resumed_run_ends_as_one_that_was_never_interrupted(tmp_path: Path) -> None:
    small = ["data=digits", "trainer.batch_size=16", "trainer.epochs=null", "trainer.checkpoint_every=3"]
    small += ["model.network.width=4", "model.network.most=8", "trainer.validate_every=4"]
    small += [f"model.optimizers.{player}.schedule=constant" for player in ("autoencoder", "discriminator")]
    assert_resumed_exactly(tmp_path, "model=vae-gan", *small)


def test_a_negative_weight_is_refused(tmp_path: Path) -> None:
    done = genlab(tmp_path, "train", "model=vae-gan", "data=digits", "model.pixel_weight=-1")
    assert_refused(done, "pixel_weight must be at least 0, got -1.0.")
