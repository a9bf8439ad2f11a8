"""Drawn images: exact, the same in every call, with attributes that are independent and visible."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from genlab.data import SOURCES
from genlab.data.dataset import SPLITS, Dataset
from genlab.data.sources.drawn import canvas, faces, shapes
from genlab.data.sources.drawn.canvas import Painting, Plane
from genlab.data.sources.drawn.factors import BLOCK, Choice, Factors, draw_factors
from genlab.kinds import Image, Points
from genlab.registry import ConfigError
from tests.fixtures.files import assert_splits_part

SMALL = {"count": 40, "size": 16, "seed": 0, "validation": 5, "test": 10}
IN_COLOUR: Factors = shapes.FACTORS | {"colour": Choice(tuple(shapes.PALETTE))}
DRAWN: dict[str, tuple[Callable[[dict[str, Tensor], int], Tensor], Factors]] = {
    "shapes": (shapes.draw, IN_COLOUR),
    "faces": (faces.draw, faces.FACTORS),
}
DRAWINGS = pytest.mark.parametrize("drawing", DRAWN)


def drawn(drawing: str, **changed: int) -> Dataset:
    colour = {"colour": True} if drawing == "shapes" else {}
    return SOURCES[drawing](**SMALL | colour | changed)


@DRAWINGS
def test_the_same_settings_draw_the_same_images_and_another_seed_draws_others(drawing: str) -> None:
    one, again, other = drawn(drawing), drawn(drawing), drawn(drawing, seed=1)
    assert torch.equal(one.columns["x"].rows, again.columns["x"].rows)
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert not torch.equal(one.columns["x"].rows, other.columns["x"].rows)


@DRAWINGS
def test_the_images_have_the_wanted_size_and_every_factor_as_an_attribute(drawing: str) -> None:
    images = drawn(drawing)
    assert images.kind == Image(3, 16, 16)
    # The names x and y are taken by columns of the data set.
    renamed = {"x": "position_x", "y": "position_y"}
    assert set(images.attributes) == {renamed.get(name, name) for name in DRAWN[drawing][1]}
    assert_splits_part(images)
    assert [len(images.splits[name]) for name in SPLITS] == [25, 5, 10]


@DRAWINGS
def test_redrawing_gives_the_images_and_another_attribute_another_image(drawing: str) -> None:
    images = drawn(drawing)
    rows = {name: column.rows for name, column in images.attributes.items()}
    assert images.redraw
    assert torch.equal(images.redraw(rows), images.columns["x"].rows)
    moved = images.with_splits(images.splits).redraw
    assert moved
    changed = (moved({**rows, "size": rows["size"] * 0.9}) != images.columns["x"].rows).flatten(1).any(1)
    assert changed.all()


def test_the_label_is_the_shape_or_the_smile() -> None:
    assert drawn("shapes").classes == ("square", "ellipse", "heart")
    assert drawn("faces").classes == ("no smile", "smile")
    for drawing, attribute in (("shapes", "shape"), ("faces", "smile")):
        images = drawn(drawing)
        assert images.labels is not None
        assert torch.equal(images.labels, images.attributes[attribute].rows)


@DRAWINGS
def test_a_larger_set_starts_with_the_smaller_one_and_only_adds_training_images(drawing: str) -> None:
    small, large = drawn(drawing), drawn(drawing, count=BLOCK + 3)
    for name, column in small.columns.items():
        assert torch.equal(large.columns[name].rows[:40], column.rows)
    assert torch.equal(large.splits["test"], small.splits["test"])
    assert torch.equal(large.splits["validation"], small.splits["validation"])


@DRAWINGS
def test_an_image_does_not_depend_on_the_others_that_are_drawn_with_it(
    drawing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, factors = DRAWN[drawing]
    truth = draw_factors(factors, 60, 0, "together")
    together = draw(truth, 33)
    for chunk in (1, 7 * 33**2):
        monkeypatch.setattr(canvas, "CHUNK", chunk)
        assert torch.equal(draw(truth, 33), together)
    backwards = draw({name: values.flip(0) for name, values in truth.items()}, 33)
    assert torch.equal(backwards.flip(0), together)


def test_colour_changes_nothing_but_the_colour() -> None:
    grey = SOURCES["shapes"](colour=False, **SMALL)
    coloured = drawn("shapes")
    assert grey.kind == Image(1, 16, 16)
    assert "colour" not in grey.attributes
    assert torch.equal(grey.attributes["angle"].rows, coloured.attributes["angle"].rows)
    brightest = torch.tensor(list(shapes.PALETTE.values())).amax(1)[coloured.attributes["colour"].rows]
    expected = grey.columns["x"].rows[:, 0] / 255 * brightest.view(-1, 1, 1)
    assert (coloured.columns["x"].rows.amax(1) - expected).abs().max() <= 1


@DRAWINGS
def test_every_two_attributes_are_independent(drawing: str) -> None:
    factors = DRAWN[drawing][1]
    count = 20_000
    truth = draw_factors(factors, count, 0, drawing)
    bins = {name: tenths(values, factors[name]) for name, values in truth.items()}
    for one, other in itertools.combinations(bins, 2):
        table = torch.zeros(int(bins[one].max()) + 1, int(bins[other].max()) + 1)
        table.index_put_((bins[one], bins[other]), torch.ones(count), accumulate=True)
        # One in ten thousand by chance; there are at most 66 pairs.
        assert stats.chi2_contingency(table.numpy()).pvalue > 1e-4, f"{one} and {other}"


def tenths(values: Tensor, factor: object) -> Tensor:
    """Choices as they are, and for numbers the tenth of their range."""
    if isinstance(factor, Choice):
        return values
    lowest, highest = values.min(), values.max()
    return ((values - lowest) / (highest - lowest) * 10).long().clamp(max=9)


@DRAWINGS
def test_all_values_of_an_attribute_are_equally_likely(drawing: str) -> None:
    factors = DRAWN[drawing][1]
    for name, values in draw_factors(factors, 20_000, 0, drawing).items():
        assert stats.chisquare(tenths(values, factors[name]).bincount().numpy()).pvalue > 1e-4, name


@pytest.mark.parametrize("name", faces.FACTORS)
def test_every_attribute_of_a_face_is_visible_whatever_the_others_are(name: str) -> None:
    truth = draw_factors(faces.FACTORS, 100, 3, "faces")
    factor = faces.FACTORS[name]
    values = range(len(factor.names)) if isinstance(factor, Choice) else (factor.lowest, factor.highest)
    pictures = [faces.draw(truth | {name: torch.full_like(truth[name], value)}, 32).int() for value in values]
    for one, other in itertools.combinations(pictures, 2):
        changed = (one - other).abs().amax(1).flatten(1)
        assert (changed >= 40).sum(1).min() >= 5


@DRAWINGS
def test_the_whole_drawing_is_always_inside_the_image(drawing: str) -> None:
    draw, factors = DRAWN[drawing]
    count, size = 40, 256
    truth = draw_factors(factors, count, 0, "edges")
    # All numbers at their ends: the largest drawings, farthest from the middle and turned most.
    for name, factor in factors.items():
        if not isinstance(factor, Choice) and name != "angle":
            middle = (factor.lowest + factor.highest) / 2
            truth[name] = torch.where(truth[name] < middle, factor.lowest, factor.highest)
    images = draw(truth | {"size": torch.ones(count)}, size)
    edge = torch.cat([images[..., 0, :], images[..., -1, :], images[..., :, 0], images[..., :, -1]], -1)
    assert torch.equal(edge.amin(-1), edge.amax(-1))


def shape(kind: int, size: int, **changed: float) -> Tensor:
    """One grey shape, as numbers from 0 to 1."""
    truth = {"size": 0.9, "angle": 0.0, "x": 0.5, "y": 0.5} | changed
    factors = {name: torch.tensor([value]) for name, value in truth.items()}
    return shapes.draw(factors | {"shape": torch.tensor([kind])}, size)[0, 0] / 255


@pytest.mark.parametrize("size", [16, 64, 256])
@pytest.mark.parametrize("angle", [0.0, 33.0, 90.0])
def test_a_shape_covers_the_area_that_it_has(size: int, angle: float) -> None:
    radius = 0.9 * shapes.REACH * size / 2
    lobe = 0.56 * radius
    areas = [2 * radius**2, 0.6 * math.pi * radius**2, (4 + math.pi) * lobe**2]
    for kind, area in enumerate(areas):
        assert shape(kind, size, angle=angle).sum() == pytest.approx(area, rel=0.04 if size == 16 else 0.006)


def inside(kind: int, x: Tensor, y: Tensor) -> Tensor:
    """True for points inside, in units of the shape's reach: by definition, without distances."""
    if kind == 0:
        return (x.abs() <= math.sqrt(0.5)) & (y.abs() <= math.sqrt(0.5))
    if kind == 1:
        return x**2 + (y / 0.6) ** 2 <= 1
    x, y, lobe = x.abs(), y - 0.207, 0.56
    middle = lobe * math.sqrt(0.5)
    return (x + y.abs() <= 2 * middle) | ((x - middle) ** 2 + (y + middle) ** 2 <= lobe**2)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_the_brightness_of_a_pixel_is_its_covered_part(kind: int) -> None:
    size, fine, degrees, x, y = 32, 8, 27.0, 0.53, 0.46
    centres = (torch.arange(size * fine) + 0.5) / (size * fine)
    right, down = centres.view(1, -1) - x, centres.view(-1, 1) - y
    angle, reach = math.radians(degrees), 0.9 * shapes.REACH / 2
    along, across = (
        right * math.cos(angle) + down * math.sin(angle),
        down * math.cos(angle) - right * math.sin(angle),
    )
    covered = inside(kind, along / reach, across / reach).float()
    expected = covered.view(size, fine, size, fine).mean((1, 3))
    difference = (shape(kind, size, angle=degrees, x=x, y=y) - expected).abs()
    # At the corner of a square, a distance says least about the area.
    assert difference.max() < 0.2
    assert difference[(expected > 0) & (expected < 1)].mean() < 0.04


