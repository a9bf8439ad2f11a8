"""A picture with its metadata, read whole from a file and written in the same format."""

from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from PIL import Image

from genlab.data.files.decode import (
    FORMATS,
    GREY,
    TRANSPARENT,
    BadFileError,
    check_range,
    in_eight_bits,
    reason,
    upright,
)
from genlab.data.files.listing import shown
from genlab.registry import ConfigError

_EXIF, _WIDTH, _HEIGHT = 0x8769, 0xA002, 0xA003
_PIXEL_TAGS = {
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325),
    *(330, 332, 338, 339, 347, 513, 514, 529, 530, 531, 532, 700, 34675),
}
"""EXIF and TIFF tags that describe the stored pixels: size, bits, rotation, position of the strips."""
_MULTI_PICTURE = "MPO"
"""A JPEG of a phone that holds a second picture, such as a preview; the first one is the picture."""


class Format(NamedTuple):
    """A file format for results: Pillow's name, the modes that it holds, the options to save, and its limits."""

    name: str
    modes: tuple[str, ...]
    options: dict[str, Any]
    side: int = 2**31
    area: int = 2**62


_JPEG = Format("JPEG", ("L", "RGB"), {"quality": 95, "subsampling": 0}, side=65_500)
# Uncompressed: libtiff, which compresses, loses the EXIF block.
_TIFF = Format("TIFF", ("L", "LA", "RGB", "RGBA"), {"compression": "raw"})
_FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), _JPEG),
    **dict.fromkeys((".tif", ".tiff"), _TIFF),
    ".png": Format("PNG", ("L", "LA", "RGB", "RGBA"), {"compress_level": 3}),
    # With more pixels some tables of WebP overflow, and it takes gigabytes of memory to find that out.
    ".webp": Format("WEBP", ("L", "LA", "RGB", "RGBA"), {"quality": 95}, side=16_383, area=2**26),
    ".bmp": Format("BMP", ("L", "RGB", "RGBA"), {}),
    ".dib": Format("DIB", ("L", "RGB", "RGBA"), {}),
}


class Picture(NamedTuple):
    """An upright image in 8 bits (L, LA, RGB or RGBA) and its metadata."""

    image: Image.Image
    exif: bytes
    profile: bytes | None


def size_of(path: Path) -> tuple[int, int]:
    """Return the stored width and height, from the header alone; raise a BadFileError if it is not one picture."""
    try:
        # Opening a named pipe would wait for a writer.
        if path.exists() and not path.is_file():
            raise BadFileError("it is not a regular file")
        with Image.open(path, formats=FORMATS) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != _MULTI_PICTURE:
                raise BadFileError(f"it has {frames:,} frames, and only pictures with one frame can be upscaled")
            return image.size
    except Exception as error:  # Pillow raises almost anything for a damaged file, and the other files must go on.
        raise BadFileError(reason(error, path)) from None


def read(path: Path) -> Picture:
    """Read a whole picture; raise a BadFileError if it cannot be decoded."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            # Before the pixels are loaded: loading may close the file.
            exif = _metadata(image)
            image.load()
            check_range(image)
            # A colour profile for inks does not describe the RGB values that they become.
            profile = None if image.mode == "CMYK" else image.info.get("icc_profile")
            return Picture(plain(upright(image)), exif, profile)
    except Exception as error:  # as above
        raise BadFileError(reason(error, path)) from None


def open_plain(source: Path | Image.Image) -> Image.Image:
    """Return a picture from a file or an image, upright and in 8 bits; raise a ConfigError if it cannot be decoded."""
    try:
        if isinstance(source, Path):
            size_of(source)
            return read(source).image
        check_range(source)
        return plain(upright(source))
    except (BadFileError, OSError) as error:
        raise ConfigError(f"{named(source)} cannot be read: {error}.") from None


def named(source: Path | Image.Image) -> str:
    """Return the name of a file, or the words for an image that has none, at the beginning of a sentence."""
    return shown(str(source)) if isinstance(source, Path) else "A PIL image"


def name_for(name: Path, image: Image.Image) -> Path:
    """Return the same name if a file of its format can hold the image, or else the name of a PNG."""
    kind = _FORMATS.get(name.suffix.lower())
    fits = kind and max(image.size) <= kind.side and image.width * image.height <= kind.area
    if kind and fits and image.mode in kind.modes:
        return name
    # A GIF becomes a PNG; in other names the text after the last dot may not be a suffix, so it stays.
    return (
        name.with_suffix(".png") if name.suffix.lower() in (*_FORMATS, ".gif") else name.with_name(f"{name.name}.png")
    )


def write(image: Image.Image, file: BinaryIO, suffix: str, picture: Picture) -> None:
    """Write an image in the format of the suffix, with the metadata of `picture`."""
    kind = _FORMATS[suffix.lower()]
    metadata = {"exif": picture.exif, "icc_profile": picture.profile}
    image.save(file, format=kind.name, **kind.options, **{name: value for name, value in metadata.items() if value})


def plain(image: Image.Image) -> Image.Image:
    """Convert an image to 8 bits: L or RGB, with an alpha channel if it is transparent."""
    transparent = image.mode in TRANSPARENT or "transparency" in image.info
    mode = ("L" if image.mode in GREY else "RGB") + ("A" if transparent else "")
    image = in_eight_bits(image)
    return image if image.mode == mode else image.convert(mode)


def _metadata(image: Image.Image) -> bytes:
    """Return the EXIF block without the tags that describe the old pixels."""
    try:
        exif = Image.Exif()
        exif.load(image.getexif().tobytes())
        for tag in _PIXEL_TAGS & set(exif):
            del exif[tag]
        inner = exif.get_ifd(_EXIF)
        for tag in (_WIDTH, _HEIGHT):
            inner.pop(tag, None)
        return exif.tobytes() if len(exif) else b""
    except Exception:  # A damaged EXIF block is no reason to lose the picture.
        return b""
