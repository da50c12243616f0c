"""Patches of sliced towers: numbers where heads are, NaN where none are, and nothing chosen that is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from headprune import Geometry, PatchError, UsageError, load_patch, save_patch
from headprune.evaluation.control import random_controls
from headprune.patch.combine import blend, difference, stack
from headprune.patch.patch import ModelRecord, present
from headprune.patch.prune import PruneRule, choose_pruned, head_list, silent
from tests.support.patches import patch_of

RAGGED = (2, 4, 0, 3)
# What stands where no head is must not matter.
IMPORTANCE = [[0.2, 0.1, -9, -9], [0.0, 0.3, 0.9, 0.3], [-9, -9, -9, -9], [0.6, 0.5, 0.4, -9]]
THERE = present(Geometry(len(RAGGED), 4, 8, 2, True, tuple(RAGGED)))


def record(ragged=RAGGED) -> ModelRecord:
    return ModelRecord(
        name="m", backend="b", revision=None, layers=len(ragged), heads=max(ragged), width=8, head_width=2,
        cls=True, ragged=ragged if len({*ragged}) > 1 else (), fingerprint="f",
    )  # fmt: skip


def ragged_patch(importance=IMPORTANCE, **options):
    return patch_of(importance, model=record(), **options)


def test_there_are_numbers_where_heads_are_and_nowhere_else():
    patch = ragged_patch()
    for table in (patch.importance, patch.alpha, patch.scale):
        np.testing.assert_array_equal(np.isfinite(table), THERE)
    assert patch.scored == [0, 1, 3]
    np.testing.assert_allclose(np.nansum(patch.scale, axis=1), RAGGED, rtol=1e-6)
    for scale in ("mean-one", "paper", "none"):
        np.testing.assert_array_equal(patch.coefficients(scale)[~THERE], 1)
    assert ragged_patch(layers=[1, 2]).scored == [1]


def test_round_trip(tmp_path: Path):
    for name in "ab":
        save_patch(ragged_patch(layers=[0, 1]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = load_patch(tmp_path / "a")
    assert again.digest() == ragged_patch(layers=[0, 1]).digest() and again.info.model.geometry.heads_in == RAGGED


AMISS = [
    ("scale", (0, 1), np.nan),
    ("scale", (3, 2), np.inf),
    ("alpha", (1, 3), np.nan),
    ("importance", (1, 0), np.nan),
    ("scale", (0, 2), 1.0),
    ("scale", (2, 0), 1.0),
    ("samples", (0, 3), 4),
]


@pytest.mark.parametrize(
    ("name", "head", "value", "unscored"),
    # The scale alone is what is applied.
    [*((*case, False) for case in AMISS), *((*case, True) for case in AMISS if case[0] == "scale")],
)
def test_a_number_that_is_amiss_is_refused(tmp_path: Path, name, head, value, unscored):
    """NaN at a head that is there, a number at one that is not: also where `samples` owns up to the NaN."""
    save_patch(ragged_patch(), tmp_path / "good")
    with safe_open(tmp_path / "good", "numpy") as file:
        metadata = file.metadata()
    tensors = load_file(tmp_path / "good")
    tensors[name][head] = value
    if unscored:
        tensors["samples"][head] = 0
    save_file(tensors, tmp_path / "bad", metadata)
    with pytest.raises(PatchError, match="make it again"):
        load_patch(tmp_path / "bad")


def pruned(rule: str, **options) -> list[tuple[int, int]]:
    return head_list(choose_pruned(ragged_patch(**options), PruneRule.parse(rule)))


def test_a_count_takes_as_many_as_there_are():
    assert pruned("count=1") == [(0, 1), (1, 0), (3, 2)]
    assert pruned("count=3") == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 3), (3, 0), (3, 1), (3, 2)]
    assert pruned("count=4", layers=[0]) == [(0, 0), (0, 1)]
    assert pruned("count=0") == []
    with pytest.raises(UsageError, match="more heads than the 4"):
        pruned("count=5")


def test_a_fraction_is_of_the_heads_that_are_there():
    # round(0.5 * 2), round(0.5 * 4), round(0.5 * 3) = 1, 2, 2
    assert pruned("fraction=0.5") == [(0, 1), (1, 0), (1, 1), (3, 1), (3, 2)]
    # round(9 / 3) = 3 of the nine there are: -9 stands where none is.
    assert pruned("fraction=0.3333", comparable="across-layers") == [(0, 0), (0, 1), (1, 0)]
    for comparable in ("within-layer", "across-layers"):
        assert pruned("fraction=1", comparable=comparable) == head_list(THERE)
        assert pruned("fraction=0", comparable=comparable) == []
    assert pruned("fraction=1", comparable="across-layers", layers=[0, 2]) == [(0, 0), (0, 1)]


def test_a_threshold_is_on_the_layers_own_number_of_heads_times_alpha():
    patch = ragged_patch()
    alone = float(2 * np.exp(0.1) / (np.exp(0.1) + np.exp(0.2)))
    assert patch.scale[0, 1] == pytest.approx(alone)
    assert (0, 1) in pruned(f"threshold={alone + 1e-4}") and (0, 1) not in pruned(f"threshold={alone - 1e-4}")
    assert pruned("threshold=99") == head_list(THERE)


TOWERS = st.lists(st.integers(0, 4), min_size=1, max_size=5).filter(any).map(tuple)
RULES = st.one_of(
    st.integers(0, 4).map(lambda k: f"count={k}"),
    st.floats(0, 1).map(lambda f: f"fraction={f}"),
    st.floats(0, 3).map(lambda t: f"threshold={t}"),
)


@settings(max_examples=60, deadline=None)
@given(TOWERS, RULES, st.sampled_from(["within-layer", "across-layers"]), st.data())
def test_no_head_is_chosen_that_is_not_there_and_controls_are_of_the_same_size(ragged, rule, comparable, data):
    there = present(Geometry(len(ragged), max(ragged), 8, 2, True, tuple(ragged)))
    numbers = st.floats(-1, 1, width=32)
    importance = data.draw(st.lists(st.lists(numbers, min_size=max(ragged), max_size=max(ragged)),
                                    min_size=len(ragged), max_size=len(ragged)))  # fmt: skip
    layers = sorted(data.draw(st.sets(st.sampled_from(range(len(ragged))), min_size=1)))
    # Rules count heads of the widest layer: four may be too many.
    if rule.startswith("count") and int(rule[6:]) > max(ragged):
        return
    patch = patch_of(importance, layers=layers, comparable=comparable, model=record(ragged))
    chosen = choose_pruned(patch, PruneRule.parse(rule))
    scored = np.isin(np.arange(len(ragged)), layers)[:, None]
    assert not chosen[~(there & scored)].any()
    kept = patch.coefficients()
    across = rule.startswith("fraction") and comparable == "across-layers"
    for s in random_controls(kept, chosen, there, patch.scored, across, 3, 0):
        assert s.shape == chosen.shape and np.isfinite(s).all()
        np.testing.assert_array_equal(s[~(there & scored)], 1)
        lost = silent(patch.info.model.geometry, s)
        assert lost.sum() == chosen.sum()
        if not across:
            np.testing.assert_array_equal(lost.sum(axis=1), chosen.sum(axis=1))
        if not chosen.any():
            np.testing.assert_array_equal(np.sort(s, axis=1), np.sort(kept, axis=1))


def test_stack_and_blend_keep_what_is_unset_unset():
    first, second = ragged_patch(layers=[0, 1]), ragged_patch(np.flip(IMPORTANCE, 0), layers=[1, 3])
    both = stack([first, second])
    np.testing.assert_allclose(both.coefficients(), first.coefficients() * second.coefficients(), rtol=1e-6)
    np.testing.assert_array_equal(np.isfinite(both.scale), THERE)
    half = blend(first, 0.5)
    np.testing.assert_allclose(half.coefficients(), (1 + first.coefficients()) / 2, rtol=1e-6)
    np.testing.assert_array_equal(np.isfinite(half.scale), np.isfinite(first.scale))
    with pytest.raises(UsageError, match="composed"):
        choose_pruned(both, PruneRule.parse("count=1"))


def test_difference_ranks_the_heads_that_are_there():
    first = ragged_patch()
    assert difference(first, first).rank == pytest.approx(1)
    turned = [[0.1, 0.2, 5, 5], [0.9, 0.3, 0.0, 0.3], [5, 5, 5, 5], [0.4, 0.5, 0.6, 5]]
    found = difference(first, ragged_patch(turned))
    assert found.rank == pytest.approx(-1) and found.layers == [0, 1, 3]
    np.testing.assert_array_equal(np.isfinite(found.scale), THERE)


def test_towers_that_lost_other_heads_have_no_head_in_common():
    other = patch_of(IMPORTANCE, model=record((2, 4, 0, 4)))
    with pytest.raises(PatchError, match="heads are not the same"):
        difference(ragged_patch(), other)


def test_silent_heads_are_heads():
    geometry = record().geometry
    nothing = np.zeros((4, 4), np.float32)
    assert head_list(silent(geometry, nothing)) == head_list(THERE)
    assert head_list(silent(geometry, nothing + 1)) == []
