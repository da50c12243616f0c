"""Bootstrap intervals against plain loops and against what theory says."""

from __future__ import annotations

import numpy as np
import pytest

from headprune.scoring.statistics import DRAWS, limits, mean_interval, resampled_means

RNG = np.random.default_rng(7)


def test_means_equal_a_plain_loop_over_the_same_draws():
    values = RNG.normal(size=(6, 2, 3))
    found = resampled_means(values, seed=3, draws=20)
    counts = np.random.default_rng(3).multinomial(6, [1 / 6] * 6, size=20)
    assert found.shape == (20, 2, 3) and (counts.sum(axis=1) == 6).all()
    for draw in range(20):
        picked = [values[sample] for sample in range(6) for _ in range(counts[draw, sample])]
        np.testing.assert_allclose(found[draw], sum(picked) / 6, atol=1e-12)


def test_limits_are_the_percentiles_of_the_statistic():
    values = RNG.uniform(size=(9, 4))

    def shares(means):
        return means / means.sum(axis=-1, keepdims=True)

    low, high = limits(values, 0, shares, draws=200)
    drawn = sorted(float(shares(mean)[1]) for mean in resampled_means(values, 0, 200))
    # 2.5 % of the way through 200 sorted values: between the 5th and the 6th.
    place = 0.025 * 199
    lower = drawn[int(place)] + (place - int(place)) * (drawn[int(place) + 1] - drawn[int(place)])
    assert low[1] == pytest.approx(lower, abs=1e-12)
    assert low.shape == high.shape == (4,) and (low < high).all()


def test_limits_equal_those_of_drawing_one_by_one():
    values = RNG.gamma(2, size=40)
    means = [np.mean(RNG.choice(values, size=40)) for _ in range(20_000)]
    found = limits(values, 0, draws=20_000)
    spread = values.std() / np.sqrt(40)
    np.testing.assert_allclose(found, np.percentile(means, [2.5, 97.5]), atol=0.06 * spread)


def test_limits_of_many_values_are_the_normal_ones():
    values = RNG.normal(3, 2, size=400)
    interval = mean_interval(values, 0, draws=20_000)
    margin = 1.959964 * values.std() / np.sqrt(400)
    assert interval.mean == values.mean()
    assert interval.low == pytest.approx(values.mean() - margin, abs=0.04 * margin)
    assert interval.high == pytest.approx(values.mean() + margin, abs=0.04 * margin)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(400):
        interval = mean_interval(np.random.default_rng(seed).normal(size=60), seed, draws=400)
        covered += interval.low <= 0 <= interval.high
    assert 0.90 < covered / 400 < 0.98


def test_two_samples_by_hand():
    """Means of (0, 1) drawn twice: 0, 1/2, 1 with chances 1/4, 1/2, 1/4."""
    means = resampled_means(np.array([0.0, 1.0]), 0, 4000)
    assert set(means.tolist()) == {0, 0.5, 1}
    assert np.mean(means == 0.5) == pytest.approx(0.5, abs=0.04)
    assert mean_interval(np.array([0.0, 1.0]), 0) == mean_interval(np.array([0.0, 1.0]), 0)


@pytest.mark.parametrize("values", [[2.0], [0.3, 0.3, 0.3]])
def test_no_spread_no_interval(values):
    interval = mean_interval(np.array(values), 0)
    assert (interval.low, interval.mean, interval.high) == pytest.approx((values[0],) * 3, abs=1e-12)


def test_the_seed_decides():
    values = RNG.normal(size=(10, 3))
    first, again, other = (np.array(limits(values, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and len(resampled_means(values, 0)) == DRAWS
