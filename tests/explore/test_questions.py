"""Answers to the page: the same items, codes and scores as those of the Python API."""

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from genlab.explore.questions import Questions
from genlab.explore.shown import Shown, shown
from genlab.explore.uploads import Upload
from genlab.explore.wire import Question
from genlab.kinds import Tokens
from genlab.lab.run import Run
from genlab.registry import ConfigError


@pytest.fixture(scope="module")
def asked(vae: Run) -> Questions:
    return Questions(vae)


@pytest.fixture(scope="module")
def conditional(cvae: Run) -> Questions:
    return Questions(cvae)


def of(item: Shown) -> np.ndarray[Any, Any]:
    """The pixels of a grey item, in [0, 1]."""
    return np.asarray(item["pixels"])[:, :, 0] / 255


def question(numbers: Any = (), **settings: Any) -> Question:
    return Question(settings, np.asarray(numbers, np.float32).flatten())


def png(size: tuple[int, int] = (8, 8)) -> bytes:
    file = io.BytesIO()
    Pillow.linear_gradient("L").resize(size).save(file, "PNG")
    return file.getvalue()


def test_the_features_follow_from_the_abilities(asked: Questions, conditional: Questions) -> None:
    facts = asked.facts()
    able = {name for name, there in facts["features"].items() if there}
    everything = {"decode", "encode", "sample", "truncation", "draw", "map", "path", "arc", "directions"}
    everything |= {"examine", "items"}
    assert able == everything
    assert facts["classes"] == []
    assert facts["size"] == 20
    told = conditional.facts()
    assert told["classes"] == told["drawn"] == [str(digit) for digit in range(10)]
    assert not told["features"]["directions"], "the class is chosen, so it is no direction"


def test_a_code_is_decoded_as_by_the_api(asked: Questions, conditional: Questions) -> None:
    code = torch.randn(20, generator=torch.Generator().manual_seed(1))
    found = of(asked.decode(question(code))["item"])
    assert np.abs(found - asked.run.decode(code)[0, 0].numpy()).max() <= 0.5 / 255
    told = of(conditional.decode(question(code, label=7))["item"])
    assert np.abs(told - conditional.run.decode(code, label=7)[0, 0].numpy()).max() <= 0.5 / 255
    with pytest.raises(ConfigError, match="label must be an integer from 0 to 9"):
        conditional.decode(question(code, label=10))


def test_samples_are_those_of_the_seed_and_their_codes_decode_to_them(asked: Questions, conditional: Questions) -> None:
    found = asked.sample(question(seed=3, count=4, truncation=0.7))
    expected = asked.run.sample(4, seed=3, truncation=0.7)
    assert all(
        np.abs(of(item) - image[0].numpy()).max() <= 0.5 / 255
        for item, image in zip(found["items"], expected, strict=True)
    )
    again = asked.decode(question(found["codes"][2]))["item"]
    assert np.array_equal(again["pixels"], found["items"][2]["pixels"])
    assert conditional.sample(question(seed=0, count=12))["labels"].tolist() == [*range(10), 0, 1]
    assert conditional.sample(question(seed=0, count=2, label=4))["labels"].tolist() == [4, 4]


def test_a_path_begins_and_ends_at_its_codes_and_changes_the_class_halfway(conditional: Questions) -> None:
    ends = torch.randn(2, 20, generator=torch.Generator().manual_seed(2))
    classes = {"startLabel": 1, "endLabel": 8, "mode": "auto"}
    start, end = (conditional.between(question(ends, at=at, **classes)) for at in (0, 1))
    assert torch.equal(torch.stack([start["code"], end["code"]]), ends)
    assert (start["label"], end["label"], start["mode"]) == (1, 8, "spherical")


def test_the_map_is_a_plane_in_which_each_place_has_a_code(asked: Questions) -> None:
    found = asked.survey.map("pca")
    codes, axes = asked.survey.codes, found["plane"]["axes"]
    places = torch.stack([found["x"], found["y"]], 1)
    assert torch.allclose((codes - found["plane"]["mean"]) @ axes.T, places, atol=1e-5)
    assert torch.allclose(axes @ axes.T, torch.eye(2), atol=1e-5)
    assert len(found["labels"]) == len(codes) == asked.facts()["items"]
    place = asked.survey.rows[5]
    item = asked.item(question(number=5))
    assert item["caption"] == f"test item {int(place):,}, {asked.run.dataset.classes[int(found['labels'][5])]}"
    assert torch.allclose(item["code"], codes[5], atol=1e-5)


