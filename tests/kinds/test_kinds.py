"""Kinds: load what is stored, show it to a person, keep themselves in run.json, and refuse what does not fit."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from genlab.kinds import (
    KINDS,
    Augmentation,
    Classes,
    Image,
    Kind,
    MissingColumnError,
    Number,
    Points,
    Row,
    Spectrogram,
    Tokens,
    fit,
    from_facts,
    missing,
    to_facts,
)
from genlab.kinds.plot import density
from genlab.kinds.spectrogram import mel_filters
from genlab.registry import ConfigError

WORDS = Tokens(("", "a", "b", "c"), length=5)
SPEECH = Spectrogram(1, 64, 64, rate=16_000)
EVERY: list[Kind] = [Image(3, 8, 6), Points(2), WORDS, SPEECH, Classes(("cat", "dog")), Number()]


def test_every_kind_survives_run_json() -> None:
    assert {type(kind) for kind in EVERY} == set(KINDS.values())
    for kind in EVERY:
        assert from_facts(json.loads(json.dumps(to_facts(kind)))) == kind


def test_bytes_are_loaded_as_exact_fractions_of_255() -> None:
    stored = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(Image(1, 16, 16).load(stored).flatten(), torch.arange(256.0) / 255)


def test_points_and_tokens_are_loaded_as_they_are() -> None:
    points = torch.randn(4, 2)
    assert torch.equal(Points(2).load(points), points)
    assert WORDS.load(WORDS.encode(["ab"])).tolist() == [[1, 2, 0, 0, 0]]


def test_tokens_are_texts_and_back() -> None:
    texts = ["abc", "", "cabba"]
    assert WORDS.decode(WORDS.encode(texts)) == texts
    with pytest.raises(ConfigError, match="'abx' holds 'x', which is not in the vocabulary."):
        WORDS.encode(["abx"])
    with pytest.raises(ConfigError, match="has 6 symbols; at most 5 fit"):
        WORDS.encode(["aaaaaa"])


@pytest.mark.parametrize(
    ("kind", "rows", "message"),
    [
        (Image(1, 2, 2), torch.zeros(3, 1, 2, 2), "Column 'x' must be ('N', 1, 2, 2) of torch.uint8, got"),
        (Points(2), torch.zeros(3, 1), "Column 'x' must be ('N', 2) of torch.float32, got (3, 1)"),
        (Classes(("cat", "dog")), torch.tensor([0, 2]), "holds numbers from 0 to 2, and 2 classes are named."),
        (WORDS, torch.full((2, 5), 4, dtype=torch.int16), "holds numbers from 4 to 4, and its vocabulary has 4"),
    ],
    ids=["dtype", "shape", "class", "symbol"],
)
def test_rows_that_are_no_items_are_refused(kind: Kind, rows: Tensor, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        kind.check(rows, "x")
    assert message in str(caught.value)


def test_only_images_can_be_augmented() -> None:
    with pytest.raises(
        ConfigError, match=r"flip, shift, zoom, jitter and binarize change images, and this data holds points"
    ):
        Points(2).augment(torch.zeros(1, 2), Augmentation(flip=True), torch.Generator())
    assert torch.equal(Points(2).augment(torch.ones(1, 2), Augmentation(), torch.Generator()), torch.ones(1, 2))


# Exhibits.


def test_rows_of_images_are_drawn_below_their_captions() -> None:
    black, white = torch.zeros(3, 1, 56, 56), torch.ones(3, 1, 56, 56)
    plain = Image(1, 56, 56).exhibit([Row("", black), Row("", white)]).picture
    titled = Image(1, 56, 56).exhibit([Row("data", black), Row("generated", white)]).picture
    assert plain
    assert titled
    pixels, captioned = np.asarray(plain), np.asarray(titled)
    assert pixels.shape == (2 * 58 + 2, 3 * 58 + 2)
    assert (pixels[2:58, 2:58] == 0).all()
    assert (pixels[60:] == 255).all()
    # The captions take their own lines and hide no pixel of the images.
    assert captioned.shape[0] == pixels.shape[0] + 2 * 15
    assert (captioned == 0).sum() >= (pixels == 0).sum()
    assert (captioned[:15] < 255).any()


def test_small_images_are_enlarged_with_sharp_pixels_and_colours_stay() -> None:
    image = torch.zeros(1, 3, 8, 8)
    image[0, 0, 0, 0] = 1.0
    picture = Image(3, 8, 8).exhibit([Row("", image)]).picture
    assert picture
    pixels = np.asarray(picture)
    assert (pixels[2:9, 2:9] == (255, 0, 0)).all()
    assert (pixels[9:16, 9:16] == 0).all()


BLUE, ORANGE = (0x3B, 0x6E, 0xA5), (0xD1, 0x66, 0x1B)


def count(picture: object, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(picture) == colour).all(2).sum())


def test_points_are_drawn_as_densities_in_the_window_of_the_data_with_a_legend() -> None:
    first = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    picture = Points(2).exhibit([Row("data", first), Row("generated", first + 100)]).picture
    assert picture
    left, right = (picture.crop((half, 0, half + 250, picture.height)) for half in (0, 250))
    # Two dots of four pixels, and the square of the legend.
    assert (count(left, BLUE), count(left, ORANGE)) == (8 + 81, 0)
    # The data is behind the generated points, which are outside of its window.
    assert (count(right, BLUE), count(right, ORANGE)) == (8 + 81, 81)
    pixels = np.asarray(left)
    assert (pixels[-22:] < 128).any()  # names of the ticks below
    assert (pixels[:, :40] < 128).any()  # and on the left


def test_numbers_are_drawn_as_histograms_in_one_panel() -> None:
    rows = [Row("data", torch.zeros(9, 1)), Row("generated", torch.full((9, 1), 0.5))]
    picture = Points(1).exhibit(rows).picture
    assert picture
    assert picture.width < 2 * 250
    assert count(picture, BLUE) > 81
    assert count(picture, ORANGE) > 81


@pytest.mark.parametrize("points", [torch.full((3, 2), math.nan), torch.zeros(1, 1), torch.zeros(0, 2)])
def test_points_without_an_extent_are_drawn(points: Tensor) -> None:
    assert Points(points.shape[1]).exhibit([Row("", points)]).picture


def test_a_long_caption_is_cut_and_stays_on_its_line() -> None:
    picture = Image(1, 28, 28).exhibit([Row("a\nvery " * 100, torch.zeros(1, 1, 28, 28))]).picture
    assert picture
    assert picture.width <= 300
    assert picture.height == 15 + 58 + 2


def test_a_density_is_dark_where_the_points_are() -> None:
    low, high = torch.tensor(0.0), torch.tensor(1.0)
    plane = density(torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]), low, high, 5)
    assert plane[4, 0] == 0  # y points up
    assert 0 < plane[0, 4] < 1
    assert (plane == 1).sum() == 23
    bars = density(torch.tensor([[0.0], [0.0], [1.0]]), low, high, 4)
    assert bars[:, 0].tolist() == [0, 0, 0, 0]
    assert bars[:, 3].tolist() == [1, 1, 0, 0]


def test_tokens_are_written_a_line_each_below_their_caption() -> None:
    text = WORDS.exhibit([Row("data", WORDS.encode(["ab", "c"])), Row("", WORDS.encode(["a"]))]).text
    assert text == "data:\nab\nc\n\na\n"


def test_a_spectrogram_is_seen_and_heard_as_the_tone_that_it_was() -> None:
    seconds = torch.arange(SPEECH.hop * 63) / SPEECH.rate
    # A louder tone would be white in the picture.
    tone = 0.2 * torch.sin(2 * math.pi * 1000 * seconds)
    picture = SPEECH.picture(tone.unsqueeze(0))
    assert picture.shape == (1, 1, 64, 64)
    shown = SPEECH.exhibit([Row("data", picture)])
    assert shown.picture
    assert shown.sound
    assert shown.sound.rate == 16_000
    heard = shown.sound.samples[2000:10_000]
    spectrum = torch.fft.rfft(heard * torch.hann_window(len(heard))).abs()
    assert float(spectrum.argmax()) * SPEECH.rate / len(heard) == pytest.approx(1000, abs=20)
    assert float(heard.square().mean().sqrt()) == pytest.approx(0.2 / math.sqrt(2), rel=0.25)


def test_mel_filters_are_triangles_that_cover_every_frequency_between_the_ends() -> None:
    filters = mel_filters(64, 16_000, 4096)
    assert float(filters.max()) <= 1
    centres = filters.argmax(1)
    assert bool((centres.diff() > 0).all())
    inside = filters[:, int(centres[0]) + 1 : int(centres[-1])].sum(0)
    torch.testing.assert_close(inside, torch.ones_like(inside), rtol=0, atol=1e-5)


# Signatures.


def image_model(*, x: Image, width: int) -> None: ...


def either_model(*, x: Image | Points, label: Classes | None) -> None: ...


def labelled_model(*, x: Image, label: Classes) -> None: ...


KIND_OF = {"x": Image(1, 28, 28), "label": Classes(("cat", "dog"))}


def test_a_signature_is_given_the_kinds_that_it_names() -> None:
    assert fit("model 'toy'", image_model, KIND_OF, "photos") == {"x": Image(1, 28, 28)}
    assert fit("model 'toy'", either_model, KIND_OF, "photos") == KIND_OF
    assert fit("model 'toy'", either_model, {"x": Points(1)}, "gaussian") == {"x": Points(1), "label": None}


def test_a_spectrogram_is_an_image_to_every_model() -> None:
    assert fit("model 'toy'", image_model, {"x": SPEECH}, "speech") == {"x": SPEECH}


def test_a_kind_that_does_not_fit_gets_the_uniform_sentence() -> None:
    with pytest.raises(ConfigError) as caught:
        fit("model 'srgan'", image_model, {"x": Points(2)}, "gaussian")
    assert str(caught.value) == "model 'srgan' takes images, and data 'gaussian' holds points (2 numbers each)."
    with pytest.raises(ConfigError, match="takes images or points, and data 'words' holds token sequences"):
        fit("model 'vae'", either_model, {"x": WORDS}, "words")


def test_missing_labels_get_the_uniform_sentence() -> None:
    with pytest.raises(ConfigError, match=r"model 'cgan' needs labels, and data 'photos' has none\. Choose data with"):
        fit("model 'cgan'", labelled_model, {"x": Image(1, 8, 8)}, "photos")
    error = MissingColumnError("label", "Or set model.condition=none.")
    assert str(missing("model 'cgan'", error.column, "photos", error.advice)).endswith("Or set model.condition=none.")
