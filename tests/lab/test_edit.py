"""`genlab edit` and `genlab average`: on a linear model the truth is known; mistakes are sentences."""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import genlab
from genlab.contract import Batch, Model
from genlab.data.dataset import Dataset, attribute
from genlab.extractors import attributes, classifier
from genlab.extractors.attributes import AttributeClassifier
from genlab.kinds import Classes
from genlab.lab.edit import EDITED, PIXELS, REDRAWN, RESIDUAL, UNEDITED
from tests.fixtures.program import assert_refused
from tests.fixtures.program import genlab as program

SMALL: dict[str, Any] = {"trainer": "smoke", "trainer.batch_size": 16, "quiet": True, "model.network.hidden": [8]}
FACES: dict[str, Any] = {"data.size": 16, "data.count": 400, "data.validation": 16, "data.test": 60}
UNBOUNDED: dict[str, Any] = {"model.likelihood": "gaussian"}


class Linear(Model):
    """A model whose codes are coordinates along five patterns of an 8 x 8 image."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(3)
        patterns = torch.linalg.qr(torch.randn(64, 8, generator=draws)).Q.T
        self.patterns = torch.nn.Parameter(patterns[:5], requires_grad=False)
        self.unseen = patterns[5:]

    def encode(self, batch: Batch) -> Tensor:
        return (batch["x"].flatten(1) - 0.5) @ self.patterns.T

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        decoded: Tensor = 0.5 + codes @ self.patterns
        return decoded.view(-1, 1, 8, 8)


class Told(Linear):
    """The same model with a class that it is told, which has a pattern of its own."""

    told: ClassVar[dict[str, Classes]] = {"label": Classes(("plain", "dotted"))}

    def infer(self, batch: Batch) -> Batch:
        return {"label": self.classify(batch).argmax(1)}

    def classify(self, batch: Batch) -> Tensor:
        dotted = (batch["x"].flatten(1) - 0.5) @ self.unseen[0] - 0.25
        return torch.stack([-dotted, dotted], 1).log_softmax(1)

    def decode(self, codes: Tensor, condition: Batch | None = None) -> Tensor:
        assert condition
        dots: Tensor = condition["label"].view(-1, 1, 1, 1) * 0.5 * self.unseen[0].view(1, 8, 8)
        return super().decode(codes) + dots


def planted(model: Linear, count: int = 3000) -> tuple[Dataset, Tensor]:
    """Make images of two attributes that often come together, a number, and a pattern that the model does not know."""
    draws = torch.Generator().manual_seed(4)
    round_, stripe = torch.rand(2, count, generator=draws)
    has_round = round_ < 0.5
    has_stripe = (stripe < 0.25) != has_round
    size = torch.rand(count, generator=draws)
    truth = torch.tensor([[0.5, 0, 0, 0, 0.1], [0, 0.6, 0.2, 0, 0], [0, 0, 0, 0.7, 0]])
    codes = torch.stack([has_round, has_stripe, size], 1).float() @ truth
    unseen = 0.3 * torch.randn(count, 3, generator=draws) @ model.unseen
    pixels = (model.decode(codes) + unseen.unflatten(1, (1, 8, 8))).mul(255).round().clamp(0, 255).byte()
    known = {
        "round": attribute(has_round, ("no", "yes")),
        "stripe": attribute(has_stripe, ("no", "yes")),
        "size": attribute(size),
    }
    order = torch.arange(count)
    splits = {"train": order[:-200], "validation": order[-200:-100], "test": order[-100:]}
    return Dataset.of_images(pixels, splits, attributes=known), truth


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    genlab.train("vae", data="faces", run=folder / "faces", **SMALL, **FACES)
    genlab.train("vae", data="digits", run=folder / "digits", **SMALL)
    genlab.train("vae", data="gaussian", run=folder / "points", **SMALL, **UNBOUNDED)
    genlab.train("gan", data="digits", run=folder / "gan", **SMALL)
    return folder


@pytest.fixture
def linear(trained: Path) -> tuple[genlab.Run, Tensor]:
    """A run whose model and data are linear, and the true directions of its attributes."""
    run, model = genlab.Run(trained / "digits", device="cpu"), Linear()
    data, truth = planted(model)
    vars(run).update(model=model, dataset=data)
    return run, truth


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the classifier of attributes for two steps."""
    for name, steps in (("LEAST_STEPS", 2), ("EPOCHS", 0)):
        monkeypatch.setattr(classifier, name, steps)
    monkeypatch.setattr(attributes, "AttributeClassifier", partial(AttributeClassifier, width=4))


