"""Which part of a picture a tower is shown, and in how many patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headprune import Grid, ModelError

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
_ELSE = "this image processor needs grids of its own"


def shown(settings: Any, picture: Image) -> tuple[int, int, Box]:
    """What an image processor makes of a picture: its height and width in pixels, and which part of the picture it is.

    Raises:
        ModelError: it does something else than to pad to a square, to resize and to crop the centre.
    """
    width, height = picture.size
    # The part that is shown, in pixels of the picture.
    left, top, wide, high = 0.0, 0.0, float(width), float(height)
    if getattr(settings, "do_pad", None):
        if not hasattr(settings, "pad_to_square"):
            raise ModelError(f"{type(settings).__name__} pads pictures", _ELSE)
        side = max(width, height)
        left, top, wide, high = -((side - width) // 2), -((side - height) // 2), side, side
    made_high, made_wide = _resized(settings, high, wide) if settings.do_resize else (int(high), int(wide))
    if getattr(settings, "do_center_crop", None):
        crop_high, crop_wide = settings.crop_size["height"], settings.crop_size["width"]
        # A picture that is smaller than the crop is padded: what is left of it is then negative.
        left += (made_wide - crop_wide) // 2 * wide / made_wide
        top += (made_high - crop_high) // 2 * high / made_high
        wide, high = wide * crop_wide / made_wide, high * crop_high / made_high
        made_high, made_wide = crop_high, crop_wide
    return made_high, made_wide, (left / width, top / height, (left + wide) / width, (top + high) / height)


def _resized(settings: Any, high: float, wide: float) -> tuple[int, int]:
    size = settings.size
    if size["height"] and size["width"]:
        return size["height"], size["width"]
    short = size["shortest_edge"]
    if not short or size["longest_edge"]:
        raise ModelError(f"{type(settings).__name__} resizes pictures to {dict(size)}", _ELSE)
    # As transformers rounds.
    longer = int(short * max(high, wide) / min(high, wide))
    return (short, longer) if high <= wide else (longer, short)


def straight(rows: int, columns: int, first: int, cls: bool, box: Box, start: int = 0) -> Grid:
    """A grid whose patches stand row by row.

    Args:
        first: tokens before the first patch, CLS among them.
        cls: whether the first of these is one.
        start: where the picture's, or the tile's, tokens begin.
    """
    begin = start + first
    return Grid(rows, columns, tuple(range(begin, begin + rows * columns)), start if cls else None, box)
