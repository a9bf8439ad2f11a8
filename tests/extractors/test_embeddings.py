"""What sets of images are compared by: each embedding's rows, its digest, and what is said where it cannot be had."""

import ast
import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.nn import functional

from genlab.data.dataset import Images
from genlab.data.files.vision import torchvision
from genlab.data.sources.built_in import digits, fashion_mini
from genlab.extractors import classifier
from genlab.extractors import embeddings as embeddings_package
from genlab.extractors.classifier import Classifier, trained_classifier
from genlab.extractors.embeddings import EMBEDDINGS, Embedding, embedding_of, inception
from genlab.extractors.embeddings.random import STAGES, drawn, seen
from genlab.extractors.features import FEATURES
from genlab.extractors.features.lite0 import Lite0Features
from genlab.networks.extractor import digest_of
from genlab.registry import ConfigError
from genlab.training.console import Console
from tests.fixtures.toys import toy_images

TRAINED = ["classifier", "random", "lite0"]


@pytest.fixture(scope="module", autouse=True)
def _brief() -> Iterator[None]:
    """A classifier that is narrow and trained for a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "MOST_STEPS", 3)
        patch.setattr(classifier, "Classifier", partial(Classifier, width=8))
        yield


@pytest.fixture(scope="module")
def images() -> Images:
    return digits(validation=180, test=360)


@pytest.fixture(scope="module")
def embeddings(images: Images) -> dict[str, Embedding]:
    """Those of images that need nothing from elsewhere."""
    return {name: embedding_of(name, images=images) for name in TRAINED}


def points(count: int = 20) -> Images:
    return Images(torch.randn(count, 1, 1, 3), toy_images(count).splits, torch.arange(count) % 2, ("a", "b"))


def mistake(name: str, images: Images) -> str:
    with pytest.raises(ConfigError) as caught:
        embedding_of(name, images=images)
    return str(caught.value)


# Which is taken.


def test_unless_one_is_named_it_is_what_fits_the_data(images: Images) -> None:
    of_one_class = replace(images, labels=torch.full_like(images.labels, 4))  # type: ignore[arg-type]
    fitting = {"classifier": images, "random": toy_images(), "coordinates": points()}
    assert {name: embedding_of(None, images=data).name for name, data in fitting.items()} == {n: n for n in fitting}
    assert embedding_of(None, images=of_one_class).name == "random"
    # The classifier learns from training images, and those of other splits teach it no second class.
    labels = torch.ones_like(images.labels)  # type: ignore[arg-type]
    labels[images.splits["train"]] = 0
    assert embedding_of(None, images=replace(images, labels=labels)).name == "random"


def test_names_that_mean_nothing_are_refused(images: Images) -> None:
    assert mistake("clasifier", images).startswith("No features is called 'clasifier'. Did you mean 'classifier'?")
    assert mistake("random=weights.pth", images) == "The features random take no file of weights."


@pytest.mark.parametrize("name", sorted({*EMBEDDINGS} - {"coordinates"}))
def test_networks_see_nothing_in_points(name: str) -> None:
    assert "and this data is points" in mistake(name, points())


def test_points_are_compared_as_they_are_and_images_are_not(images: Images) -> None:
    data = points()
    embedding = embedding_of("coordinates", images=data)
    assert torch.equal(embedding.embed(data.pixels), data.pixels.view(20, 3))
    assert (embedding.says, len(embedding.digest)) == ("the points themselves, in 3 dimensions", 16)
    assert mistake("coordinates", images).startswith("The features coordinates are of points, and this data is images")


def test_nothing_that_takes_long_is_imported_before_it_is_asked_for() -> None:
    files = sorted(Path(embeddings_package.__file__).parent.glob("*.py"))
    assert len(files) == len(EMBEDDINGS) + 2
    for path in files:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom | ast.Import):
                named = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
                assert not {name.split(".")[0] for name in named} & {"torchvision", "torch_fidelity", "sklearn"}, path


# What holds for all.


@pytest.mark.parametrize("name", TRAINED)
def test_a_row_does_not_depend_on_how_many_images_are_shown_and_teaches_nothing(
    embeddings: dict[str, Embedding], name: str
) -> None:
    shown, embed = torch.rand(140, 1, 8, 8, requires_grad=True), embeddings[name].embed
    rows, before = embed(shown), torch.get_rng_state()
    assert (rows.dtype, rows.dim(), len(rows), rows.requires_grad) == (torch.float32, 2, 140, False)
    in_parts = torch.cat([embed(part) for part in (shown[:1], shown[1:10], shown[10:])])
    assert torch.allclose(rows, in_parts, atol=1e-5 * float(rows.abs().max()))
    assert embed(shown[:0]).shape == (0, rows.shape[1])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", TRAINED)
def test_an_embedding_is_the_same_each_time_and_moves_no_draw(
    embeddings: dict[str, Embedding], images: Images, name: str
) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again, shown = embedding_of(name, images=images), torch.rand(5, 1, 8, 8)
    torch.manual_seed(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert (again.name, again.digest, again.says) == (name, embeddings[name].digest, embeddings[name].says)
    assert torch.equal(again.embed(shown), embeddings[name].embed(shown))


def test_a_digest_changes_with_any_weight_its_name_and_how_they_are_used(embeddings: dict[str, Embedding]) -> None:
    weights = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
    touched = {**weights, "b": torch.tensor([1, 1, 1, 1 + 1e-7])}
    renamed = {"a": weights["a"], "c": weights["b"]}
    reshaped = {**weights, "a": torch.zeros(3, 2)}
    found = {digest_of(these.items()) for these in (weights, touched, renamed, reshaped)}
    found |= {digest_of(weights.items(), "prepared so"), digest_of(weights.items(), "prepared otherwise")}
    assert len(found) == 6
    assert digest_of(weights.items()) in found
    assert len({embedding.digest for embedding in embeddings.values()}) == len(TRAINED)


# The classifier.


def test_by_classifier_the_last_layer_is_seen_and_how_often_it_is_right_is_said(
    embeddings: dict[str, Embedding], images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, (judge, accuracy) = torch.rand(6, 1, 8, 8), trained_classifier(images)
    assert torch.allclose(embeddings["classifier"].embed(shown), judge.features(shown))
    share = f"{accuracy:.1%} right on the test images"
    assert embeddings["classifier"].says == f"a residual classifier of the training images, {share}"
    monkeypatch.setattr(classifier, "SEED", 1)
    assert embedding_of("classifier", images=images).digest != embeddings["classifier"].digest
    unseen = {"train": images.splits["train"], "validation": torch.arange(0), "test": torch.arange(0)}
    untested = embedding_of("classifier", images=replace(images, splits=unseen, fingerprint=""))
    assert untested.says.endswith("nobody knows how often right")


# The random inception.


def test_the_random_weights_are_these_on_every_machine() -> None:
    grey, colour = drawn(1), drawn(3)
    assert digest_of((str(depth), stage) for depth, stage in enumerate(grey)) == "93a2d431b439cfaa"
    assert [tuple(stage.shape) for stage in colour] == [(16, 3, 3, 3), (32, 16, 3, 3), (48, 32, 3, 3)]
    # As strong as what is rectified needs them to be.
    for stage in colour:
        assert float(stage.std()) == pytest.approx((2 / stage[0].numel()) ** 0.5, rel=0.1)


def test_the_random_network_is_what_layers_of_torch_make_it() -> None:
    images, weights = torch.rand(4, 3, 12, 8), drawn(3)
    layer, expected = 2 * images - 1, []
    for (width, stride), stage in zip(STAGES, weights, strict=True):
        convolution = nn.Conv2d(stage.shape[1], width, 3, stride, 1, bias=False, padding_mode="replicate")
        convolution.weight = nn.Parameter(stage, requires_grad=False)
        layer = convolution(layer).clamp(min=0)
        height, across = (-(-side // 2) for side in layer.shape[2:])
        quarters = [
            part.mean((2, 3))
            for down in (layer[:, :, :height], layer[:, :, -height:])
            for part in (down[..., :across], down[..., -across:])
        ]
        deviation = (layer - layer.mean((2, 3), keepdim=True)).square().mean((2, 3)).sqrt()
        expected += [torch.stack(quarters, 2).flatten(1), deviation]
    assert torch.allclose(seen(images, weights), torch.cat(expected, 1), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 2, 2), (1, 8, 8), (3, 9, 13), (4, 40, 64), (3, 300, 300)], ids=str)
def test_the_random_network_takes_images_of_every_size(size: tuple[int, int, int]) -> None:
    data = Images(torch.zeros(10, *size, dtype=torch.uint8), toy_images(10).splits)
    rows = embedding_of("random", images=data).embed(torch.rand(7, *size))
    assert rows.shape == (7, 480)
    assert bool(rows.isfinite().all())


def frechet(first: Tensor, second: Tensor) -> float:
    """Between the gaussians that fit two sets of rows."""
    rows = [these.double().numpy() for these in (first, second)]
    gap = rows[0].mean(0) - rows[1].mean(0)
    spreads = [np.cov(these, rowvar=False) for these in rows]
    values, vectors = scipy.linalg.eigh(spreads[0])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    between = np.sqrt(scipy.linalg.eigvalsh(root @ spreads[1] @ root).clip(0)).sum()
    return float(gap @ gap + np.trace(spreads[0]) + np.trace(spreads[1]) - 2 * between)


def test_by_the_random_network_what_is_spoilt_more_lies_further_from_real_images() -> None:
    data = fashion_mini(validation=1000)
    rows = data.splits["train"][:1600]
    pixels, labels = data.pixels[rows] / 255, data.labels[rows]  # type: ignore[index]
    embed = embedding_of("random", images=data).embed
    (real, other), rest = embed(pixels).chunk(2), pixels[800:]
    noise = torch.randn(rest.shape, generator=torch.Generator().manual_seed(0))
    noisy = [frechet(real, embed((rest + much * noise).clamp(0, 1))) for much in (0.05, 0.1, 0.3)]
    blurred = [frechet(real, embed(_blurred(rest, side))) for side in (3, 5)]
    floor = frechet(real, other)
    # Measured 2.4, 6.5, 52 and 13, 32 times the floor.
    assert 1.5 * floor < noisy[0] < noisy[1] / 2 < noisy[2] / 4
    assert 5 * floor < blurred[0] < blurred[1] / 2
    # Without sandals, sneakers and boots 20 times.
    shoes = torch.isin(labels[800:], torch.tensor([5, 7, 9]))
    assert frechet(real, embed(rest)[~shoes]) > 5 * floor


def _blurred(images: Tensor, side: int) -> Tensor:
    return functional.avg_pool2d(functional.pad(images, [side // 2] * 4, mode="replicate"), side, 1)


# EfficientNet-Lite0.


def test_by_lite0_the_last_blocks_of_two_strides_are_averaged_over_places() -> None:
    features, colour, grey = FEATURES["lite0"](), torch.rand(3, 3, 40, 64), torch.rand(3, 1, 40, 64)
    assert isinstance(features, Lite0Features)
    *_, before, last = features.layers(colour)
    rows = torch.cat([layer.flatten(2).mean(2) for layer in (before, last)], 1)
    embed = embedding_of("lite0", images=toy_images()).embed
    assert rows.shape == (3, 112 + 320)
    assert torch.allclose(embed(colour), rows, atol=1e-4)
    assert torch.equal(embed(grey), embed(grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("name", ["lite0", "inception"])
def test_without_its_package_the_user_reads_how_to_get_it_and_what_serves(
    name: str, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = mistake(name, images)
    assert said.startswith(f"The features {name} need a package that is not installed: pip install 'genlab[{name}]'. ")
    assert said.endswith("The features classifier (for data with labels) and random need nothing from elsewhere.")
    assert "\n" not in said


# InceptionV3.


@pytest.fixture(scope="module")
def fidelity() -> Any:
    """torch-fidelity's own class, loadable beside any torch."""
    torchvision()
    from torch_fidelity import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3


