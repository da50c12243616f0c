"""headprune heatmap and headprune heads."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import headprune
from headprune.perspectives.run import load_run
from tests.support.zoo import ZOO

HEATMAP = ("heatmap", "model", "--data", "data", "--samples", 3)
HEADS = ("heads", "model", "--data", "data", "--samples", 2, "--max-new-tokens", 5)


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


FILES = {"pictures", "recipe.toml", "result.json", "tensors.safetensors"}


def test_a_heatmap_is_kept_and_drawn(place):
    document = place.document(*HEATMAP, "--outliers", 2, "--out", "seen")
    assert names(place / "seen") == FILES | {"heatmap.png", *(f"heatmap-000{n}.png" for n in range(3))}
    run = load_run(place / "seen")
    again = headprune.heatmap(
        headprune.load_model("model"), headprune.open_dataset("data"), samples=3, heatmap={"outliers": 2.0}
    )
    assert run.before.k == 2 and run.before.layers == (0, 1, 2) and run.before.mean_change[0] is None
    np.testing.assert_allclose(run.before.attention, again.attention)
    for kept, found, told in zip(run.before.pictures, again.pictures, document["before"]["pictures"], strict=True):
        np.testing.assert_allclose(kept.heads, found.heads)
        assert kept.grid == found.grid and kept.outliers == found.outliers
        assert told["outliers"] == [
            {"layer": one.layer, "row": one.row, "column": one.column, "norm": one.norm} for one in found.outliers
        ]
    assert document["before"]["reader"] == "cls" and any(maps.outliers for maps in again.pictures)
    assert document["before"]["attention"][1]["mean"] == pytest.approx(again.attention[:, 1].mean())
    with Image.open(place / "seen" / "heatmap-0000.png") as strip:
        assert np.asarray(strip.convert("RGB")).std() > 20


def test_a_table_of_layers(place):
    result = place.run(*HEATMAP, "--layers", "1-2", "--out", "seen")
    assert result.exit_code == 0 and max(map(len, result.stdout.splitlines())) <= 80
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["A[l]:", "layer", "1", "2"]


def test_a_tower_without_cls_says_whose_attention_it_is(place):
    ZOO["siglip"].build(place / "siglip")
    result = place.run("heatmap", "siglip", "--data", "data", "--samples", 2, "--out", "seen")
    assert result.exit_code == 0, result.stderr
    assert "note: this tower has no CLS token" in result.stderr
    assert load_run(place / "seen").before.reader == "mean"


def test_heads_of_the_last_layer_unless_others_are_named(place):
    document = place.document(*HEADS, "--out", "seen")
    assert names(place / "seen") == FILES | {"heads-0000-layer2.png", "heads-0001-layer2.png"}
    again = headprune.heads(
        headprune.load_model("model"),
        headprune.open_dataset("data"),
        samples=2,
        generation={"max_new_tokens": 5},
    )
    run = load_run(place / "seen")
    assert run.info.layers == again.layers == (2,) and run.before.captions == again.captions
    assert document["before"]["captions"] == [[list(heads) for heads in row] for row in again.captions]
    np.testing.assert_allclose(run.before.looks.pictures[1].heads, again.looks.pictures[1].heads)
    other = place.document(*HEADS, "--layers", "0-1", "--edit", "ablate", "--out", "other")
    assert other["before"]["layers"] == [0, 1] and other["before"]["edit"] == "ablate"


def test_a_patch_shows_both_sides(scored):
    words = ("--patch", "run/patch.safetensors", "--prune", "count=2")
    scored.document(*HEATMAP, *words, "--out", "maps")
    scored.document(*HEADS, *words, "--out", "heads")
    assert {"heatmap-0000.png", "heatmap-0000-after.png"} < names(scored / "maps")
    assert {"heads-0001-layer2.png", "heads-0001-layer2-after.png"} < names(scored / "heads")
    run = load_run(scored / "maps")
    assert not np.allclose(run.before.attention, run.after.attention)


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (2, (*HEATMAP, "--outliers", "-1"), "outliers"),
        (2, (*HEATMAP, "--outliers", "nan"), "outliers"),
        (2, (*HEADS, "--layers", "3"), "layers '3'"),
        (3, (*HEADS, "--edit", "nosuch"), "nosuch"),
    ],
)
def test_refusals(place, code, words, said):
    assert said in place.refuses(code, *words, "--out", "seen")
