"""A GAN that is told the class: both players hear it, and the image that is asked for is the one that comes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from genlab import build
from genlab.config import compose as config
from genlab.contract import Shape
from genlab.models.critic import Condition
from genlab.models.gan import GAN
from genlab.networks.mlp import Mlp
from tests.fixtures.tiny import batch

CLASSES, LATENT = 10, 3
SHAPE = Shape(1, 2, 5)
CONDITIONS: list[Condition] = ["concatenate", "projection"]


def told(condition: Condition, hidden: int = 6) -> GAN:
    torch.manual_seed(2)
    network = Mlp(hidden=[hidden], activation="tanh")
    return GAN(
        shape=SHAPE,
        classes=CLASSES,
        network=network,
        latent_dim=LATENT,
        condition=condition,
        critic_normalization="none",
    )


def announcing() -> GAN:
    """A generator that lights the pixel of the class that it is told, whatever the noise."""
    model = GAN(shape=SHAPE, classes=CLASSES, network=Mlp(hidden=[]), latent_dim=LATENT, condition="projection")
    with torch.no_grad():
        model.generator[0].bias.fill_(-5.0)
        model.generator[0].weight.zero_()
        model.generator[0].weight[:, LATENT:] = 10 * torch.eye(CLASSES)
    return model


def lit(images: Tensor) -> Tensor:
    return images.flatten(1).argmax(1)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_score_depends_on_the_label_of_its_own_image_alone(condition: Condition) -> None:
    model, images = told(condition), batch(SHAPE, 4)["image"]
    labels = torch.tensor([0, 3, 3, 9])
    scores = model.critic(images, labels)
    for at in range(4):
        others = labels.clone()
        others[at] = 5
        changed = (model.critic(images, others) - scores).abs() > 1e-4
        assert changed.tolist() == [place == at for place in range(4)]


def test_a_projection_is_a_score_plus_the_product_of_features_and_class() -> None:
    model, images, labels = told("projection"), batch(SHAPE, 4)["image"], torch.tensor([0, 3, 3, 9])
    state = model.critic.state_dict()
    features = functional.leaky_relu(model.critic.encoder(images), 0.2)
    expected = [
        float(state["score.weight"][0] @ row + state["score.bias"][0] + state["direction.weight"][label] @ row)
        for row, label in zip(features.detach(), labels, strict=True)
    ]
    assert model.critic(images, labels).tolist() == pytest.approx(expected, abs=1e-5)


def test_a_label_that_is_concatenated_is_a_channel_of_its_own() -> None:
    model, images, labels = told("concatenate"), batch(SHAPE, 4)["image"], torch.tensor([0, 3, 3, 9])
    planes = model.critic.state_dict()["plane.weight"][labels].view(4, 1, *SHAPE[1:])
    expected = model.critic.encoder(torch.cat([images, planes], 1)).flatten()
    torch.testing.assert_close(model.critic(images, labels), expected)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_sample_is_made_of_its_noise_and_its_class(condition: Condition) -> None:
    model, labels = told(condition), torch.tensor([7, 0, 7])
    samples = model.sample(3, labels, torch.Generator().manual_seed(4))
    drawn = model.noise(3, LATENT + 1, generator=torch.Generator().manual_seed(4))[:, :LATENT]
    for sample, noise, label in zip(samples, drawn, labels, strict=True):
        given = torch.cat([noise, torch.eye(CLASSES)[label]]).unsqueeze(0)
        torch.testing.assert_close(sample, (model.generator(given)[0].tanh() + 1) / 2)


def test_samples_are_of_the_classes_that_are_asked_for() -> None:
    labels = torch.arange(40) % CLASSES
    assert torch.equal(lit(announcing().sample(40, labels)), labels)


def test_classes_that_nobody_asks_for_are_equally_likely() -> None:
    counts = lit(announcing().sample(20_000, generator=torch.Generator().manual_seed(0))).bincount(minlength=CLASSES)
    # Chi squared with 9 degrees of freedom is below 27.9 in 999 of 1000 cases.
    assert float((counts - 2000).square().sum() / 2000) < 27.9


def test_asking_for_the_classes_that_would_be_drawn_changes_nothing() -> None:
    model = announcing()
    drawn = model.sample(30, generator=torch.Generator().manual_seed(4))
    assert torch.equal(model.sample(30, lit(drawn), torch.Generator().manual_seed(4)), drawn)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_both_players_are_told_the_labels_of_the_batch(condition: Condition) -> None:
    heard: list[Tensor] = []

    class Witness(torch.nn.Module):
        def forward(self, images: Tensor, labels: Tensor) -> Tensor:
            heard.extend([labels, lit(images)])
            return images.mean((1, 2, 3))

    model, images = announcing(), batch(SHAPE, 6)
    # Real images light a pixel that tells nothing.
    images["image"][:] = torch.eye(CLASSES)[0].view(SHAPE)
    model.critic = Witness()  # type: ignore[assignment]
    model.critic_loss(images)
    model.generator_loss(images)
    model.validate(images)
    labels, nothing = images["label"], torch.zeros(6, dtype=torch.long)
    expected = [labels, nothing, labels, labels, labels, labels, labels, nothing, labels, labels]
    assert [tensor.tolist() for tensor in heard] == [tensor.tolist() for tensor in expected]


def test_a_gan_that_is_told_nothing_passes_over_labels() -> None:
    labelled = batch(SHAPE, 6)
    model, losses = told("none"), []
    for images in (labelled, {"image": labelled["image"]}):
        torch.manual_seed(3)
        losses.append([turn.loss(images)["loss"].item() for turn in model.turns(0)])
    assert losses[0] == losses[1]
    given = (model.sample(3, labels, torch.Generator().manual_seed(0)) for labels in (None, torch.tensor([1, 2, 3])))
    assert torch.equal(*given)


def test_a_row_of_what_is_shown_is_a_class_and_a_column_a_noise() -> None:
    shown = announcing().show(batch(SHAPE))["samples"]
    assert shown.shape == (CLASSES, 8, *SHAPE)
    assert torch.equal(lit(shown.flatten(0, 1)), torch.arange(CLASSES).repeat_interleave(8))
    torch.manual_seed(1)
    grid = told("concatenate").show(batch(SHAPE))["samples"]
    noises = grid.detach().std(0).mean(), grid.detach().std(1).mean()
    assert all(float(spread) > 0.01 for spread in noises)
    model = told("concatenate")
    with torch.no_grad():
        model.generator[0].weight[:, LATENT:] = 0  # Deaf to the class: every row is the same.
    deaf = model.show(batch(SHAPE))["samples"]
    torch.testing.assert_close(deaf, deaf[:1].expand_as(deaf))
    assert float(deaf.detach().std(1).mean()) > 0.01


def asked_for(folder: Path, *settings: str) -> float:
    """The part of a trained cgan's digits that a classifier of real digits takes for what was asked for."""
    from sklearn.linear_model import LogisticRegression

    wanted = config.compose(["model=cgan", "data=digits", "device=cpu", "trainer.epochs=null", *FAST, *settings])
    images = build.build_images(wanted)
    trainer = build.build_trainer(wanted, images)
    trainer.fit(folder)
    labels = torch.arange(10).repeat_interleave(50)
    with trainer.examiner.looking():
        assert isinstance(trainer.model, GAN)
        samples = trainer.model.sample(500, labels, torch.Generator().manual_seed(1))
    rows = images.splits["train"]
    assert images.labels is not None
    classifier = LogisticRegression(max_iter=300)
    classifier.fit(images.pixels[rows].flatten(1).div(255).numpy(), images.labels[rows].numpy())
    return float((torch.from_numpy(classifier.predict(samples.flatten(1).numpy())) == labels).float().mean())


FAST = [f"model.players.{player}.rate=2e-3" for player in ("critic", "generator")]
FAST += [f"trainer.{every}_every=100000" for every in ("validate", "checkpoint", "log")]
FAST += ["trainer.batch_size=64", "trainer.average=0.99"]


def test_a_cgan_of_digits_makes_the_digit_that_is_asked_for(tmp_path: Path) -> None:
    small = ["model/network=mlp-deep", "model.network.hidden=[64]", "model.critic_normalization=none"]
    assert asked_for(tmp_path, *small, "trainer.steps=400") > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_convolutional_cgan_of_digits_hears_the_class_either_way(tmp_path: Path, condition: str) -> None:
    small = ["model.network.width=16", "model.network.most=16", f"model.condition={condition}"]
    assert asked_for(tmp_path, *small, "trainer.steps=500") > 0.85