def test_directions_on_data_of_a_linear_decoder_are_the_true_ones(linear: tuple[genlab.Run, Tensor]) -> None:
    run, truth = linear
    std = run.dataset.columns["size"].rows.std()
    found = run.edit(add=["round", "size"], remove="stripe", directions="joint").directions
    expected = torch.stack([truth[0], truth[2] * std, -truth[1]])
    # Pixels are whole numbers.
    assert torch.allclose(found, expected, atol=5e-3)
    # The attributes come together, so a difference of means is far from the truth.
    means = run.edit(add="round", directions="means").directions
    assert (means - truth[:1]).abs().max() > 0.2


def test_an_edited_code_is_the_code_plus_the_strength_times_the_direction(linear: tuple[genlab.Run, Tensor]) -> None:
    run, _ = linear
    found = run.edit(add="round", strength=2, count=7, directions="joint")
    before = run.encode(found.given.items)
    assert torch.allclose(found.codes, before + 2 * found.directions, atol=1e-5)
    assert torch.allclose(found.edited, run.decode(found.codes), atol=1e-6)
    assert torch.allclose(found.reconstructed, run.decode(before), atol=1e-6)
    assert set(found.given.columns["round"].tolist()) == {0}
    assert len(found.edited) == 7


def test_each_item_has_its_own_direction_given_its_other_attributes(linear: tuple[genlab.Run, Tensor]) -> None:
    run, truth = linear
    # A stripe is twice as strong where there is no round: the sum of both directions depends on the round.
    known, draws = run.dataset.columns, torch.tensor([[0, 0.2, 0, 0, 0.3]])
    both = (known["stripe"].rows * (1 - known["round"].rows))[:, None].float() @ draws
    model: Any = run.model
    pixels = known["x"].rows
    pixels += (both @ model.patterns).view(-1, 1, 8, 8).mul(255).round().char().view(torch.uint8)
    found = run.edit(add="stripe", strength=1, count=40)
    steps = found.codes - run.encode(found.given.items)
    expected = truth[1] + (1 - found.given.columns["round"])[:, None] * draws
    assert len(found.given.columns["round"].unique()) == 2
    assert torch.allclose(steps, expected, atol=2e-2)
    shared = run.edit(add="stripe", strength=1, count=40, directions="joint")
    assert (shared.codes - run.encode(shared.given.items) - expected).abs().max() > 0.05
    assert "Each item has its own, given its attributes, which are read from its code." in found.learnt


def test_towards_one_of_several_values_each_item_goes_from_its_own(trained: Path) -> None:
    run, model = genlab.Run(trained / "digits", device="cpu"), Linear()
    draws = torch.Generator().manual_seed(7)
    values = torch.randint(3, (900,), generator=draws)
    centres = torch.tensor([[0.6, 0, 0, 0, 0], [0, 0.6, 0, 0, 0.2], [0, 0, -0.6, 0, 0]])
    pixels = model.decode(centres[values] + 0.05 * torch.randn(900, 5, generator=draws))
    order = torch.arange(900)
    splits = {"train": order[:700], "validation": order[700:800], "test": order[800:]}
    known = {"kind": attribute(values, ("one", "two", "three"))}
    data = Dataset.of_images(pixels.mul(255).round().clamp(0, 255).byte(), splits, attributes=known)
    vars(run).update(model=model, dataset=data)
    found = run.edit(add="kind=two", strength=1, count=30)
    steps = found.codes - run.encode(found.given.items)
    assert torch.allclose(steps, centres[1] - centres[found.given.columns["kind"]], atol=2e-2)
    # An item that has the value already stays as it is.
    there = data.columns["x"].rows[data.splits["test"]][values[800:] == 1] / 255
    assert torch.equal(run.edit(there, add="two").codes, run.encode(there))


def test_a_residual_keeps_what_the_model_cannot_reconstruct(linear: tuple[genlab.Run, Tensor]) -> None:
    run, _ = linear
    plain, kept = run.edit(add="round", strength=1), run.edit(add="round", strength=1, residual=True)
    lost = plain.given.items - plain.reconstructed
    assert lost.abs().mean() > 0.01
    expected = (plain.given.items + plain.edited - plain.reconstructed).clamp(0, 1)
    assert torch.allclose(kept.edited, expected)
    assert torch.allclose(kept.edited - plain.edited, lost, atol=1e-6)


