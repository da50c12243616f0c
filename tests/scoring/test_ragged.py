"""Algorithm 1 on a sliced tower: what the slow twin finds, and what the unpruned tower with silent heads gives."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from headprune import Generation, Geometry, Outline, ScoreItem, applied, load_model, load_patch, save_patch, sliced
from headprune.cli.tables import head_table
from headprune.errors import UsageError
from headprune.hooks.catalogue import catalogue
from headprune.scoring.algorithm import ScoreSettings, score_heads
from headprune.scoring.estimate import estimate_score
from headprune.scoring.importance import softmax
from headprune.scoring.sampling import draw
from headprune.scoring.worker import LocalEngine
from headprune.testing.slow import stopped_after
from headprune.towers.batches import Batch
from headprune.types import DecodePoint, Schedule
from tests.support import slow
from tests.support.samples import GoldOverlap, Overlap, dataset

GENERATION = Generation(max_new_tokens=6)
KEPT = [[1, 3], [0, 1, 2, 3], []]
ZEROS = np.array([[head in heads for head in range(4)] for heads in KEPT], np.float32)
THERE = np.array([[True, True, False, False], [True] * 4, [False] * 4])


def settings(edit: str, **changes) -> ScoreSettings:
    made = catalogue().load("edit", edit).configured({})
    base = ScoreSettings((0, 1, 2), made, edit, Overlap(), "overlap", Batch(7, 2), generation=GENERATION)
    return replace(base, **changes)


def run(adapter, pictures, edit="ablate", **changes):
    data = dataset(pictures)
    return score_heads(LocalEngine(adapter), data, draw(data, len(pictures), 0), settings(edit, **changes))


@pytest.fixture
def pruned(tiny):
    return sliced(tiny, ZEROS)


@pytest.fixture
def one(tiny_folders):
    """Of one family, where the family makes no difference."""
    return sliced(load_model(str(tiny_folders["blip2-t5"])), ZEROS)


@pytest.mark.parametrize("point", DecodePoint)
@pytest.mark.parametrize("edit", ["isolate", "ablate", "mean-ablate"])
def test_equals_the_slow_version(pruned, pictures, edit, point):
    result = run(pruned, pictures, edit, decode_at=point)
    samples = draw(dataset(pictures), len(pictures), 0).samples
    expected = slow.importances(pruned, samples, edit, point is DecodePoint.LAST, Overlap(), GENERATION)
    # One of the random towers says the same whatever a head's mean does.
    assert edit == "mean-ablate" or np.nanmax(expected) - np.nanmin(expected) > 0.1
    np.testing.assert_allclose(result.per_sample, expected, atol=1e-12)
    np.testing.assert_array_equal(np.isfinite(result.per_sample), np.broadcast_to(THERE, result.per_sample.shape))
    for layer, heads in enumerate((2, 4)):
        powers = np.exp(expected.mean(0)[layer, :heads])
        np.testing.assert_allclose(result.patch.alpha[layer, :heads], powers / powers.sum(), atol=1e-6)
        np.testing.assert_allclose(result.patch.scale[layer, :heads], heads * powers / powers.sum(), atol=1e-6)


@pytest.mark.parametrize("gold", [False, True])
@pytest.mark.parametrize("point", DecodePoint)
@pytest.mark.parametrize("edit", ["isolate", "ablate"])
def test_equals_the_unpruned_tower_with_silent_heads(tiny, pruned, pictures, edit, point, gold):
    changes = {"decode_at": point, "scorer": GoldOverlap() if gold else Overlap()}
    found = run(pruned, pictures, edit, **changes).per_sample
    with applied(tiny, ZEROS):
        expected = run(tiny, pictures, edit, **changes).per_sample
    for layer, heads in enumerate(KEPT):
        np.testing.assert_allclose(found[:, layer, : len(heads)], expected[:, layer, heads], atol=1e-12)
    if edit == "ablate":
        # A silent head is not missed.
        assert (expected[:, ZEROS == 0] == 0).all()


def test_what_is_not_there_is_unset_everywhere(pruned, pictures, tmp_path: Path):
    result = run(pruned, pictures, "isolate")
    patch = result.patch
    for table in (patch.importance, patch.alpha, patch.scale, *result.importance_limits, *result.alpha_limits):
        np.testing.assert_array_equal(np.isfinite(table), THERE)
    np.testing.assert_array_equal(patch.samples, np.where(THERE, len(pictures), 0))
    assert patch.scored == [0, 1]
    assert patch.info.model.ragged == (2, 4, 0) and patch.info.model.geometry == pruned.geometry
    np.testing.assert_array_equal(patch.coefficients()[~THERE], 1)
    save_patch(patch, tmp_path / "patch")
    again = load_patch(tmp_path / "patch")
    assert again.digest() == patch.digest() and again.info == patch.info
    low, high = result.importance_limits
    mean = patch.importance
    assert (low[THERE] <= mean[THERE] + 1e-6).all() and (mean[THERE] <= high[THERE] + 1e-6).all()


def test_a_patch_of_a_sliced_tower_is_applied_and_sliced_again(pruned, pictures):
    s = run(pruned, pictures, "isolate").patch.coefficients()
    s[1, 2] = 0
    with applied(pruned, s):
        said = slow.vanilla_captions(pruned, pruned.prepare(pictures), GENERATION)
    again = sliced(pruned, s)
    assert again.geometry.heads_in == (2, 3, 0)
    assert slow.vanilla_captions(again, again.prepare(pictures), GENERATION) == said


@pytest.mark.parametrize("schedule", Schedule)
def test_batch_size_changes_nothing(one, pictures, tmp_path: Path, schedule):
    for name, batch in {"a": Batch(1, 1), "b": Batch(64, 5)}.items():
        save_patch(run(one, pictures, batch=batch, schedule=schedule).patch, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_sequential_applies_the_coefficients_of_the_heads_there_are(one, pictures):
    """Layer 0 is scored on the unchanged model in both schedules; layer 1 on one in which layer 0 was scaled."""
    oneshot = run(one, pictures)
    sequential = run(one, pictures, schedule=Schedule.SEQUENTIAL)
    np.testing.assert_array_equal(sequential.per_sample[:, 0], oneshot.per_sample[:, 0])
    np.testing.assert_array_equal(np.isfinite(sequential.patch.scale), THERE)
    samples = draw(dataset(pictures), len(pictures), 0).samples
    pixels = one.prepare([sample.load() for sample in samples])
    with stopped_after(one, 1):
        unchanged = slow.vanilla_captions(one, pixels, GENERATION)
    scale = np.ones((3, 4), np.float32)
    scale[0, :2] = sequential.patch.scale[0, :2]
    for head in range(4):
        with applied(one, scale):
            said = slow.variant(one, "ablate", pixels, 1, head, False, GENERATION)
        likeness = Overlap().score([ScoreItem(a, b) for a, b in zip(said, unchanged, strict=True)])
        np.testing.assert_allclose(sequential.per_sample[:, 1, head], 1 - np.array(likeness), atol=1e-12)


def test_layers_without_any_head_cannot_be_scored(one, pictures):
    with pytest.raises(UsageError, match="no head left"):
        run(one, pictures, layers=(2,))
    assert run(one, pictures, layers=(0, 2)).patch.scored == [0]


@pytest.mark.parametrize("edit", ["isolate", "ablate"])
@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize("point", DecodePoint)
def test_the_dry_run_counts_what_is_decoded(one, pictures, point, schedule, edit):
    outline = Outline(one.geometry, one.tokens, 1000, 400, 4, 0)
    planned = estimate_score(outline, (0, 1, 2), len(pictures), point, schedule, Batch(7, 2))
    assert planned.decodes == run(one, pictures, edit, decode_at=point, schedule=schedule).decoded


def test_the_dry_run_by_hand():
    outline = Outline(Geometry(3, 4, 32, 8, True, (2, 4, 0)), 17, 1000, 400, 4, 0)
    at_layer, at_last = (
        estimate_score(outline, (0, 1, 2), 10, point, Schedule.ONESHOT, Batch(7, 2)) for point in DecodePoint
    )
    assert (at_layer.layer_replays, at_layer.decodes) == (10 * 6, 10 * (6 + 3))
    # Heads of layer 0 run three layers, those of layer 1 two.
    assert (at_last.layer_replays, at_last.decodes) == (10 * (2 * 3 + 4 * 2), 10 * (6 + 1))


def test_the_table_has_a_dash_where_no_head_is(one, pictures):
    shown = StringIO()
    Console(file=shown, width=100).print(head_table(run(one, pictures, "isolate")))
    rows = {words[0]: words[1:] for line in shown.getvalue().splitlines() if (words := line.split())}
    assert rows["0"][2:4] == ["-", "-"] and "-" not in rows["0"][:2] and float(rows["0"][4]) >= 0
    assert "-" not in rows["1"] and len(rows["1"]) == 5
    assert rows["2"] == ["-"] * 4 + ["0.0"]


def test_softmax_by_hand():
    nan = np.nan
    np.testing.assert_allclose(
        softmax(np.log([[1.0, 3.0, nan], [1.0, 1.0, 2.0], [nan, nan, nan]]), 1.0),
        [[0.25, 0.75, nan], [0.25, 0.25, 0.5], [nan, nan, nan]],
    )
    np.testing.assert_allclose(softmax(np.array([nan, 1e4, 1e4 - 1]), 1.0)[1:], 1 / (1 + np.exp([-1.0, 1.0])))
