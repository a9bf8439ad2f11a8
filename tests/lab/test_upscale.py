"""`genlab upscale`: pictures become larger and stay as they are otherwise, and nothing is overwritten."""

import hashlib
import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile

from genlab.data.files.decode import BadFileError
from genlab.evaluation.tiles import TiledUpscaler
from genlab.extractors import lite0
from genlab.lab import picture
from genlab.lab.files import Source
from genlab.lab.upscale import Work
from genlab.runs.results import write_fresh
from genlab.runs.run import Run
from tests.fixtures.program import TINY, assert_refused, genlab, genlab_apart
from tests.fixtures.upscaling import drawn, photo, toy, write_plugin

OUT = "outputs/able/upscaled"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run that upscales colours, one that upscales grey images and one that cannot upscale."""
    folder = tmp_path_factory.mktemp("trained")
    command = ["train", "--plugin", str(write_plugin(folder / "own")), "model=toy-upscaler", "trainer=smoke"]
    for arguments in (
        ["train", *TINY, "run=outputs/unable"],
        [*command, "data=digits", "run=outputs/grey"],
        [*command, "data=specks", "run=outputs/able"],
    ):
        done = genlab(folder, *arguments)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder that a test may change, with a picture."""
    there = Path(shutil.copytree(trained, tmp_path / "place"))
    Image.fromarray(photo(30, 40)).save(there / "pic.png")
    return there


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of the contents of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def upscale(place: Path, *arguments: str) -> str:
    done = genlab(place, "upscale", "outputs/able", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_picture_is_upscaled_into_the_folder_of_a_run_named_in_three_ways(place: Path) -> None:
    before = digests(place)
    for name in ("outputs/able", "latest", "toy-upscaler-specks"):
        shutil.rmtree(place / OUT, ignore_errors=True)
        done = genlab(place, "upscale", name, "pic.png")
        assert done.returncode == 0, done.stderr
        assert f"pic.png: 40 x 30 -> 80 x 60, written to {OUT}/pic.png" in done.stdout
        assert Image.open(place / OUT / "pic.png").size == (80, 60)
    assert digests(place) == before | {f"{OUT}/pic.png": digests(place)[f"{OUT}/pic.png"]}


FORMATS: list[tuple[str, str, dict[str, Any], tuple[str, str, str]]] = [
    ("rgb.jpg", "RGB", {}, ("rgb.jpg", "JPEG", "RGB")),
    ("grey.JPEG", "L", {}, ("grey.JPEG", "JPEG", "L")),
    ("inks.jpg", "CMYK", {}, ("inks.jpg", "JPEG", "RGB")),
    ("bits.png", "1", {}, ("bits.png", "PNG", "L")),
    ("grey.png", "L", {}, ("grey.png", "PNG", "L")),
    ("grey-key.png", "L", {"transparency": 7}, ("grey-key.png", "PNG", "LA")),
    ("grey-alpha.png", "LA", {}, ("grey-alpha.png", "PNG", "LA")),
    ("rgb.png", "RGB", {}, ("rgb.png", "PNG", "RGB")),
    ("alpha.png", "RGBA", {}, ("alpha.png", "PNG", "RGBA")),
    ("palette.png", "P", {}, ("palette.png", "PNG", "RGB")),
    ("palette-key.png", "P", {"transparency": 0}, ("palette-key.png", "PNG", "RGBA")),
    ("deep.png", "I;16", {}, ("deep.png", "PNG", "L")),
    ("deep.tif", "I;16", {}, ("deep.tif", "TIFF", "L")),
    ("alpha.tiff", "RGBA", {}, ("alpha.tiff", "TIFF", "RGBA")),
    ("inks.tif", "CMYK", {}, ("inks.tif", "TIFF", "RGB")),
    ("alpha.webp", "RGBA", {"lossless": True}, ("alpha.webp", "WEBP", "RGBA")),
    ("rgb.bmp", "RGB", {}, ("rgb.bmp", "BMP", "RGB")),
    ("few.gif", "P", {}, ("few.png", "PNG", "RGB")),
    ("photo.v2", "RGB", {"format": "JPEG"}, ("photo.v2.png", "PNG", "RGB")),
    ("really-a-png.jpg", "RGBA", {"format": "PNG"}, ("really-a-png.png", "PNG", "RGBA")),
]


def test_every_format_and_mode_is_kept(place: Path) -> None:
    for name, mode, options, _ in FORMATS:
        drawn(mode).save(place / name, **options)
    upscale(place, *(name for name, *_ in FORMATS))
    assert names(place / OUT) == sorted(becomes[0] for *_, becomes in FORMATS)
    for name, *_, (kept, form, mode) in FORMATS:
        before = picture.read(place / name).image
        with Image.open(place / OUT / kept) as found:
            assert (found.format, found.mode, found.size) == (form, mode, (80, 60)), name
            # Made small again, it is the original with its transparency: the toy's weights have hardly moved.
            small = found.resize((40, 30), Image.Resampling.BOX)
        assert np.abs(np.asarray(small).astype(int) - np.asarray(before)).mean() < 5, name


def test_a_picture_rotated_by_exif_comes_out_upright_with_the_rest_of_its_metadata(place: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    inner = exif.get_ifd(0x8769)
    inner[0x9003], inner[0xA002], inner[0xA003] = "2024:05:06 07:08:09", 40, 30
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        Image.fromarray(photo(30, 40)).save(place / name, exif=exif.tobytes(), icc_profile=profile)
    upscale(place, "a.jpg", "a.png", "a.webp", "a.tif")
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        with Image.open(place / OUT / name) as found:
            kept = found.getexif()
            assert found.size == (60, 80)
            assert kept.get(0x0112, 1) == 1
            assert kept[0x010F] == "A camera"
            # The time is kept, the old size is not.
            assert dict(kept.get_ifd(0x8769)) == {0x9003: "2024:05:06 07:08:09"}
            assert found.info["icc_profile"] == profile


def test_a_jpeg_is_written_in_high_quality_without_chroma_subsampling(place: Path) -> None:
    Image.fromarray(photo(30, 40)).save(place / "a.jpg", quality=30)
    upscale(place, "a.jpg")
    with JpegImageFile(place / OUT / "a.jpg") as found:
        assert [(layer[1], layer[2]) for layer in found.layer] == [(1, 1)] * 3
        assert max(found.quantization[0]) < 15


def test_a_model_for_grey_images_upscales_colour_pictures(place: Path) -> None:
    done = genlab(place, "upscale", "outputs/grey", "pic.png", "--out", "large")
    assert done.returncode == 0, done.stderr
    with Image.open(place / "large/pic.png") as found:
        assert (found.mode, found.size) == ("RGB", (80, 60))


def test_the_same_result_is_written_once_and_another_result_gets_another_name(place: Path) -> None:
    upscale(place, "pic.png")
    before = digests(place)
    assert f"already in {OUT}/pic.png" in upscale(place, "pic.png")
    assert digests(place) == before
    Image.fromarray(photo(30, 40, seed=1)).save(place / "pic.png")
    assert f"written to {OUT}/pic-2.png" in upscale(place, "pic.png")
    after = digests(place)
    assert {name: after[name] for name in before if name != "pic.png"} == {
        name: digest for name, digest in before.items() if name != "pic.png"
    }
    assert names(place / OUT) == ["pic-2.png", "pic.png"]


def test_an_original_is_never_overwritten_even_by_a_result_beside_it(place: Path) -> None:
    before = digests(place)
    upscale(place, "pic.png", "--out", ".")
    assert digests(place)["pic.png"] == before["pic.png"]
    assert Image.open(place / "pic-2.png").size == (80, 60)


def test_sub_folders_are_kept_and_equal_names_get_numbers(place: Path) -> None:
    for number, name in enumerate(("a/pic.png", "a/deep/pic.png", "b/pic.png", "b/.hidden.png", "b/notes.txt")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(9, 9, seed=number)).save(place / name, format="PNG")
    upscale(place, "a", "b/", "a/pic.png", "pic.png", "--out", "large")
    assert names(place / "large") == ["deep/pic.png", "pic-2.png", "pic-3.png", "pic.png"]


def test_a_quoted_pattern_is_expanded_and_a_file_may_be_named_like_a_pattern(place: Path) -> None:
    for number, name in enumerate(("p1.png", "p2.png", "p[1].png", "p3.txt")):
        Image.fromarray(photo(9, 9, seed=number)).save(place / name, format="PNG")
    upscale(place, "p?.*", "p[1].png", "--out", "large")
    assert names(place / "large") == ["p1.png", "p2.png", "p[1].png"]


def test_the_comparison_shows_bicubic_beside_the_model_at_one_size(place: Path) -> None:
    printed = upscale(place, "pic.png", "--compare")
    assert f"bicubic beside toy-upscaler-specks: written to {OUT}/pic-compare.png" in printed
    sheet = np.asarray(Image.open(place / OUT / "pic-compare.png"))
    large = np.asarray(Image.open(place / OUT / "pic.png"))
    bicubic = np.asarray(Image.open(place / "pic.png").resize((80, 60), Image.Resampling.BICUBIC))
    places = [found_in(sheet, panel) for panel in (bicubic, large)]
    assert places[0][0] == places[1][0]
    assert places[0][1] < places[1][1]


def found_in(sheet: Any, panel: Any) -> tuple[int, int]:
    """Return the position of a panel on a sheet."""
    height, width = panel.shape[:2]
    corners = (sheet == panel[0, 0]).all(2)[: 1 + len(sheet) - height, : 1 + sheet.shape[1] - width]
    for top, left in np.argwhere(corners):
        if np.array_equal(sheet[top : top + height, left : left + width], panel):
            return int(top), int(left)
    raise AssertionError("the panel is not on the sheet")


def test_the_comparison_of_a_large_picture_shows_the_part_with_detail(place: Path) -> None:
    pixels = np.full((700, 900, 3), 120, np.uint8)
    pixels[400:600, 500:700] = photo(200, 200)
    Image.fromarray(pixels).save(place / "large.png")
    upscale(place, "large.png", "--compare")
    sheet = np.asarray(Image.open(place / OUT / "large-compare.png"))
    assert sheet.shape[0] < 700
    assert sheet.shape[1] < 1350
    detail = np.asarray(Image.open(place / OUT / "large.png"))[900:1100, 1100:1300]
    assert found_in(sheet[:, sheet.shape[1] // 2 :], detail)


def test_measuring_compares_with_the_originals_and_writes_nothing(place: Path) -> None:
    before = digests(place)
    printed = upscale(place, "pic.png", "--measure", "--features", "pixels")
    assert digests(place) == before
    for word in (
        "bicubic",
        "model",
        "PSNR-RGB",
        "SSIM-RGB",
        "PSNR-Y",
        "SSIM-Y",
        "distance-pixels",
        "2 pixels at each border",
        "mean",
    ):
        assert word in printed
    upscale(place, "pic.png", "--measure", "--compare", "--out", "large", "--features", "pixels")
    assert names(place / "large") == ["pic-compare.png"]
    assert found_in(np.asarray(Image.open(place / "large/pic-compare.png")), photo(30, 40))


def test_the_default_distance_is_lite0_and_without_its_package_a_line_says_how_to_get_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "distance-lite0" in upscale(place, "pic.png", "--measure")
    monkeypatch.setattr(lite0, "PACKAGE", "a_package_that_nobody_has")
    printed = upscale(place, "pic.png", "--measure")
    assert "No perceptual distance is measured. Install features for it with pip install 'genlab[lite0]'" in printed
    assert "distance" not in printed.partition("PSNR")[2]


def test_a_picture_smaller_than_the_model_sees_is_upscaled_with_a_note(place: Path) -> None:
    Image.fromarray(photo(6, 20)).save(place / "small.png")
    printed = upscale(place, "small.png", "pic.png")
    assert "small.png: 20 x 6 -> 40 x 12" in printed
    assert printed.count("the model looks at 7 x 7 pixels around each") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pic.png", "--scale", "3"], "outputs/able upscales 2 times, got --scale 3. Leave out --scale."),
        (["."], f"The folder of the results, {OUT}, lies in the folder of pictures .. Choose another folder"),
        (["pics", "--out", "pics"], "The folder of the results, pics, is the folder of pictures pics."),
        (["pics", "--out", "pics/new/deep"], "The folder of the results, pics/new/deep, lies in the folder"),
        (["empty"], "There are no pictures in empty"),
        (["*.jpg"], "No picture matches '*.jpg'"),
        (["absent.png"], "absent.png cannot be upscaled: No such file or directory."),
        (
            ["moving.gif"],
            "moving.gif cannot be upscaled: it has 3 frames, and only pictures with one frame can be upscaled.",
        ),
        (["text.png"], "text.png cannot be upscaled: it is none of JPEG, PNG, WEBP, BMP, TIFF, GIF."),
        (["cut.png"], "cut.png cannot be upscaled: "),
        (["pipe.png"], "pipe.png cannot be upscaled: it is not a regular file."),
        (["text.png", "absent.png"], "2 of the 2 pictures cannot be upscaled:\n  text.png: it is none"),
        (["pic.png", "--out", "text.png"], "text.png cannot be written: "),
        (["pic.png", "--measure", "--features", "vgg"], "Unknown features 'vgg'. Did you mean 'vgg19'?"),
        (["pic.png", "--features", "pixels"], "--features chooses what --measure compares by"),
        (["pic.png", "--measure", "--out", "large"], "--measure writes nothing into --out; add --compare"),
        (["pic.png", "--device", "cuda:9"], "There is no device 'cuda:9' here."),
        (
            ["tiny.png", "--measure", "--features", "pixels"],
            "tiny.png cannot be measured: it has 9 x 9 pixels, and measuring needs 16 each way.",
        ),
        (["pic.png", "--measure", "--features", "vgg19=text.png"], "text.png are not the published ones"),
        (["pic.png", "--measure", "--features", "vgg19=text.png"], "--features vgg19=FILE"),
        (["pic.png", "--measure", "--features", "lite0=text.png"], "features 'lite0' take no file of weights."),
    ],
)
def test_a_mistake_is_refused_with_a_sentence_and_nothing_is_written(
    place: Path, arguments: list[str], sentence: str
) -> None:
    frames = [Image.new("RGB", (9, 9), (80 * number, 0, 0)) for number in range(3)]
    frames[0].save(place / "moving.gif", save_all=True, append_images=frames[1:])
    (place / "text.png").write_text("no picture")
    (place / "cut.png").write_bytes((place / "pic.png").read_bytes()[:900])
    Image.fromarray(photo(9, 9)).save(place / "tiny.png")
    os.mkfifo(place / "pipe.png")
    (place / "empty").mkdir()
    (place / "pics").mkdir()
    shutil.copy(place / "pic.png", place / "pics")
    before = digests(place)
    assert_refused(genlab(place, "upscale", "outputs/able", *arguments), sentence)
    assert digests(place) == before


def test_good_pictures_are_upscaled_and_bad_ones_are_listed_at_the_end(place: Path) -> None:
    (place / "text.png").write_text("no picture")
    done = genlab(place, "upscale", "outputs/able", "text.png", "pic.png", "absent.png")
    assert done.returncode == 1
    assert names(place / OUT) == ["pic.png"]
    assert "2 of the 3 pictures cannot be upscaled:\n  text.png: it is none of" in done.stderr
    assert "\n  absent.png: No such file or directory\nThe other pictures are done." in done.stderr


def test_a_photograph_that_the_extractor_cannot_compare_does_not_stop_the_others(place: Path) -> None:
    Image.fromarray(photo(30, 40, channels=1)).save(place / "grey.png")
    done = genlab(place, "upscale", "outputs/able", "pic.png", "grey.png", "--measure", "--features", "pixels")
    assert done.returncode == 1
    assert "distance-pixels" in done.stdout
    assert "grey.png: features 'pixels' give no perceptual distance" in done.stderr


def test_a_pattern_that_matches_results_is_refused(place: Path) -> None:
    upscale(place, "pic.png", "--out", "large")
    before = digests(place)
    done = genlab(place, "upscale", "outputs/able", "**/*.png", "--out", "large")
    assert_refused(done, "**/*.png matches large/pic.png, which is in the folder of the results, large.")
    assert digests(place) == before
    upscale(place, "*.png", "--out", "large")


def test_a_result_that_does_not_fit_on_the_disk_does_not_stop_the_others(place: Path) -> None:
    Image.fromarray(photo(9, 9)).save(place / "small.png")
    done = genlab_apart(place, "upscale", "outputs/able", "pic.png", "small.png", "--out", "large", largest_file=4000)
    assert done.returncode == 1
    assert "pic.png: cannot write large/pic.png: File too large" in done.stderr
    assert names(place / "large") == ["small.png"]


def test_files_of_a_killed_process_are_removed_after_a_day(place: Path) -> None:
    old, new = (place / "large" / f".{name}.genlab-part" for name in ("old", "new"))
    old.parent.mkdir()
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    upscale(place, "pic.png", "--out", "large")
    assert names(place / "large") == [".new.genlab-part", "pic.png"]


def test_a_run_that_cannot_upscale_lists_the_runs_that_can(place: Path) -> None:
    done = genlab(place, "upscale", "outputs/unable", "pic.png")
    able = "it can reconstruct, encode, decode, sample and score"
    sentence = f"outputs/unable (vae-digits) cannot upscale; {able}. Runs that can: "
    assert_refused(done, sentence)
    assert {"outputs/able", "outputs/grey"} == set(done.stderr.strip().partition("can: ")[2].split(", "))
    # run.json is enough: no checkpoint is opened.
    shutil.rmtree(place / "outputs/unable/checkpoints")
    assert_refused(genlab(place, "upscale", "outputs/unable", "pic.png"), sentence)


def test_without_abilities_in_run_json_the_model_is_asked(place: Path) -> None:
    for path in (place / "outputs").glob("*/run.json"):
        facts = json.loads(path.read_text())
        del facts["abilities"]
        path.write_text(json.dumps(facts))
    done = genlab(place, "upscale", "outputs/unable", "pic.png")
    assert_refused(
        done,
        "(vae-digits) cannot upscale; it can reconstruct, encode, decode, sample and score. No run in outputs/ can.",
    )
    upscale(place, "pic.png")


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_leaves_no_half_file(tmp_path: Path, failure: type[BaseException]) -> None:
    def stop(file: Any) -> None:
        file.write(b"half")
        raise failure

    with pytest.raises(failure):
        write_fresh(tmp_path / "new/pic.png", stop)
    assert names(tmp_path) == []


def test_ctrl_c_keeps_finished_results_and_leaves_no_half_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(photo(30, 40, seed=1)).save(place / "second.png")
    save = Image.Image.save

    def interrupted(image: Image.Image, file: Any, *arguments: Any, **options: Any) -> None:
        save(image, file, *arguments, **options)
        if len(list((place / OUT).iterdir())) > 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    done = genlab(place, "upscale", "outputs/able", "pic.png", "second.png")
    assert done.returncode == 130
    assert names(place / OUT) == ["pic.png"]


def test_two_writers_of_one_name_both_keep_their_results(tmp_path: Path) -> None:
    def write_while_another_does(file: BinaryIO) -> None:
        write_fresh(tmp_path / "pic.png", partial(write_bytes, b"other"))
        file.write(b"mine")

    assert write_fresh(tmp_path / "pic.png", write_while_another_does).path == tmp_path / "pic-2.png"
    assert [(tmp_path / name).read_bytes() for name in ("pic.png", "pic-2.png")] == [b"other", b"mine"]


def write_bytes(text: bytes, file: BinaryIO) -> None:
    file.write(text)


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "pic.png").symlink_to(tmp_path / "original.png")
    assert write_fresh(tmp_path / "pic.png", partial(write_bytes, b"mine")).path.name == "pic-2.png"
    assert not (tmp_path / "original.png").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root may read and write everything")
def test_missing_permissions_are_refused_with_a_sentence(place: Path) -> None:
    (place / "pic.png").chmod(0)
    assert_refused(
        genlab(place, "upscale", "outputs/able", "pic.png"), "pic.png cannot be upscaled: Permission denied."
    )
    (place / "pic.png").chmod(0o600)
    (place / "locked").mkdir(mode=0o500)
    done = genlab(place, "upscale", "outputs/able", "pic.png", "--out", "locked")
    assert_refused(done, "locked cannot be written: nothing may be written into ")


def test_a_picture_with_a_preview_is_one_picture_and_several_pages_are_not(tmp_path: Path) -> None:
    for name, kind in (("phone.jpg", "MPO"), ("pages.tif", "TIFF")):
        first, second = (Image.fromarray(photo(9, 12, seed=number)) for number in range(2))
        first.save(tmp_path / name, format=kind, save_all=True, append_images=[second])
    assert picture.size_of(tmp_path / "phone.jpg") == (12, 9)
    assert picture.read(tmp_path / "phone.jpg").image.size == (12, 9)
    with pytest.raises(BadFileError, match="it has 2 frames"):
        picture.size_of(tmp_path / "pages.tif")


def test_a_result_too_large_for_its_format_becomes_a_png() -> None:
    for name, size in (("a.webp", (16_383, 1)), ("a.jpg", (1, 65_500)), ("a.webp", (8192, 8192))):
        assert picture.name_for(Path(name), Image.new("L", size)) == Path(name)
        assert picture.name_for(Path(name), Image.new("L", (size[0] + 1, size[1] + 1))) == Path("a.png")


def test_large_results_are_known_before_the_work(tmp_path: Path) -> None:
    work = Work(TiledUpscaler(toy(scale=2), 3), tmp_path / "out", "toy", compare=False, say=print)
    for name, side in (("small.png", 4096), ("large.png", 4097)):
        Image.new("1", (side, side)).save(tmp_path / name)
    (tmp_path / "text.png").write_text("no picture")
    small, large, rest = ([Source(tmp_path / name, Path(name))] for name in ("small.png", "large.png", "text.png"))
    assert not work.large([*small, *rest])
    assert work.large([*small, *large])


def test_the_result_is_the_output_of_the_model_of_the_run(place: Path) -> None:
    from genlab.runs import open as open_run

    upscale(place, "pic.png")
    images = torch.from_numpy(photo(30, 40)).permute(2, 0, 1)[None].float() / 255
    expected: Any = open_run.open_model(Run(place / "outputs/able"))
    upscaled = expected.upscale(images)[0].mul(255).round().permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(Image.open(place / OUT / "pic.png")).astype(int) - upscaled).max() <= 1