def test_a_model_that_is_told_the_class_decodes_with_the_inferred_or_the_changed_one(trained: Path) -> None:
    run, model = genlab.Run(trained / "digits", device="cpu"), Told()
    draws = torch.Generator().manual_seed(5)
    label = torch.randint(2, (600,), generator=draws)
    codes = 0.2 * torch.randn(600, 5, generator=draws)
    pixels = model.decode(codes, {"label": label}).mul(255).round().clamp(0, 255).byte()
    order = torch.arange(600)
    splits = {"train": order[:400], "validation": order[400:500], "test": order[500:]}
    vars(run).update(model=model, dataset=Dataset.of_images(pixels, splits, label, ("plain", "dotted")))
    found = run.edit(add="dotted", strength=0)
    assert torch.allclose(found.reconstructed, found.given.items, atol=5e-3)
    pattern = 0.5 * model.unseen[0].view(1, 1, 8, 8)
    assert torch.allclose(found.edited - found.reconstructed, pattern.expand(12, 1, 8, 8), atol=1e-6)
    averages = run.average()
    assert averages.values == ("plain", "dotted")
    assert torch.allclose(averages.items, run.decode(averages.codes, label=[0, 1]), atol=1e-6)


def test_directions_are_learned_from_training_items_alone(linear: tuple[genlab.Run, Tensor]) -> None:
    run, _ = linear
    before = run.edit(add="round").directions
    data, held_out = run.dataset, torch.cat([run.dataset.splits["validation"], run.dataset.splits["test"]])
    data.columns["x"].rows[held_out] = 0
    assert torch.equal(run.edit(add="round").directions, before)


@pytest.mark.usefixtures("quick")
def test_drawn_data_is_redrawn_with_the_attribute_and_the_error_is_against_it(trained: Path) -> None:
    run = genlab.Run(trained / "faces", device="cpu")
    found = run.edit(add="hat", measure=True, count=5)
    assert found.redrawn is not None
    assert len(found.redrawn) == 5
    wanted = {**found.given.columns, "hat": torch.ones(5, dtype=torch.int64)}
    assert run.dataset.redraw
    assert torch.equal(found.redrawn, run.dataset.redraw(wanted) / 255)
    assert list(found.metrics) == [EDITED, RESIDUAL, PIXELS, UNEDITED, REDRAWN]
    assert found.metrics[REDRAWN]["error_inside"] == 0
    assert found.metrics[UNEDITED]["error_inside"] > 0.05
    assert {"error_inside", "changed", "others_kept"} == set(found.metrics[EDITED])
    bare = int((run.dataset.columns["hat"].rows[run.dataset.splits["test"]] == 0).sum())
    assert found.measured.startswith(f"Measured on {bare} test items that +hat changes.")


def test_removing_one_of_several_values_cannot_be_redrawn_and_adding_it_can(trained: Path) -> None:
    run = genlab.Run(trained / "faces", device="cpu")
    assert run.edit(remove="red").redrawn is None
    found = run.edit(add="hair=RED", remove="hair=black")
    assert found.redrawn is not None
    assert found.directions.shape == (2, 20)
    assert set(found.given.columns["hair"].tolist()) == {0}


def test_the_command_writes_a_sheet_single_files_and_arrays(trained: Path, tmp_path: Path) -> None:
    done = program(trained, "edit", "faces", "--add", "smile", "--count", "3", "--out", str(tmp_path / "a"))
    assert done.returncode == 0, done.stderr
    assert "The directions come from 324 training items." in done.stdout
    names = {file.name for file in (tmp_path / "a").iterdir()}
    assert len(names) == 4
    assert "edited.png" in names
    single = next(name for name in names if name.startswith("faces-test-"))
    assert single.endswith("+smile.png")
    assert Image.open(tmp_path / "a" / single).size == (16, 16)
    arguments = ["--add", "smile", "--format", "npz", "--residual", "--out", str(tmp_path / "b")]
    assert program(trained, "edit", "faces", str(tmp_path / "a" / single), *arguments).returncode == 0
    arrays = np.load(tmp_path / "b/edited.npz")
    assert {name: arrays[name].shape for name in arrays} == {
        "codes": (1, 20),
        "directions": (1, 20),
        "x": (1, 3, 16, 16),
        "before": (1, 3, 16, 16),
    }