@pytest.fixture(scope="module")
def published(fidelity: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file as the published one is, with weights that nobody trained; that it was published is believed of it."""
    torch.manual_seed(0)

    class Blank(fidelity):  # type: ignore[misc]
        def load_state_dict(self, *arguments: object, **options: object) -> None:
            """Keep the weights that were drawn."""

    path, nothing = tmp_path_factory.mktemp("weights") / "inception.pth", BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    weights = Blank("inception", ["2048"], feature_extractor_weights_path=nothing).state_dict()
    for name, values in weights.items():
        # Else layer after layer sees less, and at the end nothing.
        values.mul_(6**0.5 if name.endswith("conv.weight") else 1)
    torch.save(weights, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "DIGEST", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
        yield path


@pytest.fixture(scope="module")
def by_file(published: Path, images: Images) -> Embedding:
    return embedding_of(f"inception={published}", images=images)


def test_inception_sees_what_torch_fidelity_sees_of_the_same_bytes(
    by_file: Embedding, published: Path, fidelity: Any
) -> None:
    torch.manual_seed(1)
    shown = torch.randint(256, (2, 3, 20, 27), dtype=torch.uint8)
    own = fidelity("inception", ["2048"], feature_extractor_weights_path=str(published))
    (expected,) = own(shown)
    found = by_file.embed(shown / 255)
    assert found.shape == (2, 2048)
    assert float(expected.std(0).mean()) > 0
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
    # An image does not depend on those beside it, and what lies between bytes or beyond them is the nearest.
    assert torch.allclose(by_file.embed(shown[1:2] / 255), found[1:2], rtol=1e-3, atol=1e-5 * float(found.abs().max()))
    between = torch.tensor([-0.2, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1.2]).view(1, 1, 1, 5)
    assert inception_bytes(between) == [0, 0, 1, 254, 255]


def inception_bytes(images: Tensor) -> list[int]:
    prepared: Callable[[Tensor], Tensor] = inception.prepared
    return prepared(images)[0, 0, 0].tolist()


def test_inception_sees_grey_images_as_colour_images_without_a_colour(by_file: Embedding) -> None:
    grey = torch.rand(1, 1, 28, 28)
    assert torch.equal(by_file.embed(grey), by_file.embed(grey.repeat(1, 3, 1, 1)))


def test_inception_says_by_which_weights_and_reads_no_others(
    by_file: Embedding, published: Path, images: Images, tmp_path: Path
) -> None:
    assert by_file.says.startswith(f"InceptionV3 by which the papers measure (weights {inception.DIGEST})")
    assert by_file.name == "inception"
    other = tmp_path / "other.pth"
    other.write_bytes(published.read_bytes() + b"\0")
    assert "other.pth are not those that were published" in mistake(f"inception={other}", images)
    assert "none.pth cannot be read: No such file" in mistake(f"inception={tmp_path / 'none.pth'}", images)
    assert "and these have 2 channels" in mistake(f"inception={published}", _of_two_channels())


def _of_two_channels() -> Images:
    return Images(torch.zeros(10, 2, 8, 8, dtype=torch.uint8), toy_images(10).splits)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch keeps weights, empty, and no way to fetch any."""

    def unreachable(*arguments: object, **options: object) -> NoReturn:
        raise OSError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_inception_is_found_where_torch_fidelity_or_pytorch_fid_keep_it(
    by_file: Embedding, published: Path, hub: Path, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    hub.mkdir(parents=True)
    for name in ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth"):
        (hub / name).symlink_to(published)
        assert embedding_of("inception", images=images).digest == by_file.digest
        (hub / name).unlink()
    assert torch.equal(torch.get_rng_state(), before)


def test_without_its_weights_and_a_network_the_user_reads_what_to_fetch_and_what_serves(
    hub: Path, images: Images, tmp_path: Path
) -> None:
    log = tmp_path / "log.txt"
    with pytest.raises(ConfigError) as caught:
        embedding_of("inception", images=images, console=Console(log=log))
    said = str(caught.value)
    url = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
    assert said.startswith(f"The weights of InceptionV3 are not in {hub} and could not be fetched: Name or service not")
    assert "The features inception=FILE read a file, where FILE is weights-inception-2015-12-05-6726825d.pth" in said
    assert f"fetched elsewhere from {url}. The features classifier" in said
    assert log.read_text() == f"Fetching the weights of InceptionV3 (91 MB) into {hub}\n"


def test_the_published_weights_are_asked_for_by_their_name_and_their_hash(fidelity: Any) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    assert URL_INCEPTION_V3.rsplit("/", 1)[1] == inception.FILE
    assert all("-6726825d.pth" in name for name in (inception.FILE, inception.OTHER_FILE))
