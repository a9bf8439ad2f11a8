"""pix2pix and CycleGAN: their inputs, their store of past images, and whether they learn."""

from typing import Any

import pytest
import torch
from torch import Tensor

from genlab import randomness
from genlab.build import build_model, build_trainer
from genlab.config.compose import compose
from genlab.contract import Batch
from genlab.data.dataset import Dataset
from genlab.data.sources.drawn.faces import faces
from genlab.kinds import Classes, Image
from genlab.metrics.translation import MeanColour
from genlab.models.cyclegan import CycleGAN
from genlab.models.past_images import PastImages
from genlab.models.pix2pix import Pix2Pix, Task
from genlab.models.spoiling import GREY, edges, without_a_box, without_colour
from genlab.registry import ConfigError
from tests.fixtures.toys import toy_splits

COLOUR = Image(3, 16, 16)
TWO = Classes(("no hat", "hat"))
SMALL: dict[str, Any] = {"width": 4, "discriminator_width": 4, "patch": 16}


def pix2pix(task: Task, x: Image = COLOUR, **more: Any) -> Pix2Pix:
    return Pix2Pix(x=x, task=task, most=16, dropout=0.0, **SMALL, **more)


def cyclegan(**more: Any) -> CycleGAN:
    torch.manual_seed(0)
    return CycleGAN(x=COLOUR, label=TWO, blocks=1, **SMALL, **more)


def test_colorize_is_given_the_brightness() -> None:
    images = torch.rand(5, 3, 16, 16)
    source, target = pix2pix("colorize").damage({"x": images})
    assert target is images
    red, green, blue = images[:, 0], images[:, 1], images[:, 2]
    assert torch.allclose(source[:, 0], 0.299 * red + 0.587 * green + 0.114 * blue)
    assert torch.allclose(without_colour(torch.full((1, 3, 2, 2), 0.7)), torch.tensor(0.7))