def test_layers_cover_each_other_exactly() -> None:
    painting = Painting(2, 16)
    half = torch.full((2, 16, 16), 0.5)
    painting.behind(half, (200, 0, 0))
    painting.behind(half, torch.tensor([[0, 100, 0], [0, 0, 100]]))
    assert painting.flatten((0, 40, 40))[:, :, 3, 5].tolist() == [[100, 35, 10], [100, 10, 35]]


def test_a_size_is_measured_in_pixels_whatever_the_plane_is() -> None:
    plane = Plane.of(20, 1).turned(torch.tensor(30.0)).scaled(torch.tensor(0.5).view(1, 1, 1))
    area = plane.coverage(canvas.circle(plane, 1.0)).sum()
    assert area == pytest.approx(math.pi * 5**2, rel=0.01)


RING = [[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]]


def points(**changed: object) -> Dataset:
    settings = {"count": 8000, "means": [[2.0]], "std": 0.5, "seed": 0, "validation": 100, "test": 200}
    return SOURCES["gaussian"](**settings | changed)


def test_a_gaussian_has_the_wanted_mean_and_std() -> None:
    mixture = points()
    assert mixture.kind == Points(1)
    assert mixture.classes == ("2.0",)
    assert stats.kstest(mixture.columns["x"].rows.flatten().numpy(), stats.norm(2.0, 0.5).cdf).pvalue > 1e-3


