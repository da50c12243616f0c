"""Which heads go, on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from headprune.errors import UsageError
from headprune.patch.combine import blend, difference, stack
from headprune.patch.prune import PruneRule, choose_pruned, head_list
from tests.support.patches import patch_of

IMPORTANCE = [[0.1, 0.5, 0.2, 0.2], [0.0, 0.0, 0.0, 9.0], [0.6, 0.7, 0.8, 0.9]]


def pruned(rule: str, **options) -> list[tuple[int, int]]:
    return head_list(choose_pruned(patch_of(IMPORTANCE, **options), PruneRule.parse(rule)))


def test_count_takes_the_lowest_of_every_scored_layer():
    assert pruned("count=2") == [(0, 0), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert pruned("count=1", layers=[2]) == [(2, 0)]
    assert pruned("count=4", layers=[1]) == [(1, 0), (1, 1), (1, 2), (1, 3)]


def test_fraction_within_layers_and_across():
    assert pruned("fraction=0.25") == [(0, 0), (1, 0), (2, 0)]
    assert pruned("fraction=0.34", comparable="across-layers") == [(0, 0), (1, 0), (1, 1), (1, 2)]
    assert pruned("fraction=0") == [] == pruned("fraction=0", comparable="across-layers")


def test_threshold_is_on_heads_times_alpha():
    assert pruned("threshold=0.5") == [(1, 0), (1, 1), (1, 2)]


@pytest.mark.parametrize(
    "rule", ["count=5", "count=-1", "count=1.5", "fraction=2", "half", "threshold=-1", "auto", "fraction=nan"]
)
def test_rules_that_make_no_sense(rule):
    with pytest.raises(UsageError):
        pruned(rule)


def test_coefficients_of_each_scale():
    patch = patch_of(IMPORTANCE, layers=[0, 2])
    silent = choose_pruned(patch, PruneRule.parse("count=1"))
    assert patch.coefficients("none", silent).tolist() == [[0, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1]]
    np.testing.assert_allclose(patch.coefficients("mean-one")[[0, 2]].mean(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(patch.coefficients("paper")[[0, 2]].mean(axis=1), 0.25, rtol=1e-6)


def test_stack_multiplies_and_blend_interpolates():
    first, second = patch_of(IMPORTANCE, layers=[0, 1]), patch_of(np.flip(IMPORTANCE, 1), layers=[1, 2])
    both = stack([first, second])
    np.testing.assert_allclose(both.coefficients(), first.coefficients() * second.coefficients(), rtol=1e-6)
    assert both.info.parents == (first.digest(), second.digest())
    np.testing.assert_allclose(blend(first, 0.0).coefficients(), 1)
    np.testing.assert_allclose(blend(first, 1.0).coefficients(), first.coefficients(), rtol=1e-6)
    np.testing.assert_allclose(blend(first, 0.5).coefficients(), (1 + first.coefficients()) / 2, rtol=1e-6)
    with pytest.raises(UsageError, match="composed"):
        choose_pruned(both, PruneRule.parse("count=1"))
    with pytest.raises(UsageError, match="composed"):
        both.coefficients("paper")


def test_difference_ranks_within_layers():
    first = patch_of([[1, 2, 3, 4], [1, 2, 3, 4]])
    assert difference(first, first).rank == pytest.approx(1)
    assert difference(first, patch_of([[4, 3, 2, 1], [4, 3, 2, 1]])).rank == pytest.approx(-1)
    # By hand: ranks 0 1 2 3 against 1 0 2 3 give 1 - 6*2/(4*15) = 0.8 in one layer, 1 in the other.
    assert difference(first, patch_of([[2, 1, 3, 4], [1, 2, 3, 4]])).rank == pytest.approx(0.9)
