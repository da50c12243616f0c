"""Random head sets: of the patch's size, drawn where the patch chose, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from headprune.evaluation.control import random_controls

LAYERS, HEADS = [0, 2, 3], 6
RNG = np.random.default_rng(0)
KEPT = np.ones((4, HEADS), np.float32)
KEPT[LAYERS] = RNG.uniform(0.5, 1.5, (3, HEADS))
PRUNED = np.zeros((4, HEADS), bool)
PRUNED[0, :3] = PRUNED[2, 5] = PRUNED[3, 2] = True


def controls(pruned=PRUNED, across=False, draws=50, seed=0) -> list[np.ndarray]:
    return list(random_controls(KEPT, pruned, np.ones_like(pruned), LAYERS, across, draws, seed))


def test_within_layers_each_layer_loses_as_many_heads_as_the_patch_takes():
    for s in controls():
        assert (s == 0).sum(axis=1).tolist() == [3, 0, 1, 1]


def test_across_layers_as_many_heads_are_lost_in_all_but_not_in_each():
    sizes = np.array([(s == 0).sum(axis=1) for s in controls(across=True)])
    assert (sizes.sum(axis=1) == 5).all() and (sizes[:, 1] == 0).all()
    assert (sizes[:, [0, 2, 3]].std(axis=0) > 0).all()


@pytest.mark.parametrize("across", [False, True])
def test_heads_that_are_kept_keep_the_patchs_coefficients(across):
    for s in controls(across=across):
        np.testing.assert_array_equal(s[s != 0], KEPT[s != 0])
        assert s.dtype == np.float32


def test_every_head_is_drawn_and_about_as_often_as_chance_has_it():
    share = np.mean([s == 0 for s in controls(draws=2000)], axis=0)
    np.testing.assert_allclose(share[LAYERS], PRUNED[LAYERS].mean(axis=1, keepdims=True) * np.ones(HEADS), atol=0.05)
    assert (share[1] == 0).all()


def test_without_pruning_the_coefficients_are_dealt_anew_in_each_layer():
    dealt = controls(np.zeros_like(PRUNED))
    for s in dealt:
        np.testing.assert_array_equal(np.sort(s, axis=1), np.sort(KEPT, axis=1))
        np.testing.assert_array_equal(s[1], KEPT[1])
    assert len({s.tobytes() for s in dealt}) == 50


@pytest.mark.parametrize("across", [False, True])
def test_the_seed_decides(across):
    first, again, other = (np.array(controls(across=across, seed=seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(first[:5], controls(across=across, draws=5, seed=3))


def test_the_patch_is_left_as_it_is():
    kept, pruned = KEPT.copy(), PRUNED.copy()
    controls(), controls(np.zeros_like(PRUNED))
    np.testing.assert_array_equal(KEPT, kept)
    np.testing.assert_array_equal(PRUNED, pruned)
