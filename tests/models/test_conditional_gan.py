"""Conditional GANs: both players get the class, and samples are of the class that is asked for."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from genlab import build
from genlab.config import compose
from genlab.contract import conditions
from genlab.kinds import Classes, Image, MissingColumnError, Points
from genlab.models.gan import GAN
from genlab.networks.discriminator import Condition
from genlab.networks.mlp import Mlp
from genlab.randomness import normal
from genlab.registry import ConfigError
from tests.fixtures.tiny import batch, linear

LATENT = 3
DIGITS = Classes(tuple("0123456789"))
KIND = Image(1, 2, 5)
CONDITIONS: list[Condition] = ["concatenate", "projection"]
EVERY: list[Condition] = [*CONDITIONS, "auxiliary"]


def conditional(condition: Condition, hidden: int = 6) -> GAN:
    torch.manual_seed(2)
    network = Mlp(hidden=[hidden], activation="tanh")
    return GAN(
        x=KIND,
        label=DIGITS,
        network=network,
        latent_dim=LATENT,
        condition=condition,
        discriminator_normalization="none",
    )


def announcing() -> GAN:
    """Build a GAN whose generator lights the pixel of the class, whatever the noise."""
    model = GAN(x=KIND, label=DIGITS, network=Mlp(hidden=[]), latent_dim=LATENT, condition="projection")
    with torch.no_grad():
        layer = linear(model.generator)
        layer.bias.fill_(-5.0)
        layer.weight.zero_()
        layer.weight[:, LATENT:] = 10 * torch.eye(len(DIGITS))
    return model


def lit(images: Tensor) -> Tensor:
    return images.flatten(1).argmax(1)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_score_depends_on_the_label_of_its_own_image_only(condition: Condition) -> None:
    model, images = conditional(condition), batch(KIND, 4)["x"]
    labels = torch.tensor([0, 3, 3, 9])
    scores = model.discriminator(images, labels)
    for at in range(4):
        others = labels.clone()
        others[at] = 5
        changed = (model.discriminator(images, others) - scores).abs() > 1e-4
        assert changed.tolist() == [place == at for place in range(4)]


def test_a_projection_is_a_score_plus_the_product_of_features_and_class() -> None:
    model, images, labels = conditional("projection"), batch(KIND, 4)["x"], torch.tensor([0, 3, 3, 9])
    state = model.discriminator.state_dict()
    features = functional.leaky_relu(model.discriminator.encoder(images), 0.2)
    expected = [
        float(state["score.weight"][0] @ row + state["score.bias"][0] + state["direction.weight"][label] @ row)
        for row, label in zip(features.detach(), labels, strict=True)
    ]
    assert model.discriminator(images, labels).tolist() == pytest.approx(expected, abs=1e-5)


def test_a_concatenated_label_is_a_channel_of_its_own() -> None:
    model, images, labels = conditional("concatenate"), batch(KIND, 4)["x"], torch.tensor([0, 3, 3, 9])
    planes = model.discriminator.state_dict()["plane.weight"][labels].view(4, 1, KIND.height, KIND.width)
    expected = model.discriminator.encoder(torch.cat([images, planes], 1)).flatten()
    torch.testing.assert_close(model.discriminator(images, labels), expected)


def test_the_label_of_a_point_is_concatenated_as_further_coordinates() -> None:
    kind, labels = Points(2), torch.tensor([0, 3, 3, 9])
    model = GAN(x=kind, label=DIGITS, network=Mlp(hidden=[4]), latent_dim=LATENT, condition="concatenate")
    points, planes = torch.randn(4, 2), model.discriminator.state_dict()["plane.weight"][labels]
    expected = model.discriminator.encoder(torch.cat([points, planes], 1)).flatten()
    torch.testing.assert_close(model.discriminator(points, labels), expected)
    assert model.sample(4, {"label": labels}).shape == (4, 2)


@pytest.mark.parametrize("condition", EVERY)
def test_a_sample_is_generated_from_its_noise_and_its_class(condition: Condition) -> None:
    model, labels = conditional(condition), torch.tensor([7, 0, 7])
    samples = model.sample(3, {"label": labels}, torch.Generator().manual_seed(4))
    drawn = normal(3, LATENT + 1, device=torch.device("cpu"), generator=torch.Generator().manual_seed(4))[:, :LATENT]
    for sample, noise, label in zip(samples, drawn, labels, strict=True):
        given = torch.cat([noise, torch.eye(len(DIGITS))[label]]).unsqueeze(0)
        torch.testing.assert_close(sample, (model.generator(given)[0].tanh() + 1) / 2)


def test_samples_are_of_the_given_classes() -> None:
    labels = torch.arange(40) % len(DIGITS)
    assert torch.equal(lit(announcing().sample(40, {"label": labels})), labels)


def test_classes_that_are_not_given_are_equally_likely() -> None:
    counts = lit(announcing().sample(20_000, generator=torch.Generator().manual_seed(0))).bincount(minlength=10)
    # Chi squared with 9 degrees of freedom is below 27.9 in 999 of 1000 cases.
    assert float((counts - 2000).square().sum() / 2000) < 27.9


def test_giving_the_classes_that_would_be_drawn_changes_nothing() -> None:
    model = announcing()
    drawn = model.sample(30, generator=torch.Generator().manual_seed(4))
    assert torch.equal(model.sample(30, {"label": lit(drawn)}, torch.Generator().manual_seed(4)), drawn)
    assert torch.equal(model.sample(30, {}, torch.Generator().manual_seed(4)), drawn)


def test_another_number_of_labels_than_samples_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^3 samples need 3 labels, got 2\.$"):
        announcing().sample(3, {"label": torch.tensor([1, 2])})


@pytest.mark.parametrize("condition", CONDITIONS)
def test_both_players_get_the_labels_of_the_batch(condition: Condition) -> None:
    seen: list[Tensor] = []

    class Witness(torch.nn.Module):
        def judge(self, images: Tensor, labels: Tensor) -> tuple[Tensor, None]:
            seen.extend([labels, lit(images)])
            return images.mean((1, 2, 3)), None

    model, images = announcing(), batch(KIND, 6)
    # Real images light the first pixel, whatever their class.
    images["x"][:] = torch.eye(len(DIGITS))[0].view(KIND.shape)
    model.discriminator = Witness()  # type: ignore[assignment]
    model.discriminator_loss(images)
    model.generator_loss(images)
    model.validate(images)
    labels, first = images["label"], torch.zeros(6, dtype=torch.long)
    expected = [labels, first, labels, labels, labels, labels, labels, first, labels, labels]
    assert [tensor.tolist() for tensor in seen] == [tensor.tolist() for tensor in expected]


def test_an_unconditional_gan_ignores_labels() -> None:
    labelled = batch(KIND, 6)
    model, losses = conditional("none"), []
    for images in (labelled, {"x": labelled["x"]}):
        torch.manual_seed(3)
        losses.append([turn.loss(images).loss.item() for turn in model.turns(0)])
    assert losses[0] == losses[1]
    choices = (None, {"label": torch.tensor([1, 2, 3])})
    samples = [model.sample(3, choice, torch.Generator().manual_seed(0)) for choice in choices]
    assert torch.equal(*samples)


def test_a_gan_says_which_condition_it_is_told() -> None:
    assert conditions(conditional("none")) == {}
    for condition in EVERY:
        assert conditions(conditional(condition)) == {"label": DIGITS}


@pytest.mark.parametrize("condition", EVERY)
def test_a_condition_without_labels_is_refused(condition: Condition) -> None:
    with pytest.raises(MissingColumnError) as caught:
        GAN(x=KIND, label=None, network=Mlp(hidden=[]), latent_dim=LATENT, condition=condition)
    assert (caught.value.column, caught.value.advice) == ("label", "Or set model.condition=none.")


def share_of_right_digits(folder: Path, *settings: str) -> float:
    """Train a cgan on digits; return the share of samples that a classifier of real digits takes for their class."""
    from sklearn.linear_model import LogisticRegression

    config = compose.compose(["model=cgan", "data=digits", "device=cpu", "trainer.epochs=null", *FAST, *settings])
    dataset = build.build_data(config)
    trainer = build.build_trainer(config, dataset)
    trainer.fit(folder)
    labels = torch.arange(10).repeat_interleave(50)
    with trainer.validation.looking():
        assert isinstance(trainer.model, GAN)
        samples = trainer.model.sample(500, {"label": labels}, torch.Generator().manual_seed(1))
    rows = dataset.splits["train"]
    assert dataset.labels is not None
    classifier = LogisticRegression(max_iter=300)
    images = dataset.columns["x"].rows[rows].flatten(1).div(255)
    classifier.fit(images.numpy(), dataset.labels[rows].numpy())
    return float((torch.from_numpy(classifier.predict(samples.flatten(1).numpy())) == labels).float().mean())


FAST = [f"model.optimizers.{player}.lr=2e-3" for player in ("discriminator", "generator")]
FAST += [f"trainer.{every}_every=100000" for every in ("validate", "checkpoint", "log")]
FAST += ["trainer.batch_size=64", "model.optimizers.generator.ema=0.99"]


def test_a_cgan_generates_the_digit_that_is_asked_for(tmp_path: Path) -> None:
    small = ["model/network=mlp-deep", "model.network.hidden=[64]", "model.discriminator_normalization=none"]
    assert share_of_right_digits(tmp_path, *small, "trainer.steps=400") > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("condition", EVERY)
def test_a_convolutional_cgan_generates_the_digit_that_is_asked_for(tmp_path: Path, condition: str) -> None:
    small = ["model.network.width=16", "model.network.most=16", f"model.condition={condition}"]
    assert share_of_right_digits(tmp_path, *small, "trainer.steps=500") > 0.85
