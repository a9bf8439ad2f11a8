"""Every format and mode of file against known colours, and the reasons why a file cannot be used."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from genlab.data.files.decode import BadFileError, Crop, Style, decode, is_grey

COLOUR = Style(8, "none", 3, (255, 255, 255))
GREY = Style(8, "none", 1, (255, 255, 255))
ORANGE = (250, 130, 10)


def plain(mode: str, colour: Any, side: int = 8) -> Image.Image:
    return Image.new(mode, (side, side), colour)


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def photo(height: int, width: int) -> NDArray[np.uint8]:
    """Soft shapes, like those in photos."""
    small = Image.fromarray(noise(height // 40 + 2, width // 40 + 2))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def mistake_in(path: Path, style: Style = COLOUR) -> str:
    with pytest.raises(BadFileError) as caught:
        decode(path, style)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.jpg", {"quality": 95}, 3),
        ("a.JPEG", {"quality": 95, "progressive": True}, 3),
        ("a.png", {}, 0),
        ("a.webp", {"lossless": True}, 0),
        ("lossy.webp", {"quality": 95}, 4),
        ("a.bmp", {}, 0),
        ("a.tif", {}, 0),
        ("packed.tiff", {"compression": "tiff_lzw"}, 0),
        ("a.gif", {}, 0),
    ],
)
def test_each_format_gives_the_written_colour(
    tmp_path: Path, name: str, options: dict[str, Any], tolerance: int
) -> None:
    plain("RGB", ORANGE).save(tmp_path / name, **options)
    found = decode(tmp_path / name, COLOUR)
    assert found.shape == (3, 8, 8)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - np.array(ORANGE).reshape(3, 1, 1)).max() <= tolerance


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp", "a.tif"])
def test_an_image_of_the_right_size_is_unchanged(tmp_path: Path, name: str) -> None:
    pixels = noise(8, 8)
    Image.fromarray(pixels).save(tmp_path / name, lossless=True)
    for crop in ("none", "center", "random"):
        assert np.array_equal(decode(tmp_path / name, Style(8, crop, 3, (0, 0, 0))), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 255), (77, 77, 77)),
        ("RGB", ORANGE, ORANGE),
        ("RGBA", (*ORANGE, 255), ORANGE),
        ("I;16", 257 * 77, (77, 77, 77)),
    ],
)
def test_each_mode_of_a_png_gives_its_colour(tmp_path: Path, mode: str, colour: Any, expected: Any) -> None:
    plain(mode, colour).save(tmp_path / "a.png")
    assert (decode(tmp_path / "a.png", COLOUR) == np.array(expected).reshape(3, 1, 1)).all()


def test_a_palette_is_applied_and_its_transparent_entry_shows_the_background(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([*ORANGE, 1, 2, 3])
    image.paste(1, (0, 0, 8, 4))
    image.save(tmp_path / "solid.png")
    image.save(tmp_path / "clear.png", transparency=1)
    solid = decode(tmp_path / "solid.png", COLOUR)
    clear = decode(tmp_path / "clear.png", Style(8, "none", 3, (9, 99, 199)))
    assert solid[:, 0, 0].tolist() == [1, 2, 3]
    assert clear[:, 0, 0].tolist() == [9, 99, 199]
    assert solid[:, 7, 7].tolist() == clear[:, 7, 7].tolist() == list(ORANGE)


@pytest.mark.parametrize(("mode", "key"), [("RGB", ORANGE), ("L", 77), ("1", 1)])
def test_a_colour_declared_as_transparent_shows_the_background(tmp_path: Path, mode: str, key: Any) -> None:
    plain(mode, key).save(tmp_path / "a.png", transparency=255 if mode == "1" else key)
    assert decode(tmp_path / "a.png", Style(8, "none", 3, (9, 99, 199)))[:, 3, 3].tolist() == [9, 99, 199]


@pytest.mark.parametrize("alpha", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_alpha_mixes_the_colour_with_the_background(tmp_path: Path, alpha: int, name: str) -> None:
    ground = (10, 20, 240)
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    plain("RGBA", (*ORANGE, alpha)).save(tmp_path / name, **options)
    found = decode(tmp_path / name, Style(8, "none", 3, ground))[:, 0, 0]
    expected = [(alpha * front + (255 - alpha) * back) / 255 for front, back in zip(ORANGE, ground, strict=True)]
    assert np.abs(found - np.array(expected)).max() <= 1


def test_alpha_is_mixed_before_the_image_is_resized(tmp_path: Path) -> None:
    # Transparent pixels are black underneath; this must not mix into the red ones beside them.
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, ::2] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = decode(tmp_path / "a.png", COLOUR)
    assert found[0].min() == 255


def test_grey_with_alpha_is_mixed_with_the_background_in_grey(tmp_path: Path) -> None:
    plain("LA", (100, 128)).save(tmp_path / "a.png")
    found = decode(tmp_path / "a.png", Style(8, "none", 1, (200, 200, 200)))
    assert found.shape == (1, 8, 8)
    assert abs(int(found[0, 0, 0]) - (128 * 100 + 127 * 200) / 255) <= 1


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path, name: str) -> None:
    values = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / name)
    found = decode(tmp_path / name, GREY)
    assert found[0, 0, 0] == 0
    assert found[0, 7, 7] == 255
    assert np.array_equal(found[0], (values / 257).round().astype(np.uint8))


def test_sixteen_bits_per_colour_keep_their_high_byte(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, 3)).astype(">u2")
    (tmp_path / "a.png").write_bytes(png_by_hand(8, 8, 16, 2, values.tobytes()))
    found = decode(tmp_path / "a.png", COLOUR).transpose(1, 2, 0).astype(int)
    assert np.abs(found - values / 257).max() < 1


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_becomes_the_printed_colours(tmp_path: Path, name: str) -> None:
    for inks, expected in (
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 0, 255), (0,) * 3),
    ):
        plain("CMYK", inks).save(tmp_path / name)
        assert np.abs(decode(tmp_path / name, COLOUR)[:, 0, 0].astype(int) - expected).max() <= 3


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.png"])
def test_the_first_of_many_frames_is_used(tmp_path: Path, name: str) -> None:
    frames = [plain("RGB", colour) for colour in (ORANGE, (0, 0, 255), (0, 255, 0))]
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
    with Image.open(tmp_path / name) as image:
        assert getattr(image, "n_frames", 1) == 3
    assert decode(tmp_path / name, COLOUR)[:, 0, 0].tolist() == list(ORANGE)


# The turn that a viewer applies to a stored image, H x W x C, for each value of the tag (EXIF 2.3, table 6).
TURNS = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(
    ("name", "crop"), [("a.png", "none"), ("a.png", "center"), ("a.webp", "center"), ("a.tif", "none")]
)
def test_every_exif_orientation_is_turned_upright(tmp_path: Path, orientation: int, name: str, crop: Crop) -> None:
    stored = noise(9, 16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    Image.fromarray(stored).save(tmp_path / name, exif=exif, **options)
    Image.fromarray(np.ascontiguousarray(TURNS[orientation](stored))).save(tmp_path / "upright.png")
    style = Style(8, crop, 3, (0, 0, 0))
    assert np.array_equal(decode(tmp_path / name, style), decode(tmp_path / "upright.png", style))


@pytest.mark.parametrize("orientation", TURNS)
def test_every_exif_orientation_of_a_jpeg_decoded_at_reduced_size(tmp_path: Path, orientation: int) -> None:
    stored = photo(240, 400)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=95)
    Image.fromarray(np.ascontiguousarray(TURNS[orientation](stored))).save(tmp_path / "upright.png")
    style = Style(16, "center", 3, (0, 0, 0))
    found, expected = (decode(tmp_path / name, style).astype(int) for name in ("a.jpg", "upright.png"))
    assert np.abs(found - expected).mean() < 2


def test_a_damaged_exif_block_does_not_lose_the_picture(tmp_path: Path) -> None:
    plain("RGB", ORANGE).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff", quality=95)
    assert np.abs(decode(tmp_path / "a.jpg", COLOUR)[:, 0, 0].astype(int) - ORANGE).max() <= 3


def test_a_jpeg_decoded_at_reduced_size_looks_like_one_decoded_whole(tmp_path: Path) -> None:
    grain = np.random.default_rng(1).normal(0, 5, (480, 640, 1))
    Image.fromarray((photo(480, 640) + grain).clip(0, 255).astype(np.uint8)).save(tmp_path / "a.jpg", quality=90)
    with Image.open(tmp_path / "a.jpg") as image:
        whole = image.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR, (80, 0, 560, 480))
    found = decode(tmp_path / "a.jpg", Style(64, "center", 3, (0, 0, 0)))
    difference = np.abs(found.astype(int) - np.asarray(whole).transpose(2, 0, 1))
    assert difference.mean() < 1
    assert difference.max() < 12


def test_the_centre_of_a_wide_and_of_a_tall_image_is_cut_out(tmp_path: Path) -> None:
    for shape, cut in (((8, 20), np.s_[:, 6:14]), ((20, 8), np.s_[6:14, :])):
        pixels = noise(*shape)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        found = decode(tmp_path / "a.png", Style(8, "center", 3, (0, 0, 0)))
        assert np.array_equal(found, pixels[cut].transpose(2, 0, 1))


def test_a_random_crop_is_the_same_for_copies_and_differs_between_images(tmp_path: Path) -> None:
    style, starts = Style(8, "random", 3, (0, 0, 0)), set()
    for seed in range(20):
        pixels = noise(8, 40, seed=seed)
        for name in ("a.png", "copy.bmp"):
            Image.fromarray(pixels).save(tmp_path / name)
        found = decode(tmp_path / "a.png", style)
        assert np.array_equal(found, decode(tmp_path / "copy.bmp", style))
        starts |= {at for at in range(33) if np.array_equal(found, pixels[:, at : at + 8].transpose(2, 0, 1))}
    assert len(starts) > 10


def test_without_a_crop_the_whole_image_is_stretched(tmp_path: Path) -> None:
    pixels = np.repeat(noise(8, 8), 4, axis=1)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = decode(tmp_path / "a.png", COLOUR).transpose(1, 2, 0)
    assert np.array_equal(
        found[:, 0], np.asarray(Image.fromarray(pixels).resize((8, 8), Image.Resampling.BILINEAR))[:, 0]
    )


def test_colours_become_grey_by_the_weights_of_television(tmp_path: Path) -> None:
    plain("RGB", ORANGE).save(tmp_path / "a.png")
    plain("RGB", ORANGE).save(tmp_path / "a.jpg", quality=95)
    expected = 0.299 * 250 + 0.587 * 130 + 0.114 * 10
    assert abs(int(decode(tmp_path / "a.png", GREY)[0, 0, 0]) - expected) <= 1
    assert abs(int(decode(tmp_path / "a.jpg", GREY)[0, 0, 0]) - expected) <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 5)])
@pytest.mark.parametrize("crop", ["none", "center", "random"])
def test_an_image_of_any_size_is_resized(tmp_path: Path, size: tuple[int, int], crop: Crop) -> None:
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", size, (40, 40, 40)).save(tmp_path / name)
        assert np.abs(decode(tmp_path / name, Style(8, crop, 3, (0, 0, 0))).astype(int) - 40).max() <= 1


def test_grey_files_are_recognised_by_their_header(tmp_path: Path) -> None:
    for mode, colour in (("1", 1), ("L", 7), ("LA", (7, 7)), ("I;16", 7)):
        plain(mode, colour).save(tmp_path / "a.png")
        assert is_grey(tmp_path / "a.png") is True
    plain("RGB", (7, 7, 7)).save(tmp_path / "a.png")
    assert is_grey(tmp_path / "a.png") is False
    (tmp_path / "a.png").write_text("no picture")
    assert is_grey(tmp_path / "a.png") is None


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.webp", "a.gif", "a.tif"])
def test_a_truncated_file_is_bad(tmp_path: Path, name: str, part: float) -> None:
    Image.fromarray(noise(64, 64)).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * part)])
    assert mistake_in(tmp_path / name)


def test_a_bad_file_has_a_short_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("Dear diary,")
    Image.new("F", (8, 8)).save(tmp_path / "floats.tif")
    Image.new("I", (8, 8)).save(tmp_path / "integers.tif")
    assert mistake_in(tmp_path / "empty.png") == "it is empty"
    assert mistake_in(tmp_path / "text.png") == "it is none of JPEG, PNG, WEBP, BMP, TIFF, GIF"
    assert mistake_in(tmp_path / "absent.png") == "No such file or directory"
    assert mistake_in(tmp_path / "floats.tif") == "its pixels are floats, of no known range"
    assert mistake_in(tmp_path / "integers.tif") == "its pixels are 32-bit integers, of no known range"


def test_formats_that_can_run_programs_are_not_opened(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    assert mistake_in(tmp_path / "a.png").startswith("it is none of")


def test_a_decompression_bomb_is_refused_unopened(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_by_hand(40_000, 40_000, 8, 0, b""))
    assert mistake_in(tmp_path / "a.png") == "it unpacks to far too many pixels (a decompression bomb)"


def png_by_hand(width: int, height: int, depth: int, kind: int, pixels: bytes) -> bytes:
    """A PNG that Pillow does not write: with more bits, or with fewer pixels than its header says."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    step = len(pixels) // height
    rows = b"".join(b"\0" + pixels[at : at + step] for at in range(0, len(pixels), step or 1))
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    file.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)))
    file.write(chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return file.getvalue()
