"""Vectors of real items: computed once, loaded afterwards, and computed again if a file is damaged."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.held_out import chosen
from genlab.extractors import create
from genlab.extractors.reference import reference
from genlab.networks.extractor import Extractor
from genlab.registry import ConfigError
from tests.fixtures.toys import toy_images


class Brightness(Extractor):
    """The brightness of each image and its square; records the number of images of each call."""

    has_vectors = True

    def __init__(self, name: str = "brightness", digest: str = "0" * 16) -> None:
        super().__init__(name)
        self.digest, self.counts = digest, list[int]()

    def vector(self, items: Tensor) -> Tensor:
        self.counts.append(len(items))
        brightness = items.mean((1, 2, 3))
        return torch.stack([brightness, brightness.square()], 1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def images() -> Dataset:
    return toy_images(100)


@pytest.fixture
def extractor() -> Brightness:
    return Brightness()


def files(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_vectors_are_those_of_the_chosen_items_at_the_first_call_and_later(
    images: Dataset, extractor: Brightness
) -> None:
    for split, count, seed in (("test", None, 0), ("train", 7, 0), ("train", 7, 1), ("validation", 5, 3)):
        rows = chosen(images, split, count, seed)
        first = reference(images, split, extractor, count, seed)
        assert first.dtype == torch.float32
        assert torch.allclose(first[:, 0] * 255, rows.float(), atol=1e-4)
        assert torch.equal(first, extractor.vector(images.columns["x"].rows[rows] / 255))
        extractor.counts.clear()
        assert torch.equal(reference(images, split, extractor, count, seed), first)
        assert extractor.counts == []


def test_all_items_of_a_split_are_the_same_for_any_seed_and_count(images: Dataset, extractor: Brightness) -> None:
    reference(images, "test", extractor, None, 0)
    for count, seed in ((None, 1), (20, 2), (10_000, 3)):
        assert len(reference(images, "test", extractor, count, seed)) == 20
    assert extractor.counts == [20]


def test_other_data_items_extractors_or_weights_are_computed_again(
    images: Dataset, extractor: Brightness, cache: Path
) -> None:
    test, renamed, other = images.splits["test"], Brightness("other"), Brightness(digest="1" * 16)
    others: list[Callable[[], Tensor]] = [
        lambda: reference(images, "test", extractor, 9),
        lambda: reference(images, "validation", extractor, 9),
        lambda: reference(images, "test", extractor, 8),
        lambda: reference(images, "test", extractor, 9, seed=1),
        lambda: reference(images, "test", renamed, 9),
        lambda: reference(images, "test", other, 9),
        lambda: reference(replace(images, fingerprint="other"), "test", extractor, 9),
        # A part of the data may have the fingerprint of all the data.
        lambda: reference(replace(images, splits={**images.splits, "test": test[3:12]}), "test", extractor, 9),
    ]
    for compute in others * 2:
        compute()
    computed = extractor.counts + renamed.counts + other.counts
    assert len(computed) == len(files(cache)) == len(others)


@pytest.mark.parametrize("harm", ["a byte", "cut", "empty", "wrong name"])
def test_a_damaged_file_is_removed_and_written_again(
    images: Dataset, extractor: Brightness, cache: Path, harm: str
) -> None:
    whole = reference(images, "test", extractor)
    (path,) = files(cache)
    data = path.read_bytes()
    if harm == "wrong name":
        path.rename(path.with_name(path.name[:-20] + "0" * 16 + ".npy"))
    else:
        changed = data[:-1] + bytes([data[-1] ^ 1])
        path.write_bytes({"a byte": changed, "cut": data[:-8], "empty": b""}[harm])
    assert torch.equal(reference(images, "test", extractor), whole)
    assert extractor.counts == [20, 20]
    assert files(cache) == [path]
    assert path.read_bytes() == data


def test_a_damaged_file_beside_an_undamaged_one_is_removed(images: Dataset, extractor: Brightness, cache: Path) -> None:
    reference(images, "test", extractor)
    (path,) = files(cache)
    path.with_name(path.name[:-20] + "0" * 16 + ".npy").write_bytes(b"cut")
    reference(images, "test", extractor)
    assert extractor.counts == [20]
    assert files(cache) == [path]


def test_a_cache_that_cannot_be_written_gives_a_warning_only(
    images: Dataset, extractor: Brightness, cache: Path
) -> None:
    cache.write_text("in the way")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"Cannot store .*Not a directory.*GENLAB_CACHE=FOLDER") as said:
            assert len(reference(images, "test", extractor)) == 20
        assert len(said) == 1
        assert Path(said[0].filename).name == "test_reference.py"
    assert cache.read_text() == "in the way"


def test_a_cache_without_write_permission_is_read_and_damaged_files_in_it_are_ignored(
    images: Dataset, extractor: Brightness, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    first = reference(images, "test", extractor)
    (path,) = files(cache)
    for name in ("mkdir", "unlink"):
        monkeypatch.setattr(Path, name, refused)
    assert torch.equal(reference(images, "test", extractor), first)
    assert extractor.counts == [20]
    path.write_bytes(b"cut")
    with pytest.warns(UserWarning, match="Permission denied"):
        assert torch.equal(reference(images, "test", extractor), first)
    assert path.read_bytes() == b"cut"


def test_many_items_are_processed_in_parts_with_progress(
    extractor: Brightness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = torch.randint(256, (2000, 1, 2, 2), dtype=torch.uint8)
    splits = {"train": torch.arange(1100), "validation": torch.arange(1100, 2000), "test": torch.arange(0)}
    monkeypatch.setattr("genlab.data.progress._SECONDS_BETWEEN_LINES", -1)
    found = reference(Dataset.of_images(pixels, splits), "train", extractor)
    assert extractor.counts == [500, 500, 100]
    assert torch.allclose(found[:, 0], pixels[:1100].float().mean((1, 2, 3)) / 255)
    assert "done 2 of 3 parts of 1,100 images" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="There are no test images to compare with"):
        reference(Dataset.of_images(pixels, splits), "test", extractor)


def _one_of_two(cache: str, begin: object, results: object) -> None:
    import os

    os.environ["GENLAB_CACHE"] = cache
    images = toy_images(100)
    extractor = create("random", needs="vector", dataset=images, data="toys")
    begin.wait()  # type: ignore[attr-defined]
    results.put(reference(images, "test", extractor).numpy())  # type: ignore[attr-defined]


def test_two_processes_at_once_get_the_same_and_leave_undamaged_files(cache: Path, images: Dataset) -> None:
    context = multiprocessing.get_context("fork")
    begin, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_one_of_two, args=(str(cache), begin, results)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    expected = reference(images, "test", create("random", needs="vector", dataset=images, data="toys"))
    assert all(torch.equal(torch.from_numpy(each), expected) for each in found)
    assert [path.suffix for path in files(cache)] == [".npy"]
