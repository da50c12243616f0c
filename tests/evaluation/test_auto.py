"""The search behind `--prune auto`: against plain hooks and loops, and its rule on curves made by hand."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch

from headprune import Generation, ScoreItem
from headprune.errors import UsageError
from headprune.evaluation.auto import (
    AutoSettings,
    Point,
    candidates,
    largest_within,
    search_fraction,
    validation_size,
)
from headprune.patch.combine import blend
from headprune.testing.slow import hooked
from headprune.towers.batches import Batch
from headprune.types import Interval
from tests.support import slow
from tests.support.patches import patch_for, patch_of
from tests.support.samples import GoldOverlap, Overlap, dataset

GENERATION = Generation(max_new_tokens=6)
SETTINGS = AutoSettings(GoldOverlap(), "gold", GENERATION, Batch(7, 2), "mean-one", 0.3, seed=5)
IMPORTANCE = [[0.9, 0.1, 0.5, 0.3], [0.2, 0.8, 0.1, 0.4], [0.6, 0.2, 0.7, 0.3]]
# Heads of each layer, the least important first, by eye.
ORDER = [[1, 3, 2, 0], [2, 0, 3, 1], [1, 3, 0, 2]]


def words(adapter, pixels, s) -> list[str]:
    """What the model says with its heads scaled by s[L, H], by hooks alone."""
    with ExitStack() as stack:
        for number, row in enumerate(s):
            stack.enter_context(hooked(adapter, number, torch.tensor(row, dtype=torch.float32)))
        return slow.vanilla_captions(adapter, pixels, GENERATION)


def bootstrap(values: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(SETTINGS.seed)
    picked = [rng.multinomial(len(values), [1 / len(values)] * len(values)) for _ in range(1000)]
    return np.percentile([(times * values).sum() / len(values) for times in picked], [2.5, 97.5])


@pytest.mark.parametrize("scale", ["mean-one", "none"])
@pytest.mark.parametrize("gold", [True, False])
def test_equals_a_loop_over_fractions_with_hooks(tiny, pictures, scale, gold):
    samples = dataset(pictures).samples
    pixels = tiny.prepare(pictures)
    scorer = GoldOverlap() if gold else Overlap()
    found = search_fraction(tiny, patch_for(tiny, IMPORTANCE), samples, replace(SETTINGS, scale=scale, scorer=scorer))
    scale_of = np.exp(IMPORTANCE) / np.exp(IMPORTANCE).sum(axis=1, keepdims=True) * 4
    before = words(tiny, pixels, np.ones((3, 4)))
    curve = []
    for count in range(5):
        s = scale_of.copy() if scale == "mean-one" else np.ones((3, 4))
        for layer in range(3):
            for head in ORDER[layer][:count]:
                s[layer, head] = 0
        said = words(tiny, pixels, s)
        items = [ScoreItem(a, b, sample.captions) for a, b, sample in zip(said, before, samples, strict=True)]
        curve.append(np.array([scorer.score([item])[0] for item in items]))
    assert [point.fraction for point in found.curve] == [0, 0.25, 0.5, 0.75, 1]
    assert [point.heads for point in found.curve] == [0, 3, 6, 9, 12]
    for point, values in zip(found.curve, curve, strict=True):
        for interval, expected in ((point.score, values), (point.difference, values - curve[0])):
            assert interval.mean == pytest.approx(expected.mean(), abs=1e-12)
            np.testing.assert_allclose((interval.low, interval.high), bootstrap(expected), atol=1e-12)
    assert len({values.mean() for values in curve}) > 2
    lowest = curve[0].mean() - 0.3 * curve[0].mean()
    assert found.bound == pytest.approx(lowest)
    stays = [values.mean() >= lowest for values in curve]
    assert found.fraction == ([*stays, False].index(False) - 1) / 4
    items = [ScoreItem(a, a, sample.captions) for a, sample in zip(before, samples, strict=True)]
    assert found.unchanged.mean == pytest.approx(np.mean(scorer.score(items)), abs=1e-12)
    assert (found.validation, found.ranking, found.scorer, found.scale) == (5, 4, "gold", scale)
    assert found.rule == f"fraction={found.fraction:g}" and found.chosen.fraction == found.fraction


def test_the_batch_changes_nothing_and_the_model_is_left_unchanged(tiny, pictures):
    before = dict(tiny.model.named_parameters())
    copies = {name: parameter.detach().clone() for name, parameter in before.items()}
    patch, samples = patch_for(tiny, IMPORTANCE), dataset(pictures).samples
    found = [
        search_fraction(tiny, patch, samples, replace(SETTINGS, batch=batch))
        for batch in (Batch(1, 1), Batch(7, 2), Batch(64, 5))
    ]
    assert found[0] == found[1] == found[2]
    after = dict(tiny.model.named_parameters())
    assert all(after[name] is before[name] and torch.equal(after[name], copies[name]) for name in before)


def test_each_picture_is_opened_once(tiny, pictures):
    opened: list[str] = []

    def opening(sample):
        return replace(sample, load=lambda: opened.append(sample.id) or sample.load())

    samples = [opening(sample) for sample in dataset(pictures).samples]
    steps = []
    search_fraction(tiny, patch_for(tiny, IMPORTANCE), samples, SETTINGS, steps.append)
    assert opened == [sample.id for sample in samples]
    # Five fractions and the model as it is.
    assert (steps[0].done, steps[-1].done, steps[-1].total, steps[-1].samples) == (0, 30, 30, 5)
    assert [step.done for step in steps] == sorted(step.done for step in steps)


def test_gold_captions_that_are_not_there(tiny, pictures):
    with pytest.raises(UsageError, match=r"needs gold captions; sample p0\.png"):
        search_fraction(tiny, patch_for(tiny, IMPORTANCE), dataset(pictures, captions=()).samples, SETTINGS)


# The rule, on curves made by hand.


def curve_of(*scores: float) -> list[Point]:
    def at(value: float) -> Interval:
        return Interval(value, value - 1, value + 1)

    steps = len(scores) - 1
    return [Point(n / steps, n, at(score), at(score - scores[0])) for n, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "max_drop", "heads"),
    [
        ((4, 3.9, 3.7, 3.0, 1.0), 0.1, 2),
        ((4, 4.1, 4.2, 4.1, 4.0), 0, 4),  # never falls
        ((4, 3.0, 2.9, 2.0, 1.0), 0.1, 0),  # falls at once
        ((4, 3.9, 3.0, 3.9, 1.0), 0.1, 1),  # a lucky fraction behind the fall
        ((4, 3.6, 3.5, 3.4, 1.0), 0.1, 1),  # on the bound is within
        ((4, 3.9, 3.7, 3.0, 1.0), 0, 0),
        ((4, 3.9, 3.7, 3.0, 0.0), 1, 4),
        ((-4, -4.2, -5, -5, -6), 0.1, 1),  # a metric that is better lower comes in with its sign turned
        ((0, 0, -0.1, 0, 0), 0.5, 1),
    ],
)
def test_the_largest_that_stays_within_with_every_smaller_one(scores, max_drop, heads):
    assert largest_within(curve_of(*scores), max_drop).heads == heads


@pytest.mark.parametrize(("samples", "size"), [(20, 10), (33, 10), (34, 10), (40, 12), (100, 30), (500, 150)])
def test_30_percent_validate_and_ten_at_least(samples, size):
    assert validation_size(samples) == size


@pytest.mark.parametrize("samples", [0, 2, 19])
def test_too_few_samples(samples):
    with pytest.raises(UsageError, match=f"20 samples or more, this one has {samples}: 10 rank"):
        validation_size(samples)


# Which fractions there are.


def counts(patch) -> list[tuple[float, int]]:
    return [(fraction, int(pruned.sum())) for fraction, pruned in candidates(patch)]


def test_within_layers_there_is_one_for_each_head_of_a_layer():
    assert counts(patch_of(IMPORTANCE)) == [(0, 0), (0.25, 3), (0.5, 6), (0.75, 9), (1, 12)]
    assert counts(patch_of(IMPORTANCE, layers=[1])) == [(0, 0), (0.25, 1), (0.5, 2), (0.75, 3), (1, 4)]
    thirds = counts(patch_of([[0.1, 0.2, 0.3]]))
    assert thirds == [(0, 0), (0.3333, 1), (0.6667, 2), (1, 3)]


def test_across_layers_there_are_twentieths_where_heads_are_many():
    few = counts(patch_of(IMPORTANCE, comparable="across-layers"))
    assert [number for _, number in few] == list(range(13))
    many = counts(patch_of(np.random.default_rng(0).random((8, 8)), comparable="across-layers"))
    assert [fraction for fraction, _ in many] == pytest.approx([n / 20 for n in range(21)])
    assert [number for _, number in many] == [round(n / 20 * 64) for n in range(21)]


def test_a_layer_of_many_heads_is_pruned_in_twentieths():
    found = counts(patch_of(np.random.default_rng(0).random((2, 32))))
    assert len(found) == 21 and (found[0], found[1], found[-1]) == ((0, 0), (0.05, 4), (1, 64))


def test_sliced_layers_have_fewer_heads_to_prune():
    base = patch_of(IMPORTANCE)
    record = base.info.model.model_copy(update={"ragged": (4, 1, 2)})
    importance = np.array(IMPORTANCE, np.float32)
    importance[1, 1:] = importance[2, 2:] = np.nan
    alpha = np.exp(importance) / np.nansum(np.exp(importance), axis=1, keepdims=True)
    samples = np.where(np.isfinite(importance), 4, 0).astype(np.int32)
    scale = alpha * np.array([[4], [1], [2]], np.float32)
    ragged = replace(
        base, importance=importance, alpha=alpha, scale=scale, samples=samples,
        info=base.info.model_copy(update={"model": record}),
    )  # fmt: skip
    found = counts(ragged)
    assert found[0] == (0, 0) and found[-1] == (1, 7)
    numbers = [number for _, number in found]
    assert numbers == sorted(set(numbers))


def test_the_printed_fraction_prunes_the_same_heads():
    from headprune.patch.prune import PruneRule, choose_pruned

    for heads in (3, 6, 7, 12, 16, 25):
        patch = patch_of(np.random.default_rng(heads).random((3, heads)))
        for fraction, pruned in candidates(patch):
            printed = PruneRule.parse(str(PruneRule("fraction", fraction)))
            assert np.array_equal(choose_pruned(patch, printed), pruned)


def test_a_composed_patch_has_no_ranking():
    with pytest.raises(UsageError, match="composed"):
        candidates(blend(patch_of(IMPORTANCE), 0.5))
