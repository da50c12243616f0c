"""The figures of heatmap and heads, of large towers and with captions that somebody made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headprune import Grid
from headprune.perspectives.heads import Heads
from headprune.perspectives.heatmap import Heatmap, PictureMaps
from headprune.perspectives.run import Run, RunInfo, SampleRecord
from headprune.report.figures import save_figures
from headprune.types import Interval

HOSTILE = ["$x^{", "<script>alert(1)</script>", "a\x1b[2J\nb\u202e", "", "long " * 60, "plain", "$a$ and $b$", "\\frac"]


def looks(layers: int, heads: int, pictures: int, known: bool = True) -> Heatmap:
    rng = np.random.default_rng(0)
    numbers = rng.random((4, pictures, layers))
    means = tuple(Interval(0.5, 0.4, 0.6) if known else None for _ in range(layers))
    return Heatmap(
        tuple(range(layers)),
        "cls",
        5.0,
        *numbers,
        *[means] * 4,
        tuple(
            PictureMaps(
                f"$_{number}\x07.png",
                Grid(4, 6, tuple(range(1, 25)), 0, (0.0, 0.0, 1.0, 1.0)),
                rng.random((layers, 4, 6)) if known else np.full((layers, 4, 6), np.nan),
                rng.random((layers, heads, 4, 6)),
                (),
            )
            for number in range(pictures)
        ),
    )


@pytest.fixture
def run_of(tmp_path: Path):
    def make(kind: str, found: Heatmap | Heads, pictures: int) -> Run:
        (tmp_path / "pictures").mkdir()
        shown = []
        for number in range(pictures):
            Image.linear_gradient("L").resize((60, 40)).convert("RGB").save(tmp_path / f"pictures/{number:04d}.jpg")
            shown.append(SampleRecord(id=f"$_{number}", captions=(), picture=f"pictures/{number:04d}.jpg"))
        info = RunInfo.model_construct(kind=kind, samples=tuple(shown), layers=found.layers)
        return Run(tmp_path, info, found)

    return make


def test_no_more_figures_than_somebody_looks_at(run_of, tmp_path):
    run = run_of("heatmap", looks(40, 16, 6), 6)
    with pytest.warns(match="first 4 of 6 pictures"):
        files = save_figures(run, tmp_path)
    assert [file.name for file in files] == ["heatmap.png", *(f"heatmap-000{n}.png" for n in range(4))]
    for file in files:
        with Image.open(file) as figure:
            assert figure.width <= 1400 and figure.height <= 1400
            assert np.asarray(figure.convert("RGB")).std() > 20


def test_layers_that_lost_their_heads_are_drawn_empty(run_of, tmp_path):
    found = looks(2, 4, 1, known=False)
    found.attention[0, 1] = np.nan
    files = save_figures(run_of("heatmap", found, 1), tmp_path, "svg")
    assert [file.name for file in files] == ["heatmap.svg", "heatmap-0000.svg"]
    # Words are outlines in an SVG, with the words in a comment beside them.
    assert "<!-- layer 1: no heads -->" in files[1].read_text()


def test_captions_are_drawn_as_text(run_of, tmp_path):
    said = ((tuple(HOSTILE), ()),)
    found = Heads((3, 5), "isolate", said, (("$y_{", "\x1b]0;"),), replace(looks(2, 8, 1), layers=(3, 5)))
    files = save_figures(run_of("heads", found, 1), tmp_path, "svg")
    assert [file.name for file in files] == ["heads-0000-layer3.svg", "heads-0000-layer5.svg"]
    assert "<script>" not in files[0].read_text() and "\x1b" not in files[0].read_text()


def test_many_layers_of_heads(run_of, tmp_path):
    found = Heads(
        tuple(range(5)), "isolate", (tuple(("a cat",) * 16 for _ in range(5)),), (("a cat",) * 5,), looks(5, 16, 1)
    )
    with pytest.warns(match="last 3 of 5 layers"):
        files = save_figures(run_of("heads", found, 1), tmp_path)
    assert [file.name for file in files] == [f"heads-0000-layer{layer}.png" for layer in (2, 3, 4)]
