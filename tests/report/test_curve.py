"""The figure of `--prune auto`: a PNG that is not blank, whatever its words are."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headprune.errors import HeadpruneError
from headprune.evaluation.auto import AutoPruning, Point
from headprune.report.curve import draw_curve
from headprune.types import Interval


def pruning(*scores: float, fraction: float = 0.5) -> AutoPruning:
    def around(value: float) -> Interval:
        return Interval(value, value - 0.2, value + 0.2)

    steps = len(scores) - 1
    curve = tuple(Point(n / steps, 3 * n, around(s), around(s - scores[0])) for n, s in enumerate(scores))
    return AutoPruning(fraction, "cider", "none", 0.1, 70, 30, around(scores[0]), curve)


FOUND = pruning(4, 3.9, 3.7, 2, 1)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def coloured(image: np.ndarray, red: int, green: int, blue: int) -> np.ndarray:
    """[n, 2], where (y, x) a colour stands."""
    return np.argwhere(np.abs(image - [red, green, blue]).sum(axis=-1) < 12)


def test_the_figure_is_a_picture_of_the_curve(tmp_path: Path):
    draw_curve(FOUND, tmp_path / "curve.png")
    image = pixels(tmp_path / "curve.png")
    assert image.shape == (500, 800, 3)
    line = coloured(image, 0x1F, 0x4E, 0x79)
    assert len(line) > 500
    # It falls from left to right.
    left, right = line[line[:, 1] < 200], line[line[:, 1] > 700]
    assert left[:, 0].min() < right[:, 0].min()
    assert sorted(tmp_path.iterdir()) == [tmp_path / "curve.png"]


def test_the_chosen_fraction_is_marked_where_it_is(tmp_path: Path):
    places = []
    for fraction in (0.0, 1.0):
        draw_curve(replace(FOUND, fraction=fraction), tmp_path / "curve.png")
        marks = coloured(pixels(tmp_path / "curve.png"), 0xC4, 0x51, 0x0A)
        # Above the legend, which shows the mark as well.
        places.append(marks[:, 1].mean())
    assert places[1] > places[0] + 200


@pytest.mark.parametrize("name", ["./a$b_{c.py:D$", "\N{GREEK SMALL LETTER ALPHA}" * 60, "\\frac"])
def test_any_name_of_a_scorer_is_words(tmp_path: Path, name: str):
    draw_curve(replace(FOUND, scorer=name), tmp_path / "curve.png")
    assert pixels(tmp_path / "curve.png").shape == (500, 800, 3)


def test_a_flat_curve_and_one_of_two_points(tmp_path: Path):
    for found in (pruning(1, 1, 1), pruning(0, 0, fraction=1.0), replace(FOUND, unchanged=Interval(9, 8, 10))):
        draw_curve(found, tmp_path / "curve.png")
        assert len(coloured(pixels(tmp_path / "curve.png"), 0x1F, 0x4E, 0x79)) > 100


def test_pyplot_is_left_alone_and_so_are_a_users_settings(tmp_path: Path):
    import matplotlib

    with matplotlib.rc_context({"figure.facecolor": "red"}):
        draw_curve(FOUND, tmp_path / "curve.png")
        assert matplotlib.rcParams["figure.facecolor"] == "red"
    assert (pixels(tmp_path / "curve.png")[0, 0] == 255).all()
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_a_folder_in_its_place_is_refused(tmp_path: Path):
    (tmp_path / "curve.png").mkdir()
    with pytest.raises(HeadpruneError, match="is not a file"):
        draw_curve(FOUND, tmp_path / "curve.png")
