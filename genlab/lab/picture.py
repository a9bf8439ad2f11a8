"""A picture with all that its file says of it, read whole and written as the same kind of file."""

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

_EXIF, _WIDTH, _HEIGHT = 0x8769, 0xA002, 0xA003
# What EXIF and TIFF say of the pixels as they were stored: the size, the bits, the rotation, where the strips lie.
_OF_THE_PIXELS = {
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325),
    *(330, 332, 338, 339, 347, 513, 514, 529, 530, 531, 532, 700, 34675),
}
# A cell phone's JPEG that holds a second picture, such as a preview, for those who look for one.
_ONE_PICTURE = "MPO"


class Kind(NamedTuple):
    """A format that results are written in: Pillow's name for it, what it holds, and how it is written."""

    name: str
    modes: tuple[str, ...]
    options: dict[str, Any]
    side: int = 2**31
    area: int = 2**62


_JPEG = Kind("JPEG", ("L", "RGB"), {"quality": 95, "subsampling": 0}, side=65_500)
# Uncompressed: what compresses, libtiff, loses the EXIF block.
_TIFF = Kind("TIFF", ("L", "LA", "RGB", "RGBA"), {"compression": "raw"})
_KINDS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), _JPEG),
    **dict.fromkeys((".tif", ".tiff"), _TIFF),
    ".png": Kind("PNG", ("L", "LA", "RGB", "RGBA"), {"compress_level": 3}),
    # Of more pixels some of its tables overflow, and it takes gigabytes to find that out.
    ".webp": Kind("WEBP", ("L", "LA", "RGB", "RGBA"), {"quality": 95}, side=16_383, area=2**26),
    ".bmp": Kind("BMP", ("L", "RGB", "RGBA"), {}),
    ".dib": Kind("DIB", ("L", "RGB", "RGBA"), {}),
}


class Picture(NamedTuple):
    """An upright image in 8 bits, L, LA, RGB or RGBA, and what is said of it."""

    image: Image.Image
    exif: bytes
    profile: bytes | None


def size_of(path: Path) -> tuple[int, int]:
    """Width and height as they are stored, from the header alone; a BadFileError where that is no one picture."""
    try:
        # To open a pipe would be to wait for who writes into it.
        if path.exists() and not path.is_file():
            raise BadFileError("it is no file")
        with Image.open(path, formats=FORMATS) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != _ONE_PICTURE:
                raise BadFileError(f"it has {frames:,} frames, and only a picture of one is enlarged")
            return image.size
    except Exception as error:  # Pillow lets a damaged file raise almost anything, and one file must not end it all.
        raise BadFileError(reason(error, path)) from None


def read(path: Path) -> Picture:
    """The whole picture; a BadFileError if it cannot be decoded."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            # Before the pixels: afterwards the file may be closed.
            exif = _said(image)
            image.load()
            check_range(image)
            # A profile for inks says nothing of the colours that they became.
            profile = None if image.mode == "CMYK" else image.info.get("icc_profile")
            return Picture(_plain(upright(image)), exif, profile)
    except Exception as error:  # as above
        raise BadFileError(reason(error, path)) from None


def name_for(name: Path, image: Image.Image) -> Path:
    """The same name, where a file of that kind can hold the image; else that of a PNG."""
    kind = _KINDS.get(name.suffix.lower())
    fits = kind and max(image.size) <= kind.side and image.width * image.height <= kind.area
    if kind and fits and image.mode in kind.modes:
        return name
    # A GIF becomes a PNG, but what follows the last dot of another name may be no suffix.
    return name.with_suffix(".png") if name.suffix.lower() in (*_KINDS, ".gif") else name.with_name(f"{name.name}.png")


def write(image: Image.Image, file: BinaryIO, suffix: str, picture: Picture) -> None:
    """The image as the kind of file that the suffix says, with what the picture's own file said of it."""
    kind = _KINDS[suffix.lower()]
    said = {"exif": picture.exif, "icc_profile": picture.profile}
    image.save(file, format=kind.name, **kind.options, **{name: value for name, value in said.items() if value})


def _plain(image: Image.Image) -> Image.Image:
    """The image in 8 bits, as grey and as clear as it was."""
    clear = image.mode in TRANSPARENT or "transparency" in image.info
    mode = ("L" if image.mode in GREY else "RGB") + ("A" if clear else "")
    image = in_eight_bits(image)
    return image if image.mode == mode else image.convert(mode)


def _said(image: Image.Image) -> bytes:
    """The EXIF block without what holds no longer once the pixels are others."""
    try:
        exif = Image.Exif()
        exif.load(image.getexif().tobytes())
        for tag in _OF_THE_PIXELS & set(exif):
            del exif[tag]
        inner = exif.get_ifd(_EXIF)
        for tag in (_WIDTH, _HEIGHT):
            inner.pop(tag, None)
        return exif.tobytes() if len(exif) else b""
    except Exception:  # Nonsense in the EXIF block is no reason to lose the picture beside it.
        return b""
