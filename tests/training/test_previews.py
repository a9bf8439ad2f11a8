"""Previews follow from the abilities of a model and the kind of its data."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from genlab.contract import Batch, Model
from genlab.kinds import Classes, Exhibit, Image, Kind, Points, Row, Tokens
from genlab.kinds.resampling import enlarged
from genlab.randomness import reseed
from genlab.training.previews import preview_count, previews

Rows = dict[str, list[Row]]

IMAGE, POINTS = Image(1, 4, 4), Points(2)
CLASSES = Classes(tuple(f"class {number}" for number in range(20)))


class Base(Model):
    """A model with one weight, which has a device."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class Coding(Base):
    """Codes are the items themselves; reconstructions are darker."""

    def reconstruct(self, batch: Batch) -> Tensor:
        return batch["x"] / 2

    def encode(self, batch: Batch) -> Tensor:
        return batch["x"].flatten(1)

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        return codes.view(-1, *IMAGE.shape)


class Sampling(Base):
    """Samples are uniform noise."""

    shape: tuple[int, ...] = IMAGE.shape

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        return torch.rand(count, *self.shape)


class Conditional(Sampling):
    """Samples are noise plus a hundredth of the class."""

    told = {"label": CLASSES}

    def sample(self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None) -> Tensor:
        assert condition
        return super().sample(count) + condition["label"].view(-1, 1, 1, 1) / 100


class ConditionalCoding(Coding):
    """Decodes to the class that it is told."""

    told = {"label": CLASSES}

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        assert condition
        return condition["label"].view(-1, 1, 1, 1).expand(-1, *IMAGE.shape) / 20