def test_the_sliders_have_the_most_important_numbers_first(asked: Questions) -> None:
    units = asked.survey.units()
    assert sorted(units["order"].tolist()) == list(range(20))
    values = [float(caption.split("KL ")[1].split(" ")[0]) for caption in units["captions"]]
    assert values == sorted(values, reverse=True)
    assert torch.equal(units["std"], torch.ones(20)), "the prior of a VAE"


def test_a_direction_leads_from_the_others_to_the_class(asked: Questions) -> None:
    found = asked.survey.directions()["directions"]
    assert [each["value"] for each in found] == list(asked.run.dataset.classes)
    from genlab.lab.attributes import encoded_training, training_rows

    rows = training_rows(asked.run.dataset)
    codes = torch.cat([each for _, each in encoded_training(asked.run, rows)])
    assert asked.run.dataset.labels is not None
    own = asked.run.dataset.labels[rows] == 3
    assert torch.allclose(found[3]["direction"], codes[own].mean(0) - codes[~own].mean(0), atol=1e-4)


def test_a_picture_is_reconstructed_scored_and_encoded(asked: Questions, conditional: Questions) -> None:
    found = asked.examine(question(), Upload(file=png()))
    pixels = torch.from_numpy(np.asarray(Pillow.open(io.BytesIO(png()))).copy())
    expected = asked.run.reconstruct(pixels)[0, 0].numpy()
    assert np.abs(of(found["result"]) - expected).max() <= 0.5 / 255
    assert torch.allclose(found["code"], asked.run.encode(pixels)[0], atol=1e-5)
    assert [score["name"] for score in found["scores"]] == asked.survey.standings()["names"]
    assert all((values.diff() >= 0).all() for values in asked.survey.standings()["values"])
    shares = conditional.examine(question(), Upload(number=1))["classes"]
    assert len(shares) == 5
    assert shares == sorted(shares, key=lambda each: -each["share"])


def test_numbers_that_are_not_finite_or_missing_are_refused(asked: Questions) -> None:
    for numbers in ([np.nan] * 20, [np.inf] * 20, [1e30] * 20, [0] * 19):
        with pytest.raises(ConfigError, match="numbers"):
            asked.decode(question(numbers))
    for settings in ({"seed": -1}, {"seed": 2.5}, {"seed": True}, {"seed": 0, "truncation": float("nan")}, {}):
        with pytest.raises(ConfigError, match="must be"):
            asked.sample(question(count=1, **settings))
    with pytest.raises(ConfigError, match="cannot upscale"):
        asked.upscale(question(), Upload(number=0))


def test_a_picture_with_too_many_pixels_or_damage_is_refused_before_it_is_unpacked(
    asked: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb, cut = bytearray(png()), png()[:60]
    monkeypatch.setattr(Pillow.Image, "load", lambda _: pytest.fail("it was unpacked"))
    # The width and the height in the header of a PNG.
    bomb[16:24] = (9_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    with pytest.raises(ConfigError, match="too many pixels: 9,000 x 9,000"):
        asked.examine(question(), Upload(file=bytes(bomb)))
    monkeypatch.undo()
    for content in (b"", b"<svg onload=alert(1)>", cut):
        with pytest.raises(ConfigError, match="no picture|damaged"):
            asked.examine(question(), Upload(file=content))


def test_a_run_whose_data_is_gone_shows_what_needs_no_data(vae: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Questions(Run(vae.path, device="cpu"))

    def gone(_: Run) -> None:
        raise ConfigError("The data has changed.")

    monkeypatch.setattr(Run, "dataset", property(gone))
    features = alone.facts()["features"]
    assert features["decode"]
    assert features["examine"]
    assert not features["map"] | features["directions"] | features["items"]
    assert "its data cannot be read (see --data)" in alone.facts()["about"]
    assert alone.survey.units()["start"].tolist() == [0] * 20


def test_a_sound_of_the_page_can_be_heard(sounds: Path) -> None:
    from genlab.config.trust import Trust

    asked = Questions(Run(sounds / "outputs/mine", device="cpu", trust=Trust(True)))
    assert asked.facts()["features"]["sound"]
    item = asked.item(question(number=0))["item"]
    content = asked.sound(item["pixels"].tobytes())
    assert content[:4] == b"RIFF"
    assert len(content) == 44 + 2 * 64 * 15
    with pytest.raises(ConfigError, match="256 bytes, got 3"):
        asked.sound(b"abc")


def test_token_sequences_are_texts() -> None:
    kind = Tokens(("_", "a", "<script>"), 3)
    assert shown(kind, torch.tensor([[1, 2, 0]])) == [{"type": "text", "text": "a<script>"}]
