"""Images drawn by the program: exact, the same in every call, and with attributes that are independent and visible."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from genlab.data import SOURCES
from genlab.data.dataset import SPLITS, Images
from genlab.data.sources.drawn import canvas, faces, shapes
from genlab.data.sources.drawn.canvas import Painting, Plane
from genlab.data.sources.drawn.factors import BLOCK, Choice, Factors, draw_factors
from genlab.registry import ConfigError
from tests.fixtures.files import assert_splits_part

SMALL = {"count": 40, "size": 16, "seed": 0, "validation": 5, "test": 10}
IN_COLOUR: Factors = shapes.FACTORS | {"colour": Choice(tuple(shapes.PALETTE))}
DRAWN: dict[str, tuple[Callable[[dict[str, Tensor], int], Tensor], Factors]] = {
    "shapes": (shapes.draw, IN_COLOUR),
    "faces": (faces.draw, faces.FACTORS),
}
DRAWINGS = pytest.mark.parametrize("drawing", DRAWN)


def made(drawing: str, **changed: int) -> Images:
    colour = {"colour": True} if drawing == "shapes" else {}
    return SOURCES[drawing](**SMALL | colour | changed)


@DRAWINGS
def test_the_same_settings_draw_the_same_images_and_another_seed_draws_others(drawing: str) -> None:
    one, again, other = made(drawing), made(drawing), made(drawing, seed=1)
    assert torch.equal(one.pixels, again.pixels)
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert not torch.equal(one.pixels, other.pixels)


@DRAWINGS
def test_the_images_are_bytes_of_the_size_asked_for_with_every_factor_beside_them(drawing: str) -> None:
    images = made(drawing)
    assert images.pixels.dtype == torch.uint8
    assert images.shape == (3, 16, 16)
    assert set(images.attributes) == set(DRAWN[drawing][1])
    assert_splits_part(images)
    assert [len(images.splits[name]) for name in SPLITS] == [25, 5, 10]


def test_the_labels_say_which_shape_it_is_and_whether_a_face_smiles() -> None:
    assert made("shapes").names == ("square", "ellipse", "heart")
    assert made("faces").names == ("no smile", "smile")
    for drawing, attribute in (("shapes", "shape"), ("faces", "smile")):
        images = made(drawing)
        assert images.labels is not None
        assert torch.equal(images.labels, images.attributes[attribute].values)


@DRAWINGS
def test_a_larger_set_starts_with_the_smaller_and_only_adds_images_to_train_on(drawing: str) -> None:
    small, large = made(drawing), made(drawing, count=BLOCK + 3)
    assert torch.equal(large.pixels[:40], small.pixels)
    for name, attribute in small.attributes.items():
        assert torch.equal(large.attributes[name].values[:40], attribute.values)
    assert torch.equal(large.splits["test"], small.splits["test"])
    assert torch.equal(large.splits["validation"], small.splits["validation"])


@DRAWINGS
def test_an_image_does_not_depend_on_which_are_drawn_along_with_it(
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
    coloured = made("shapes")
    assert grey.shape == (1, 16, 16)
    assert "colour" not in grey.attributes
    assert torch.equal(grey.attributes["angle"].values, coloured.attributes["angle"].values)
    brightest = torch.tensor(list(shapes.PALETTE.values())).amax(1)[coloured.attributes["colour"].values]
    expected = grey.pixels[:, 0] / 255 * brightest.view(-1, 1, 1)
    assert (coloured.pixels.amax(1) - expected).abs().max() <= 1


@DRAWINGS
def test_every_two_attributes_are_independent(drawing: str) -> None:
    factors = DRAWN[drawing][1]
    count = 20_000
    truth = draw_factors(factors, count, 0, drawing)
    bins = {name: tenths(values, factors[name]) for name, values in truth.items()}
    for one, other in itertools.combinations(bins, 2):
        table = torch.zeros(int(bins[one].max()) + 1, int(bins[other].max()) + 1)
        table.index_put_((bins[one], bins[other]), torch.ones(count), accumulate=True)
        # One in ten thousand; there are 66 pairs at most.
        assert stats.chi2_contingency(table.numpy()).pvalue > 1e-4, f"{one} and {other}"


def tenths(values: Tensor, factor: object) -> Tensor:
    """Choices as they are, numbers by the tenth of their range that they are in."""
    if isinstance(factor, Choice):
        return values
    lowest, highest = values.min(), values.max()
    return ((values - lowest) / (highest - lowest) * 10).long().clamp(max=9)


@DRAWINGS
def test_every_value_of_an_attribute_is_as_likely_as_every_other(drawing: str) -> None:
    factors = DRAWN[drawing][1]
    for name, values in draw_factors(factors, 20_000, 0, drawing).items():
        assert stats.chisquare(tenths(values, factors[name]).bincount().numpy()).pvalue > 1e-4, name


@pytest.mark.parametrize("name", faces.FACTORS)
def test_every_attribute_of_a_face_is_seen_whatever_the_others_are(name: str) -> None:
    truth = draw_factors(faces.FACTORS, 100, 3, "faces")
    factor = faces.FACTORS[name]
    values = range(len(factor.names)) if isinstance(factor, Choice) else (factor.lowest, factor.highest)
    drawn = [faces.draw(truth | {name: torch.full_like(truth[name], value)}, 32).int() for value in values]
    for one, other in itertools.combinations(drawn, 2):
        changed = (one - other).abs().amax(1).flatten(1)
        assert (changed >= 40).sum(1).min() >= 5


@DRAWINGS
def test_the_whole_drawing_is_always_inside_the_image(drawing: str) -> None:
    draw, factors = DRAWN[drawing]
    count, size = 40, 256
    truth = draw_factors(factors, count, 0, "edges")
    # The numbers at their ends: the largest, farthest out and most turned there are.
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
    """Which points, in units of the shape's reach, are inside: the definition, with no distances."""
    if kind == 0:
        return (x.abs() <= math.sqrt(0.5)) & (y.abs() <= math.sqrt(0.5))
    if kind == 1:
        return x**2 + (y / 0.6) ** 2 <= 1
    x, y, lobe = x.abs(), y - 0.207, 0.56
    middle = lobe * math.sqrt(0.5)
    return (x + y.abs() <= 2 * middle) | ((x - middle) ** 2 + (y + middle) ** 2 <= lobe**2)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_pixel_is_as_bright_as_the_part_of_it_that_is_covered(kind: int) -> None:
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
    # A corner of a square is where a distance tells least about the area.
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