def test_attributes_are_listed_with_their_values(trained: Path) -> None:
    printed = program(trained, "edit", "faces", "--attributes").stdout
    run = genlab.Run(trained / "faces")
    assert list(run.attributes) == [*run.dataset.attributes, "label"]
    assert run.attributes["hair"] == ("black", "red", "blond", "grey")
    assert all(name in printed for name in run.attributes)
    wearing = int(run.dataset.columns["hat"].rows[run.dataset.splits["train"]].sum())
    assert f"no {324 - wearing}, yes {wearing}" in printed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--add", "smlie"], "Unknown attribute 'smlie'. Did you mean 'smile'? Available: smile, glasses, hat"),
        (["--add", "hair"], "hair has 4 values: pass one of them, such as hair=black, hair=red"),
        (["--add", "hair=rde"], "Unknown value of hair 'rde'. Did you mean 'red'? Available: black, blond, grey, red"),
        (["--add", "yes"], "'yes' is a value of several attributes. Pass one of: smile=yes, glasses=yes"),
        (["--add", "size=3"], "size is a number and has no value '3'. Pass size alone."),
        (["--add", "smile", "--remove", "smile"], "+smile and -smile are contradictory. Leave one of them out."),
        (["--add", "smile,smile=no"], "+smile and +smile=no are contradictory."),
        (["--add", "smile=no", "--remove", "smile"], "+smile=no and -smile are the same change twice."),
        (["--add", "red,black"], "+red and +black are contradictory."),
        ([], "Say what to change: add or remove one of smile, glasses, hat"),
        (["--add", "smile", "--count", "0"], "count must be at least 1, got 0."),
        (["--add", "smile", "--strength", "nan"], "strength must be a number, got nan."),
    ],
)
def test_wrong_changes_are_refused(trained: Path, arguments: list[str], sentence: str) -> None:
    assert_refused(program(trained, "edit", "faces", *arguments), sentence)


def test_runs_without_attributes_or_codes_are_refused(trained: Path) -> None:
    assert_refused(program(trained, "edit", "points", "--add", "smile"), "has no attributes and no labels.")
    assert_refused(program(trained, "edit", "gan", "--add", "label=3"), "cannot encode; it can decode and sample.")
    assert_refused(program(trained, "average", "gan"), "cannot encode; it can decode and sample.")


def test_a_value_that_no_training_item_has_is_refused(linear: tuple[genlab.Run, Tensor]) -> None:
    run, _ = linear
    run.dataset.columns["stripe"].rows[:] = 0
    with pytest.raises(genlab.ConfigError, match="No training item has stripe=yes, so there is no direction to learn."):
        run.edit(add="stripe")


def test_averages_are_the_decoded_mean_codes_of_each_value(linear: tuple[genlab.Run, Tensor]) -> None:
    run, _ = linear
    found = run.average("stripe")
    rows = run.dataset.splits["train"]
    values = run.dataset.columns["stripe"].rows[rows]
    items = run.dataset.columns["x"].rows[rows] / 255
    assert found.values == ("no", "yes")
    assert found.counts == tuple(values.bincount().tolist())
    for place, average in enumerate(found.items):
        assert torch.allclose(average, run.decode(run.encode(items[values == place]).mean(0))[0], atol=1e-5)
    assert found.means is not None
    assert torch.allclose(found.means[1], items[values == 1].mean(0), atol=1e-5)


def test_averages_by_a_number_are_of_four_equal_parts_and_without_labels_of_all(
    linear: tuple[genlab.Run, Tensor],
) -> None:
    run, _ = linear
    assert run.average("size").counts == (700, 700, 700, 700)
    assert run.average("size").values[0].startswith("0.000")
    assert run.average().values == ("all items",)
    assert run.average().counts == (2800,)


@pytest.mark.usefixtures("quick")
def test_averages_are_written_and_classified(trained: Path, tmp_path: Path) -> None:
    done = program(trained, "average", "faces", "--by", "hair", "--measure", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "decoded mean code" in done.stdout
    names = {f"hair-{value}.png" for value in ("black", "red", "blond", "grey")}
    assert {file.name for file in tmp_path.iterdir()} == {"average.png", "average.csv", *names}
    assert_refused(program(trained, "average", "faces", "--by", "hairs"), "Did you mean 'hair'?")
    assert_refused(program(trained, "average", "faces", "--by", "size", "--measure"), "Leave out --measure.")


def test_values_with_commas_in_their_names_are_found(trained: Path, tmp_path: Path) -> None:
    genlab.train("vae", data="ring", run=tmp_path / "ring", **SMALL, **UNBOUNDED)
    run = genlab.Run(tmp_path / "ring", device="cpu")
    assert run.edit(add="label=(2.0, 0.0)").changes == ("+label=(2.0, 0.0)",)
    assert run.edit(add="(2.0, 0.0)").changes == ("+(2.0, 0.0)",)
    done = program(tmp_path, "edit", "ring", "--add", "(2.0, 0.0)", "--count", "3", "--out", "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"edited.png", "points.csv"}, done.stderr
    assert len((tmp_path / "out/points.csv").read_text().splitlines()) == 4
