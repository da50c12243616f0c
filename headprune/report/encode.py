"""Pictures and heat maps as data: URIs, so that a page needs nothing but itself."""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headprune.errors import HeadpruneError
from headprune.scoring.statistics import Floats

if TYPE_CHECKING:
    from PIL.Image import Image

# Shades of a map: more are not told apart under a picture, and cost three bytes each in every map.
_SHADES = 48
_LONGEST = 384


def data_uri(kind: str, data: bytes) -> str:
    """`data` of the media type `kind` as an address."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def picture_uri(path: Path) -> tuple[str, int, int]:
    """A picture of a run folder, 384 pixels long at most: its address, its width and its height.

    Raises:
        HeadpruneError: it is missing, or is no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            made = picture.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise HeadpruneError(f"the picture {path} cannot be read", "make the run again") from error
    made.thumbnail((_LONGEST, _LONGEST))
    return data_uri("image/jpeg", _saved(made, "JPEG", quality=85)), made.width, made.height


def map_uri(values: Floats, peak: float) -> str:
    """A map [rows, columns] as a PNG of one pixel a patch, from 0 to `peak` in the colours of `shade`."""
    from PIL import Image

    scaled = np.clip(values / peak if peak > 0 else np.zeros_like(values), 0, 1)
    picture = Image.fromarray(np.round(scaled * (_SHADES - 1)).astype(np.uint8), mode="P")
    picture.putpalette(_palette())
    return data_uri("image/png", _saved(picture, "PNG", optimize=True))


def shade(part: float) -> str:
    """The colour of a number that is `part` (0..1) of its range, as CSS writes it."""
    place = 3 * round(min(max(part, 0.0), 1.0) * (_SHADES - 1))
    return "#" + bytes(_palette()[place : place + 3]).hex()


def is_light(part: float) -> bool:
    """Whether black is read better than white on `shade(part)`: by WCAG's relative luminance."""
    colour = bytes.fromhex(shade(part)[1:])
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179


@cache
def _palette() -> tuple[int, ...]:
    from matplotlib import colormaps

    from headprune.report.canvas import MAP

    return tuple(int(part) for part in colormaps[MAP](np.linspace(0, 1, _SHADES), bytes=True)[:, :3].reshape(-1))


def _saved(picture: Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()