def test_inpaint_takes_away_one_box_of_each_image_and_nothing_else() -> None:
    torch.manual_seed(3)
    images = torch.rand(200, 3, 16, 24)
    source = without_a_box(images)
    changed = (source != images).all(1)
    rows, columns = changed.any(2), changed.any(1)
    # A box is all places that are in its rows and in its columns, and both follow each other.
    assert torch.equal(changed, rows.unsqueeze(2) & columns.unsqueeze(1))
    for places, side in ((rows, 16), (columns, 24)):
        assert set(places.sum(1).tolist()) == set(range(side // 4, side // 2 + 1))
        assert ((places.int().diff(dim=1) != 0).sum(1) <= 2).all()
        assert places.any(0).all(), "a box can lie anywhere"
    assert (source.movedim(1, 3)[changed] == GREY).all()
    assert (source == images).movedim(1, 3)[~changed].all()


def test_edges_are_the_length_of_the_gradient() -> None:
    step = torch.zeros(1, 3, 6, 6)
    step[:, 1, :, 3:] = 0.6
    found = edges(step)[0, 0]
    assert found.shape == (6, 6)
    assert torch.allclose(found[:, 2:4], torch.tensor(0.6))
    assert not found[:, [0, 1, 4, 5]].any()
    assert edges(torch.full((1, 1, 5, 5), 0.4)).max() < 1e-6
    assert edges(torch.rand(4, 3, 8, 8) * 5).max() <= 1


def test_pairs_translate_y_into_x() -> None:
    model = Pix2Pix(x=COLOUR, y=Image(1, 16, 16), task="pairs", most=16, dropout=0.0, **SMALL)
    batch = {"x": torch.rand(3, 3, 16, 16), "y": torch.rand(3, 1, 16, 16)}
    source, target = model.damage(batch)
    assert source is batch["y"]
    assert target is batch["x"]
    assert model.translate(source).shape == target.shape


@pytest.mark.parametrize(
    ("settings", "kinds", "sentence"),
    [
        (["model=pix2pix", "model.task=colorize"], {"x": Image(1, 28, 28)}, "task colorize needs colour images"),
        (["model=pix2pix", "model.task=pairs"], {"x": COLOUR}, "needs pairs .a column 'y'., and data .* has none"),
        (["model=pix2pix"], {"x": Image(3, 6, 6)}, "a U-Net needs images of at least 8 x 8 pixels"),
        (["model=cyclegan"], {"x": COLOUR}, "model 'cyclegan' needs labels"),
        (
            ["model=cyclegan", "model.domains=[hat,1]"],
            {"x": COLOUR, "label": TWO},
            "different classes, got 'hat' twice",
        ),
        (["model=cyclegan", "model.domains=[hat,het]"], {"x": COLOUR, "label": TWO}, "Unknown class 'het'"),
        (["model=cyclegan", "model.domains=[0]"], {"x": COLOUR, "label": TWO}, "domains must be a list of 2 values"),
        (["model=cyclegan"], {"x": Image(3, 18, 18), "label": TWO}, "multiples of 4"),
    ],
)
def test_data_that_does_not_fit_is_refused(settings: list[str], kinds: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build_model(compose(settings), kinds)


def test_the_generator_is_judged_beside_its_input_and_by_its_pixels() -> None:
    model, batch = pix2pix("edges", pixels=100.0), {"x": torch.rand(4, 3, 16, 16)}
    result = model.generator_loss(batch)
    error = (result.handed_on["generated"] - (2 * batch["x"] - 1)).abs().mean()
    scores = model.discriminator(torch.cat([2 * edges(batch["x"]) - 1, result.handed_on["generated"]], 1))
    expected = torch.nn.functional.softplus(-scores).mean() + 100 * error
    assert float(result.loss.detach()) == pytest.approx(float(expected), rel=1e-4)


class Pool:
    """The store as the authors of CycleGAN describe it, image by image."""

    def __init__(self, size: int) -> None:
        self.size, self.images = size, list[Tensor]()

    def query(self, images: Tensor, draws: Tensor) -> Tensor:
        found = []
        for image, (chance, place) in zip(images, draws.tolist(), strict=True):
            if len(self.images) < self.size:
                self.images.append(image)
                found.append(image)
            elif chance < 0.5:
                number = int(place * self.size)
                found.append(self.images[number])
                self.images[number] = image
            else:
                found.append(image)
        return torch.stack(found)


@pytest.mark.parametrize("size", [1, 3, 10, 50])
def test_the_store_exchanges_images_as_in_the_paper(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    store, pool = PastImages(Image(1, 2, 2), size), Pool(size)
    for count in (4, 7, 1, 8, 8, 8):
        images, draws = torch.rand(count, 1, 2, 2), torch.rand(count, 2)
        monkeypatch.setattr(randomness, "uniform", lambda *_, draws=draws, **__: draws)
        found = store.exchanged(images, torch.ones(count, dtype=torch.bool))
        assert torch.equal(found, pool.query(images, draws))
        assert int(store.stored) == len(pool.images)
        assert torch.equal(store.images[: len(pool.images)], torch.stack(pool.images))


def test_images_that_do_not_count_and_images_that_are_not_finite_are_not_stored() -> None:
    store, images = PastImages(Image(1, 2, 2), 4), torch.rand(3, 1, 2, 2)
    assert torch.equal(store.exchanged(images, torch.tensor([False, True, False])), images)
    assert torch.equal(store.images[0], images[1])
    assert int(store.stored) == 1
    store.exchanged(images * torch.inf, torch.ones(3, dtype=torch.bool))
    assert int(store.stored) == 1
    assert store.images.isfinite().all()


def test_a_batch_is_taken_apart_by_domain_and_surplus_images_count_for_nothing() -> None:
    model, images = cyclegan(past=0), torch.rand(6, 3, 16, 16)
    mixed: Batch = {"x": images, "label": torch.tensor([1, 0, 1, 0, 0, 1])}
    sorted_: Batch = {"x": images[[1, 3, 4, 0, 2, 5]], "label": torch.tensor([0, 0, 0, 1, 1, 1])}
    one, other = model.generator_loss(mixed).loss, model.generator_loss(sorted_).loss
    assert float(one.detach()) == pytest.approx(float(other.detach()), rel=1e-5)
    alone = model.generator_loss({"x": images[:4], "label": torch.tensor([1, 1, 1, 1])})
    assert alone.loss.isfinite()


def test_the_losses_of_cyclegan_are_those_of_the_paper() -> None:
    model, images = cyclegan(past=0), torch.rand(4, 3, 16, 16)
    batch = {"x": images, "label": torch.tensor([0, 0, 1, 1])}
    first, second = (2 * images - 1).chunk(2)
    fake_second, fake_first = model.to_second(first), model.to_first(second)
    found = model.generator_loss(batch)
    adversarial = (model.second(fake_second) - 1).square().mean() + (model.first(fake_first) - 1).square().mean()
    cycle = (model.to_first(fake_second) - first).abs().mean() + (model.to_second(fake_first) - second).abs().mean()
    identity = (model.to_second(second) - second).abs().mean() + (model.to_first(first) - first).abs().mean()
    expected = adversarial + 10 * cycle + 5 * identity
    assert float(found.loss) == pytest.approx(float(expected), rel=1e-4)
    judged = model.discriminator_loss(batch | found.handed_on)
    real = (model.first(first) - 1).square().mean() + (model.second(second) - 1).square().mean()
    wrong = model.first(fake_first).square().mean() + model.second(fake_second).square().mean()
    assert float(judged.loss) == pytest.approx(float(real + wrong) / 2, rel=1e-4)


def test_each_image_is_translated_into_the_domain_that_it_is_asked_for() -> None:
    model, images = cyclegan().eval(), torch.rand(4, 3, 16, 16)
    with torch.no_grad():
        mixed = model.translate(images, torch.tensor([0, 1, 1, 0]))
        first, second = ((network(2 * images - 1) + 1) / 2 for network in (model.to_first, model.to_second))
    assert torch.allclose(mixed, torch.stack([first[0], second[1], second[2], first[3]]), atol=1e-6)


@pytest.mark.slow
def test_colorize_learns_more_than_the_mean_colour() -> None:
    data = faces(count=700, size=16, seed=0, validation=50, test=50)
    images = data.kind.load(data.columns["x"].rows)
    train, test = images[data.splits["train"]], images[data.splits["test"]]
    torch.manual_seed(0)
    model = Pix2Pix(x=COLOUR, task="colorize", width=16, most=32, dropout=0.0, discriminator_width=4, patch=16)
    optimizer = torch.optim.Adam(model.generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    rival = torch.optim.Adam(model.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    for step in range(120):
        batch: Batch = {"x": train[torch.randint(len(train), (16,))]}
        for turn, mover in zip(model.turns(step), (optimizer, rival), strict=True):
            result = turn.loss(batch)
            mover.zero_grad()
            result.loss.backward()
            mover.step()
            batch = batch | {name: values.detach() for name, values in result.handed_on.items()}
    source, target = model.eval().damage({"x": test})
    baseline = MeanColour.of([(without_colour(train), train)])(source)
    with torch.no_grad():
        errors = [(found - target).square().mean() for found in (model.translate(source), baseline)]
    assert errors[0] < 0.9 * errors[1]


def four_classes(*present: int) -> Dataset:
    """Make images of the classes a to d, of which only some are present."""
    labels = torch.tensor(present).repeat(10)
    pixels = torch.randint(0, 256, (len(labels), 1, 16, 16), dtype=torch.uint8)
    return Dataset.of_images(pixels, toy_splits(len(labels)), labels, ("a", "b", "c", "d"))


def test_batches_have_equally_many_images_of_both_domains_and_no_others() -> None:
    config = compose(["model=cyclegan", "model.domains=[b,3]", "model.width=4", "model.patch=16", "trainer=smoke"])
    trainer = build_trainer(config, four_classes(0, 0, 0, 1, 1, 3))
    for number in range(5):
        assert trainer.data.batch(number)["label"].bincount(minlength=4).tolist() == [0, 8, 0, 8]
    seen = torch.cat([batch["label"] for batch in trainer.validation.splits["validation"].once()])
    assert set(seen.tolist()) == {1, 3}
    with pytest.raises(ConfigError, match="The data has no training images of class 'd'"):
        build_trainer(config, four_classes(0, 1, 2))