class Denoising(Coding):
    """Adds noise of a given level."""

    level = 0.5

    def damage(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return (batch["x"] + self.level * torch.rand(batch["x"].shape) if self.level else batch["x"]), batch["x"]


class Upscaling(Base):
    """Upscales by repeating pixels."""

    scale, reach = 2, 0

    def damage(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return batch["x"][:, :, ::2, ::2], batch["x"]

    def upscale(self, images: Tensor) -> Tensor:
        return images.repeat_interleave(2, 2).repeat_interleave(2, 3)


def rows_of(model: Model, kind: Kind, patch: pytest.MonkeyPatch, count: int = 8, **columns: Tensor) -> Rows:
    """Return the rows of each preview, as the kind gets them."""
    seen: list[list[Row]] = []

    def record(self: Kind, rows: Sequence[Row]) -> Exhibit:
        seen.append(list(rows))
        return Exhibit()

    patch.setattr(type(kind), "exhibit", record)
    batch = {"x": torch.linspace(0, 1, count * 16).view(count, -1)[:, : math.prod(kind.shape)], **columns}
    batch["x"] = batch["x"].reshape(count, *kind.shape)
    with torch.no_grad():
        names = previews(model, {"x": kind} | ({"label": CLASSES} if columns else {}), batch, seed=3)
    return dict(zip(names, seen, strict=True))


def captions(rows: list[Row]) -> list[str]:
    return [row.caption for row in rows]


def test_an_autoencoder_shows_reconstructions_and_the_way_between_items(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(Coding(), IMAGE, monkeypatch)
    assert set(rows) == {"reconstructions", "interpolations"}
    assert captions(rows["reconstructions"]) == ["data", "reconstruction"]
    data, reconstruction = (row.items for row in rows["reconstructions"])
    assert torch.equal(reconstruction, data / 2)
    # Four paths of eight steps, from the first half of the items to the second.
    assert captions(rows["interpolations"]) == [f"item {number} to item {number + 4}" for number in (1, 2, 3, 4)]
    assert [len(row.items) for row in rows["interpolations"]] == [8] * 4
    for number, (_, path) in enumerate(rows["interpolations"]):
        torch.testing.assert_close(path[0], data[number])
        torch.testing.assert_close(path[-1], data[4 + number])
        torch.testing.assert_close(path[3], data[number] + (data[4 + number] - data[number]) * 3 / 7)


def test_a_model_that_removes_noise_shows_the_noisy_items_that_it_got(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(Denoising(), IMAGE, monkeypatch)["reconstructions"]
    assert captions(rows) == ["clean", "noisy", "reconstruction"]
    clean, noisy, restored = (row.items for row in rows)
    assert not torch.equal(clean, noisy)
    assert torch.equal(restored, noisy / 2)


def test_without_noise_no_noisy_items_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Denoising()
    model.level = 0.0
    assert captions(rows_of(model, IMAGE, monkeypatch)["reconstructions"]) == ["data", "reconstruction"]


def test_samples_are_eight_rows_of_eight_that_the_seed_fixes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(Sampling(), IMAGE, monkeypatch)["samples"]
    assert captions(rows) == ["samples, seed 3", *[""] * 7]
    reseed(torch.device("cpu"), 3, "pictures")
    assert torch.equal(torch.cat([row.items for row in rows]), torch.rand(64, *IMAGE.shape))


def test_a_conditional_model_shows_a_row_for_each_of_16_classes_with_the_same_noise_in_each_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = rows_of(Conditional(), IMAGE, monkeypatch)["samples"]
    assert captions(rows) == list(CLASSES.names[:16])
    for number, (_, items) in enumerate(rows):
        assert len(items) == 8
        torch.testing.assert_close(items - number / 100, rows[0].items)
    assert not torch.equal(rows[0].items[0], rows[0].items[1])


def test_an_interpolation_keeps_the_class_of_its_first_item_and_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(ConditionalCoding(), IMAGE, monkeypatch, label=torch.arange(8))["interpolations"]
    assert captions(rows)[1] == "item 2 (class 1) to item 6 (class 5)"
    assert [row.items.unique().tolist() for row in rows] == [pytest.approx([number / 20]) for number in range(4)]


def test_enlargements_stand_between_the_bicubic_filter_and_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Upscaling()
    rows = rows_of(model, IMAGE, monkeypatch)["enlargements"]
    assert captions(rows) == ["bicubic", "upscaled", "original"]
    bicubic, upscaled, original = (row.items for row in rows)
    small = original[:, :, ::2, ::2]
    assert torch.equal(bicubic, enlarged(small, 2))
    assert torch.equal(upscaled, model.upscale(small))


def test_points_are_drawn_as_clouds_of_data_and_of_4096_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    class Both(Sampling):
        shape = POINTS.shape

        def reconstruct(self, batch: Batch) -> Tensor:
            return batch["x"]

    rows = rows_of(Both(), POINTS, monkeypatch, count=20)
    assert {name: captions(found) for name, found in rows.items()} == {
        "reconstructions": ["data", "reconstruction"],
        "samples": ["data", "generated"],
    }
    assert [len(row.items) for row in rows["samples"]] == [20, 4096]
    assert (preview_count({"x": POINTS}), preview_count({"x": IMAGE})) == (1024, 8)


@pytest.mark.parametrize(("count", "items"), [(3, 8), (10, 10), (100, 16)])
def test_previews_show_an_item_of_each_class_if_there_are_not_too_many(count: int, items: int) -> None:
    classes = Classes(tuple(f"class {number}" for number in range(count)))
    assert preview_count({"x": IMAGE, "label": classes}) == items


def test_the_exhibit_of_points_is_a_picture_of_two_densities() -> None:
    class Points2(Sampling):
        shape = POINTS.shape

    shown = previews(Points2(), {"x": POINTS}, {"x": torch.rand(50, 2)})
    assert shown["samples"].picture is not None
    assert shown["samples"].text is None


def test_the_exhibit_of_token_sequences_is_a_text() -> None:
    tokens = Tokens(("_", "a", "b"), 3)

    class Spelling(Base):
        def sample(
            self, count: int, condition: Batch | None = None, generator: torch.Generator | None = None
        ) -> Tensor:
            return torch.tensor([[1, 2, 0]]).expand(count, 3)

    shown = previews(Spelling(), {"x": tokens}, {"x": torch.tensor([[1, 1, 1]])})
    title, *texts = str(shown["samples"].text).splitlines()
    assert title == "samples, seed 0:"
    assert list(filter(None, texts)) == ["ab"] * 64


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_items_can_be_shown(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(Coding(), IMAGE, monkeypatch, count=count)
    assert len(rows["reconstructions"][0].items) == count
    assert len(rows.get("interpolations", [])) == count // 2


def test_previews_do_not_depend_on_the_noise_that_was_drawn_before(monkeypatch: pytest.MonkeyPatch) -> None:
    first = rows_of(Sampling(), IMAGE, monkeypatch)["samples"]
    torch.rand(17)
    second = rows_of(Sampling(), IMAGE, monkeypatch)["samples"]
    assert all(torch.equal(one.items, other.items) for one, other in zip(first, second, strict=True))