def points(**changed: object) -> Images:
    settings = {"count": 8000, "means": [[2.0]], "deviation": 0.5, "seed": 0, "validation": 100, "test": 200}
    return SOURCES["gaussian"](**settings | changed)


def test_a_gaussian_has_the_mean_and_the_deviation_asked_for() -> None:
    drawn = points()
    assert drawn.shape == (1, 1, 1)
    assert drawn.classes == 1
    assert stats.kstest(drawn.pixels.flatten().numpy(), stats.norm(2.0, 0.5).cdf).pvalue > 1e-3


def test_each_component_of_a_mixture_lies_where_its_label_says() -> None:
    drawn = points(means=RING, deviation=0.05)
    assert drawn.shape == (1, 1, 2)
    assert drawn.names[1] == "(0.0, 2.0)"
    assert drawn.labels is not None
    for label, mean in enumerate(RING):
        around = drawn.pixels[drawn.labels == label].view(-1, 2) - torch.tensor(mean)
        assert stats.kstest(around.flatten().numpy(), stats.norm(0.0, 0.05).cdf).pvalue > 1e-3
        assert abs(torch.corrcoef(around.T)[0, 1]) < 0.1


def test_more_points_start_with_the_fewer() -> None:
    few, many = points(count=1500), points(count=8000)
    assert torch.equal(many.pixels[:1500], few.pixels)
    assert_splits_part(few)
    assert not torch.equal(points(count=1500, seed=1).pixels, few.pixels)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"size": 300}, "size must be between 16 and 256, and 300 is not."),
        ({"size": 15}, "size must be between 16 and 256, and 15 is not."),
        ({"count": 15}, "count must be above 15, which validation and test take, and 15 is not."),
        ({"validation": 0}, "validation must be at least 1, and 0 is not."),
        ({"test": -3}, "test must be at least 1, and -3 is not."),
    ],
    ids=str,
)
@DRAWINGS
def test_what_cannot_be_drawn_is_refused(drawing: str, changed: dict[str, int], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(drawing, **changed)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"means": []}, "means must have at least one point, and there is none."),
        ({"means": [[1.0, 2.0, 3.0]]}, "means must have 1 or 2 numbers each, and 3 is neither."),
        ({"means": [[1.0], [1.0, 2.0]]}, "means must all have as many numbers, and there are 1 and 2."),
        ({"deviation": 0.0}, "deviation must be above 0, and 0.0 is not."),
        ({"count": 300}, "count must be above 300, which validation and test take, and 300 is not."),
    ],
    ids=str,
)
def test_a_mixture_that_is_none_is_refused(changed: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        points(**changed)
    assert str(caught.value) == sentence
