"""InceptionV3 against torch-fidelity, and weights that are found, checked or missing."""

import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from genlab.data.dataset import Dataset
from genlab.data.files.vision import torchvision
from genlab.extractors import create, inception
from genlab.networks.extractor import Extractor
from genlab.registry import ConfigError
from genlab.training.console import Console


def by_name(name: str, dataset: Dataset, console: Console | None = None) -> Extractor:
    return create(name, needs="vector", dataset=dataset, data="digits", console=console)


def refusal(name: str, dataset: Dataset) -> str:
    with pytest.raises(ConfigError) as caught:
        by_name(name, dataset)
    return str(caught.value)


@pytest.fixture(scope="module")
def fidelity() -> Any:
    """torch-fidelity's own class, which can be imported beside any build of torch."""
    torchvision()
    from torch_fidelity import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3


@pytest.fixture(scope="module")
def published(fidelity: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Write a file like the published one with random weights, and make its hash the expected one."""
    torch.manual_seed(0)

    class Blank(fidelity):  # type: ignore[misc]
        def load_state_dict(self, *arguments: object, **options: object) -> None:
            """Keep the weights that were drawn."""

    path, nothing = tmp_path_factory.mktemp("weights") / "inception.pth", BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    weights = Blank("inception", ["2048"], feature_extractor_weights_path=nothing).state_dict()
    for name, values in weights.items():
        # Without this factor the signal vanishes layer by layer.
        values.mul_(6**0.5 if name.endswith("conv.weight") else 1)
    torch.save(weights, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "DIGEST", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
        yield path


@pytest.fixture(scope="module")
def by_file(published: Path, digits: Dataset) -> Extractor:
    return by_name(f"inception={published}", digits)


def test_vectors_equal_those_of_torch_fidelity_for_the_same_bytes(
    by_file: Extractor, published: Path, fidelity: Any
) -> None:
    torch.manual_seed(1)
    images = torch.randint(256, (2, 3, 20, 27), dtype=torch.uint8)
    own = fidelity("inception", ["2048"], feature_extractor_weights_path=str(published))
    (expected,) = own(images)
    found = by_file.vector(images / 255)
    assert found.shape == (2, 2048)
    assert float(expected.std(0).mean()) > 0
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
    # An image does not depend on those beside it.
    alone = by_file.vector(images[1:2] / 255)
    assert torch.allclose(alone, found[1:2], rtol=1e-3, atol=1e-5 * float(found.abs().max()))


def test_values_are_rounded_to_the_nearest_byte() -> None:
    between = torch.tensor([-0.2, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1.2]).view(1, 1, 1, 5)
    assert inception.prepared(between)[0, 0, 0].tolist() == [0, 0, 1, 254, 255]


def test_grey_images_have_the_vectors_of_colour_images_without_a_colour(by_file: Extractor) -> None:
    grey = torch.rand(1, 1, 28, 28)
    assert torch.equal(by_file.vector(grey), by_file.vector(grey.repeat(1, 3, 1, 1)))


def test_the_description_names_the_weights_and_other_weights_are_refused(
    by_file: Extractor, published: Path, digits: Dataset, tmp_path: Path
) -> None:
    expected = f"InceptionV3, the network of FID in the papers (weights {inception.DIGEST})"
    assert by_file.description.startswith(expected)
    assert by_file.name == "inception"
    other = tmp_path / "other.pth"
    other.write_bytes(published.read_bytes() + b"\0")
    assert "other.pth are not the published ones" in refusal(f"inception={other}", digits)
    assert f"{tmp_path / 'none.pth'}: No such file" in refusal(f"inception={tmp_path / 'none.pth'}", digits)


def test_weights_are_found_under_the_names_of_torch_fidelity_and_pytorch_fid(
    by_file: Extractor, published: Path, hub: Path, digits: Dataset
) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    hub.mkdir(parents=True)
    for name in ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth"):
        (hub / name).symlink_to(published)
        assert by_name("inception", digits).digest == by_file.digest
        (hub / name).unlink()
    assert torch.equal(torch.get_rng_state(), before)


def test_without_weights_and_network_the_message_names_the_file_and_what_works_without(
    hub: Path, digits: Dataset, tmp_path: Path
) -> None:
    log = tmp_path / "log.txt"
    with pytest.raises(ConfigError) as caught:
        by_name("inception", digits, Console(log=log))
    said = str(caught.value)
    url = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
    assert f"The weights of InceptionV3 are not in {hub} and cannot be downloaded: Name or service not known" in said
    assert "inception=FILE reads a file: FILE is weights-inception-2015-12-05-6726825d.pth (91 MB)" in said
    assert f"downloaded from {url}. features 'classifier'" in said
    assert log.read_text() == f"Downloading the weights of InceptionV3 (91 MB) to {hub}\n"


def test_the_published_weights_have_this_name_and_hash(fidelity: Any) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    assert URL_INCEPTION_V3.rsplit("/", 1)[1] == inception.FILE
    assert all("-6726825d.pth" in name for name in (inception.FILE, inception.OTHER_FILE))
