"""Opening one picture right, or refusing it.

What comes back is 8-bit RGB, upright: an EXIF orientation is applied, 16-bit grey is scaled to 8 bits, transparency
is laid on white, of an animation the first frame is taken. What cannot be read in full, or has no known range of
values, is refused.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from headprune.errors import PictureError
from headprune.files import TooLarge, read_limited

PICTURE_ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif"}
)
"""The endings, in lower case, by which a file counts as a picture."""
MAX_PIXELS = 89_478_485
"""What a picture may hold, in pixels: 256 MiB as RGB, and where Pillow begins to warn of a decompression bomb."""

MAX_BYTES = 2**28
"""What a picture's file may hold: as much as MAX_PIXELS take as RGB without any compression."""

# The formats behind PICTURE_ENDINGS. Pillow knows more, among them EPS, for which it starts Ghostscript on what
# somebody sent.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags
_TRANSPARENT = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})


def read_picture(source: Path | bytes, name: str) -> Image.Image:
    """The picture in a file, or in bytes, as upright 8-bit RGB.

    Args:
        source: the file's path or its content.
        name: what messages call it.

    Raises:
        PictureError: it is missing, empty, truncated, damaged, of no supported format, or larger than MAX_PIXELS or
            MAX_BYTES.
    """
    if isinstance(source, Path) and source.exists() and not (source.is_file() or source.is_dir()):
        # A pipe would be waited for.
        raise PictureError(f"{name} cannot be read: it is no file", "leave it out")
    try:
        content = source if isinstance(source, bytes) else read_limited(source, MAX_BYTES)
    except TooLarge as error:
        raise PictureError(f"{name} cannot be read: {error}", "make it smaller, or leave it out") from error
    except OSError as error:
        raise PictureError(f"{name} cannot be read: {error.strerror}", "check the path and its permissions") from error
    if not content:
        raise PictureError(f"{name} is empty (0 bytes)", "fetch the picture again, or leave it out")
    try:
        return _decoded(content, name)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"{name} is no picture of a supported format", f"supported: {_names()}") from error
    except Image.DecompressionBombError as error:
        raise _too_large(name, "twice that and more") from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        raise PictureError(f"{name} is damaged: {error}", "fetch the picture again, or leave it out") from error


def _decoded(content: bytes, name: str) -> Image.Image:
    # Only formats that this Pillow was built with: naming another is a KeyError.
    Image.init()
    with Image.open(BytesIO(content), formats=[known for known in _FORMATS if known in Image.OPEN]) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise _too_large(name, f"{picture.width} x {picture.height}")
        picture.load()
        return _rgb(_eight_bits(ImageOps.exif_transpose(picture), picture, name))


def _eight_bits(upright: Image.Image, opened: Image.Image, name: str) -> Image.Image:
    """Scale grey values of more than 8 bits to 0..255; anything else stays as it is.

    `opened` is the picture as it was opened: turning it loses the TIFF tags that say how the values are meant.
    """
    tags = getattr(opened, "tag_v2", {})
    if upright.mode.startswith("I;16"):
        top = 2 ** tags.get(_BITS_PER_SAMPLE, (16,))[0] - 1
    elif upright.mode == "I" and opened.format in ("PNG", "PPM"):
        top = 65535  # 16 bits in 32-bit clothes
    elif upright.mode in ("I", "F"):
        raise PictureError(f"{name} has values of no known range (mode {upright.mode})", "convert it to 8 or 16 bits")
    else:
        return upright
    scale = np.arange(top + 1) / top
    if tags.get(_PHOTOMETRIC) == 0:  # TIFF's "white is zero", which Pillow inverts for 8 bits only
        scale = 1 - scale
    # By a table: as numbers with a point the pixels of a large picture would take gigabytes.
    grey = np.rint(scale * 255).astype(np.uint8).take(np.asarray(upright), mode="clip")
    key = opened.info.get("transparency")
    if isinstance(key, int):
        grey[np.asarray(upright) == key] = 255
    return Image.fromarray(grey)


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in _TRANSPARENT or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return picture.convert("RGB")


def _too_large(name: str, size: str) -> PictureError:
    return PictureError(f"{name} is larger than {MAX_PIXELS} pixels ({size})", "make it smaller, or leave it out")


def _names() -> str:
    return ", ".join(name for name in _FORMATS if name in Image.OPEN)
