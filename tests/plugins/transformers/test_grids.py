"""Which part of a picture image processors show: held to pixels that say where in the picture they are from."""

from __future__ import annotations

import numpy as np
import pytest
from headprune_transformers.adapters.packed import token_order
from headprune_transformers.grids import shown
from PIL import Image
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from headprune import ModelError

EDGE, CROP = {"shortest_edge": 64}, {"height": 56, "width": 56}
PROCESSORS = {
    "squeezed": SiglipImageProcessorPil(size={"height": 48, "width": 40}),
    "cropped": CLIPImageProcessorPil(size=EDGE, crop_size=CROP),
    "as DINOv2": BitImageProcessorPil(size={"shortest_edge": 72}, crop_size=CROP),
    "as DeiT": DeiTImageProcessorPil(size={"height": 64, "width": 64}, crop_size=CROP),
    "padded": LlavaImageProcessorPil(size=EDGE, crop_size={"height": 64, "width": 64}, do_pad=True),
    "smaller than the crop": CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size=CROP),
    "cropped alone": CLIPImageProcessorPil(do_resize=False, crop_size=CROP),
}


@pytest.mark.parametrize("size", [(300, 120), (90, 200), (128, 128)], ids=str)
@pytest.mark.parametrize("name", PROCESSORS)
def test_the_box_is_where_the_pixels_are_from(name, size):
    # Brighter to the right in red, downwards in green; all of it bright enough to be told from padding.
    x, y = ((np.arange(length) + 0.5) / length for length in size)
    there = np.stack(np.broadcast_arrays(x[None], y[:, None], np.ones((1, 1))), axis=-1)
    picture = Image.fromarray((50 + 200 * there).astype(np.uint8))
    processor = PROCESSORS[name]
    made = processor(picture, do_normalize=False, return_tensors="np")["pixel_values"][0] * 255
    high, wide, (left, top, right, bottom) = shown(processor, picture)
    assert made.shape[1:] == (high, wide)
    x = left + (np.arange(wide) + 0.5) / wide * (right - left)
    y = top + (np.arange(high) + 0.5) / high * (bottom - top)
    inside = np.ix_((y > 0.05) & (y < 0.95), (x > 0.05) & (x < 0.95))
    assert min(axis.size for axis in inside) > 15
    # A pixel of what is shown is a few of the picture's.
    np.testing.assert_allclose(made[0][inside], np.broadcast_to(50 + 200 * x, made[0].shape)[inside], atol=4)
    np.testing.assert_allclose(made[1][inside], np.broadcast_to(50 + 200 * y[:, None], made[1].shape)[inside], atol=4)
    outside = np.ix_((y < -0.05) | (y > 1.05), np.arange(wide))
    assert (np.abs(made[2][outside] - 250) > 20).all()


def test_processors_that_do_something_else_are_refused():
    picture = Image.new("RGB", (30, 20))
    for settings in ({"size": {"shortest_edge": 20, "longest_edge": 30}}, {"do_pad": True}):
        with pytest.raises(ModelError, match="CLIPImageProcessor"):
            shown(CLIPImageProcessorPil(**settings), picture)


class Vision:
    spatial_merge_size, patch_size = 2, 8


def test_tokens_stand_in_blocks_and_blocks_in_windows():
    by_hand = [
        [0, 1, 4, 5, 8, 9],
        [2, 3, 6, 7, 10, 11],
        [12, 13, 16, 17, 20, 21],
        [14, 15, 18, 19, 22, 23],
    ]
    assert token_order(Vision, 4, 6) == tuple(np.ravel(by_hand))
    windows = type("Windows", (Vision,), {"window_size": 32})
    # The first two blocks of both rows of blocks are a window, the third of each another.
    by_hand = [
        [0, 1, 4, 5, 16, 17],
        [2, 3, 6, 7, 18, 19],
        [8, 9, 12, 13, 20, 21],
        [10, 11, 14, 15, 22, 23],
    ]
    assert token_order(windows, 4, 6) == tuple(np.ravel(by_hand))
