"""Maps on pictures: filled where something was left out, and where they belong on the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from headprune import Grid
from headprune.perspectives.heatmap import Outlier, PictureMaps
from headprune.report.canvas import empty
from headprune.report.overlay import filled, lay_over, read_grey, top_of, wrapped

NONE = np.nan


def test_holes_are_filled_from_the_eight_around_them():
    values = np.array([[1.0, 2, 3], [4, NONE, 6], [7, 8, 11]])
    assert filled(values)[1, 1] == pytest.approx(42 / 8)
    assert np.isnan(values[1, 1]), "what was found stays as it is"
    corner = np.array([[NONE, 2.0], [4.0, 9.0]])
    assert filled(corner)[0, 0] == pytest.approx(5)
    # From the right, step by step; holes that are filled at once do not feed one another.
    np.testing.assert_allclose(filled(np.array([[NONE, NONE, 3.0, NONE, 5.0]])), [[3, 3, 3, 4, 5]])
    assert np.isnan(filled(np.full((2, 2), NONE))).all()


@pytest.mark.parametrize(
    ("box", "bright"),
    [
        ((0.0, 0.0, 1.0, 1.0), (0.5, 0.0, 1.0, 0.5)),
        # Cropped: the upper right quarter of the midst.
        ((0.2, 0.0, 0.8, 1.0), (0.5, 0.0, 0.8, 0.5)),
        # Padded above and below: what lies outside the picture is not shown.
        ((0.0, -0.5, 1.0, 1.5), (0.5, 0.0, 1.0, 0.5)),
    ],
)
def test_a_map_lies_where_its_box_says(box, bright):
    grid = Grid(2, 2, (1, 2, 3, 4), 0, box)
    values = np.array([[0.0, 0.4], [0.0, 0.0]])
    maps = PictureMaps("p", grid, values[None], values[None, None], ())
    figure = empty(4, 2)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    lay_over(axes, np.full((50, 100), 128, np.uint8), maps, values, (), 0.4)
    image = pixels(figure)
    # The map's brightest colour is yellow: much red and green, little blue.
    yellow = (image[..., 0] - image[..., 2] > 40) & (image[..., 1] - image[..., 2] > 40)
    y, x = np.nonzero(yellow)
    height, width = yellow.shape
    found = (x.min() / width, y.min() / height, (x.max() + 1) / width, (y.max() + 1) / height)
    np.testing.assert_allclose(found, bright, atol=0.02)
    assert yellow.mean() == pytest.approx((bright[2] - bright[0]) * (bright[3] - bright[1]), abs=0.02)


def test_outliers_are_crossed_out():
    grid = Grid(2, 2, (1, 2, 3, 4), 0, (0.0, 0.0, 1.0, 1.0))
    values = np.array([[0.1, NONE], [0.1, 0.1]])
    maps = PictureMaps("p", grid, values[None], values[None, None], ())
    figure = empty(2, 2)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    lay_over(axes, np.full((50, 50), 128, np.uint8), maps, values, [Outlier(0, 0, 1, 9.0)], 0.4)
    y, x = np.nonzero(np.abs(pixels(figure) - [196, 81, 10]).sum(axis=-1) < 30)
    assert (x.mean() / 200, y.mean() / 200) == pytest.approx((0.75, 0.25), abs=0.02)


def pixels(figure):
    kept = io.BytesIO()
    figure.savefig(kept, format="png")
    return np.asarray(Image.open(kept).convert("RGB")).astype(int)


def test_one_strong_patch_does_not_pale_all_others():
    values = np.linspace(0, 0.1, 1000)
    values[0] = 0.9
    assert 0.09 < top_of([values, np.full(3, NONE)]) < 0.11
    assert top_of([np.full(3, NONE)]) == 1


def test_captions_are_text_and_short(tmp_path):
    assert wrapped("a cat\x1b[31m on a mat", 9) == "a\ncat\N{REPLACEMENT CHARACTER}[31m\non a mat"
    assert wrapped("", 9) == "(nothing)"
    assert wrapped("word " * 90, 20).count("\n") == 3 and wrapped("word " * 90, 20).endswith("\N{HORIZONTAL ELLIPSIS}")
    Image.new("RGB", (7, 5), (255, 255, 255)).save(tmp_path / "p.jpg")
    assert read_grey(tmp_path / "p.jpg").shape == (5, 7)
