"""Auxiliary classifiers: the discriminator names the class, and the generator is trained to be recognised."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.kinds import Classes, Image, Points
from genlab.models.gan import GAN
from genlab.networks.mlp import Mlp
from tests.fixtures.tiny import batch

DIGITS = Classes(tuple("0123456789"))
KIND = Image(1, 2, 5)


def auxiliary(weight: float = 1.0, r1: float = 0.0) -> GAN:
    torch.manual_seed(2)
    return GAN(
        x=KIND,
        label=DIGITS,
        network=Mlp(hidden=[6], activation="tanh"),
        latent_dim=3,
        condition="auxiliary",
        class_weight=weight,
        discriminator_normalization="none",
        r1=r1,
    )


def by_hand(model: GAN, items: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores and the classification error."""
    classifier = model.discriminator.classifier
    assert classifier is not None
    features = functional.leaky_relu(model.discriminator.encoder(items), 0.2)
    scores = model.discriminator.score(features).squeeze(1)
    logits = features @ classifier.weight.T + classifier.bias
    errors = logits.logsumexp(1) - logits[torch.arange(len(items)), labels]
    return scores, errors.mean()


def test_the_losses_of_both_players_are_those_of_the_paper() -> None:
    model, items = auxiliary(weight=0.5), batch(KIND, 6)
    torch.manual_seed(3)
    result = model.generator_loss(items)
    generated, labels = result.handed_on["generated"], items["label"]
    scores, error = by_hand(model, generated, labels)
    torch.testing.assert_close(result.shown["adversarial"], functional.softplus(-scores).mean())
    torch.testing.assert_close(result.shown["classification"], error)
    torch.testing.assert_close(result.loss, result.shown["adversarial"] + 0.5 * error)

    found = model.discriminator_loss(items | {"generated": generated})
    real_scores, real_error = by_hand(model, 2 * items["x"] - 1, labels)
    adversarial = functional.softplus(-real_scores).mean() + functional.softplus(scores).mean()
    torch.testing.assert_close(found.loss, adversarial + 0.5 * (real_error + error))
    torch.testing.assert_close(found.shown["classification"], real_error + error)


def test_with_r1_real_items_are_classified_too() -> None:
    model, items = auxiliary(r1=1.0), batch(KIND, 6)
    items["generated"] = torch.zeros(6, *KIND.shape)
    smooth, plain = model.smooth_discriminator_loss(items), model.discriminator_loss(items)
    torch.testing.assert_close(smooth.shown["classification"], plain.shown["classification"])
    torch.testing.assert_close(smooth.loss, plain.loss + smooth.shown["r1"])


def test_the_scores_do_not_depend_on_the_labels() -> None:
    model, images = auxiliary(), batch(KIND, 4)["x"]
    assert torch.equal(model.discriminator(images, torch.arange(4)), model.discriminator(images, torch.zeros(4).long()))


def test_validation_shows_the_accuracy_on_real_and_on_generated_items() -> None:
    class Names(nn.Module):
        """Names the pixel that is lit; generated items light none, so it names the first class."""

        classifier = nn.Linear(1, 1)

        def judge(self, items: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            return items.mean((1, 2, 3)), 10 * items.flatten(1)

    model, labels = auxiliary().eval(), torch.tensor([0, 1, 2, 3])
    model.discriminator = Names()  # type: ignore[assignment]
    with torch.no_grad():
        for weight in model.generator.parameters():
            weight.zero_()
    images = torch.eye(10)[[0, 1, 2, 9]].view(4, *KIND.shape)
    shown = model.validate({"x": images, "label": labels}).shown
    assert float(shown["real_class_accuracy"]) == pytest.approx(0.75)
    assert float(shown["generated_class_accuracy"]) == pytest.approx(0.25)


@pytest.mark.parametrize("condition", ["none", "projection"])
def test_other_gans_show_no_classification(condition: str) -> None:
    model = GAN(x=KIND, label=DIGITS, network=Mlp(hidden=[6]), latent_dim=3, condition=condition)  # type: ignore[arg-type]
    items = batch(KIND, 6)
    for result in (model.generator_loss(items), model.discriminator_loss(items), model.validate(items)):
        assert not {name for name in result.shown if "class" in name or name == "adversarial"}


def test_a_generator_that_is_trained_to_be_recognised_puts_each_class_in_its_place() -> None:
    """Points of four classes lie at four corners; after a short game each class is generated at its own corner."""
    corners = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    torch.manual_seed(0)
    model = GAN(
        x=Points(2),
        label=Classes(tuple("abcd")),
        network=Mlp(hidden=[32], activation="leaky"),
        latent_dim=2,
        condition="auxiliary",
        discriminator_normalization="none",
        r1=0.1,
    )
    players = [(turn, model.players()[turn.player]) for turn in model.turns(1)]
    optimizers = [torch.optim.Adam(part.parameters(), 3e-3, (0.5, 0.9)) for _, part in players]  # type: ignore[union-attr]
    for _ in range(400):
        labels = torch.randint(0, 4, (64,))
        items = {"x": corners[labels] + 0.1 * torch.randn(64, 2), "label": labels}
        for (turn, _), optimizer in zip(players, optimizers, strict=True):
            optimizer.zero_grad()
            result = turn.loss(items)
            result.loss.backward()
            optimizer.step()
            items |= result.handed_on
    labels = torch.arange(4).repeat(50)
    with torch.no_grad():
        nearest = torch.cdist(model.eval().sample(200, {"label": labels}), corners).argmin(1)
    assert float((nearest == labels).float().mean()) > 0.9