def test_the_points_of_a_label_are_around_the_mean_that_it_names() -> None:
    mixture = points(means=RING, std=0.05)
    assert mixture.kind == Points(2)
    assert mixture.classes[1] == "(0.0, 2.0)"
    assert mixture.labels is not None
    for label, mean in enumerate(RING):
        around = mixture.columns["x"].rows[mixture.labels == label] - torch.tensor(mean)
        assert stats.kstest(around.flatten().numpy(), stats.norm(0.0, 0.05).cdf).pvalue > 1e-3
        assert abs(torch.corrcoef(around.T)[0, 1]) < 0.1


def test_a_larger_set_of_points_starts_with_the_smaller_one() -> None:
    few, many = points(count=1500), points(count=8000)
    assert torch.equal(many.columns["x"].rows[:1500], few.columns["x"].rows)
    assert_splits_part(few)
    assert not torch.equal(points(count=1500, seed=1).columns["x"].rows, few.columns["x"].rows)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"size": 300}, "size must be between 16 and 256, got 300."),
        ({"size": 15}, "size must be between 16 and 256, got 15."),
        (
            {"count": 15},
            "data.count must be above data.validation + data.test, which is 5 + 10, got 15. Set data.count=150, or set "
            "smaller splits: data.validation=1 data.test=3.",
        ),
        ({"validation": 0}, "validation must be at least 1, got 0."),
        ({"test": -3}, "test must be at least 1, got -3."),
    ],
    ids=str,
)
@DRAWINGS
def test_impossible_settings_of_a_drawing_are_refused(drawing: str, changed: dict[str, int], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        drawn(drawing, **changed)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"means": []}, "means must have at least one point, got none."),
        ({"means": [[1.0, 2.0, 3.0]]}, "means must have 1 or 2 coordinates each, got 3."),
        ({"means": [[1.0], [1.0, 2.0]]}, "means must all have the same number of coordinates, got 1 and 2."),
        ({"std": 0.0}, "std must be above 0, got 0.0."),
        (
            {"count": 2, "validation": 1, "test": 1},
            "data.count must be above data.validation + data.test, which is 1 + 1, got 2. Set data.count=20.",
        ),
    ],
    ids=str,
)
def test_impossible_settings_of_a_mixture_are_refused(changed: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        points(**changed)
    assert str(caught.value) == sentence
