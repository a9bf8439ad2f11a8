"""What an embedding sees in real images: computed once, found again, and never believed when it is damaged."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab.data.dataset import Images
from genlab.data.held_out import chosen
from genlab.extractors.embeddings import Embedding, embedding_of
from genlab.extractors.reference import reference
from genlab.registry import ConfigError
from tests.fixtures.toys import toy_images

Seen = tuple[Embedding, list[int]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def images() -> Images:
    return toy_images(100)


@pytest.fixture
def seen() -> Seen:
    """An embedding that takes the brightness and its square, and the number of images it was shown each time."""
    shown = list[int]()

    def embed(images: Tensor) -> Tensor:
        shown.append(len(images))
        brightness = images.mean((1, 2, 3))
        return torch.stack([brightness, brightness.square()], 1)

    return Embedding("brightness", "0" * 16, "brightness", torch.device("cpu"), embed), shown


def files(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_it_is_what_the_embedding_sees_in_the_chosen_images_now_and_from_then_on(images: Images, seen: Seen) -> None:
    embedding, shown = seen
    for split, count, seed in (("test", None, 0), ("train", 7, 0), ("train", 7, 1), ("validation", 5, 3)):
        rows = chosen(images, split, count, seed)
        first = reference(images, split, embedding, count, seed)
        assert first.dtype == torch.float32
        assert torch.allclose(first[:, 0] * 255, rows.float(), atol=1e-4)
        assert torch.equal(first, embedding.embed(images.pixels[rows] / 255))
        shown.clear()
        assert torch.equal(reference(images, split, embedding, count, seed), first)
        assert shown == []


def test_all_images_of_a_split_are_the_same_whatever_the_seed_and_the_count(images: Images, seen: Seen) -> None:
    reference(images, "test", seen[0], None, 0)
    for count, seed in ((None, 1), (20, 2), (10_000, 3)):
        assert len(reference(images, "test", seen[0], count, seed)) == 20
    assert seen[1] == [20]


def test_other_data_images_embeddings_or_weights_are_seen_anew(images: Images, seen: Seen, cache: Path) -> None:
    (embedding, shown), test = seen, images.splits["test"]
    others: list[Callable[[], Tensor]] = [
        lambda: reference(images, "test", embedding, 9),
        lambda: reference(images, "validation", embedding, 9),
        lambda: reference(images, "test", embedding, 8),
        lambda: reference(images, "test", embedding, 9, seed=1),
        lambda: reference(images, "test", replace(embedding, name="other"), 9),
        lambda: reference(images, "test", replace(embedding, digest="1" * 16), 9),
        lambda: reference(replace(images, fingerprint="other"), "test", embedding, 9),
        # The fingerprint may be that of all, of which somebody looks at a part.
        lambda: reference(replace(images, splits={**images.splits, "test": test[3:12]}), "test", embedding, 9),
    ]
    for other in others * 2:
        other()
    assert len(shown) == len(files(cache)) == len(others)


@pytest.mark.parametrize("harm", ["a byte", "cut", "empty", "another's name"])
def test_a_damaged_file_is_removed_and_made_again(images: Images, seen: Seen, cache: Path, harm: str) -> None:
    whole = reference(images, "test", seen[0])
    (path,) = files(cache)
    data = path.read_bytes()
    if harm == "another's name":
        path.rename(path.with_name(path.name[:-20] + "0" * 16 + ".npy"))
    else:
        spoilt = data[:-1] + bytes([data[-1] ^ 1])
        path.write_bytes({"a byte": spoilt, "cut": data[:-8], "empty": b""}[harm])
    assert torch.equal(reference(images, "test", seen[0]), whole)
    assert seen[1] == [20, 20]
    assert files(cache) == [path]
    assert path.read_bytes() == data


def test_a_damaged_file_beside_a_whole_one_costs_nothing(images: Images, seen: Seen, cache: Path) -> None:
    reference(images, "test", seen[0])
    (path,) = files(cache)
    path.with_name(path.name[:-20] + "0" * 16 + ".npy").write_bytes(b"cut")
    reference(images, "test", seen[0])
    assert seen[1] == [20]
    assert files(cache) == [path]


def test_a_cache_that_cannot_be_written_costs_a_warning_and_nothing_else(
    images: Images, seen: Seen, cache: Path
) -> None:
    cache.write_text("in the way")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"cannot be kept in .*Not a directory.*GENLAB_CACHE=FOLDER") as said:
            assert len(reference(images, "test", seen[0])) == 20
        assert len(said) == 1
        assert Path(said[0].filename).name == "test_reference.py"
    assert cache.read_text() == "in the way"


def test_what_is_kept_is_read_where_nobody_may_write_and_passed_over_where_it_is_damaged(
    images: Images, seen: Seen, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    kept = reference(images, "test", seen[0])
    (path,) = files(cache)
    for name in ("mkdir", "unlink"):
        monkeypatch.setattr(Path, name, refused)
    assert torch.equal(reference(images, "test", seen[0]), kept)
    assert seen[1] == [20]
    path.write_bytes(b"cut")
    with pytest.warns(UserWarning, match="Permission denied"):
        assert torch.equal(reference(images, "test", seen[0]), kept)
    assert path.read_bytes() == b"cut"


def test_many_images_are_shown_in_parts_and_how_far_it_is_is_said(
    seen: Seen, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = torch.randint(256, (2000, 1, 2, 2), dtype=torch.uint8)
    splits = {"train": torch.arange(1100), "validation": torch.arange(1100, 2000), "test": torch.arange(0)}
    monkeypatch.setattr("genlab.data.progress._SECONDS_BETWEEN_LINES", -1)
    found = reference(Images(pixels, splits), "train", seen[0])
    assert seen[1] == [500, 500, 100]
    assert torch.allclose(found[:, 0], pixels[:1100].float().mean((1, 2, 3)) / 255)
    assert "seen 2 of 3 parts of 1,100 images" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="There are no test images to compare with"):
        reference(Images(pixels, splits), "test", seen[0])


def _one_of_two(cache: str, begin: object, results: object) -> None:
    import os

    os.environ["GENLAB_CACHE"] = cache
    images = toy_images(100)
    embedding = embedding_of("random", images=images)
    begin.wait()  # type: ignore[attr-defined]
    results.put(reference(images, "test", embedding).numpy())  # type: ignore[attr-defined]


def test_two_processes_at_once_see_the_same_and_leave_whole_files(cache: Path, images: Images) -> None:
    context = multiprocessing.get_context("fork")
    begin, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_one_of_two, args=(str(cache), begin, results)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    expected = reference(images, "test", embedding_of("random", images=images))
    assert all(torch.equal(torch.from_numpy(each), expected) for each in found)
    assert [path.suffix for path in files(cache)] == [".npy"]
