"""Table 1 against vanilla generation with plain hooks, and the identities it must keep."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch

from headprune import Generation, ScoreItem
from headprune.errors import PluginError, UsageError
from headprune.evaluation.control import random_controls
from headprune.evaluation.table1 import Change, Control, EvaluateSettings, evaluate_model
from headprune.perspectives.convergence import Convergence
from headprune.testing.slow import hooked, stopped_after
from headprune.towers.batches import Batch
from tests.support import slow
from tests.support.samples import GoldOverlap, Overlap, dataset

GENERATION = Generation(max_new_tokens=6)
SETTINGS = EvaluateSettings(GoldOverlap(), GENERATION, Batch(7, 2), Convergence(Overlap(), tau=0.4), random=3, seed=5)
PRUNED = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0]], bool)
KEPT = np.array([[1, 0.2, 1.8, 1], [1, 1, 1, 1], [0.3, 1, 1, 1.7]], np.float32)
CHANGE = Change(np.where(PRUNED, 0, KEPT), KEPT, PRUNED, np.ones_like(PRUNED), [0, 2], across=False)


def words(adapter, pixels, s, layer=2) -> list[str]:
    """What the model says after `layer` with its heads scaled by s[L, H], by hooks alone."""
    with ExitStack() as stack:
        for number, row in enumerate(s):
            stack.enter_context(hooked(adapter, number, torch.tensor(row)))
        stack.enter_context(stopped_after(adapter, layer))
        return slow.vanilla_captions(adapter, pixels, GENERATION)


def gold(samples, captions) -> np.ndarray:
    return np.array(
        [GoldOverlap().score([ScoreItem(c, gold=s.captions)])[0] for c, s in zip(captions, samples, strict=True)]
    )


def convergence(by_layer: list[list[str]]) -> list[int]:
    """By the definition: the first layer from which on every caption agrees with the last."""
    found = []
    for image in zip(*by_layer, strict=True):
        agrees = [Overlap().score([ScoreItem(said, image[-1])])[0] >= 0.4 for said in image]
        found.append(next(layer for layer in range(len(image)) if all(agrees[layer:])))
    return found


def test_equals_vanilla_generation_with_hooks(tiny, pictures):
    samples = dataset(pictures).samples
    pixels = tiny.prepare(pictures)
    evaluation = evaluate_model(tiny, samples, SETTINGS, CHANGE)
    values = {}
    for name, s in {"before": np.ones((3, 4), np.float32), "after": CHANGE.coefficients}.items():
        by_layer = [words(tiny, pixels, s, layer) for layer in range(3)]
        values[name] = gold(samples, by_layer[-1])
        side = getattr(evaluation, name)
        assert side.score.mean == pytest.approx(values[name].mean(), abs=1e-12)
        assert side.convergence_layer.mean == pytest.approx(np.mean(convergence(by_layer)), abs=1e-12)
        assert side.parameters == sum(parameter.numel() for parameter in tiny.model.parameters())
        assert side.seconds_per_image > 0
    assert evaluation.difference.mean == pytest.approx((values["after"] - values["before"]).mean(), abs=1e-12)
    assert (values["after"] != values["before"]).any()
    sets = random_controls(KEPT, PRUNED, np.ones_like(PRUNED), [0, 2], False, 3, 5)
    scores = [gold(samples, words(tiny, pixels, s)).mean() for s in sets]
    np.testing.assert_allclose(evaluation.control.scores, scores, atol=1e-12)
    assert evaluation.control.beaten == sum(values["after"].mean() > score for score in scores)
    assert evaluation.samples == len(samples)


def test_the_difference_is_paired(tiny, pictures):
    """The interval is the bootstrap of the differences, far narrower than the two sides' own when images differ."""
    samples = dataset(pictures).samples
    pixels = tiny.prepare(pictures)
    found = evaluate_model(tiny, samples, replace(SETTINGS, random=0, convergence=None), CHANGE).difference
    before, after = (gold(samples, words(tiny, pixels, s)) for s in (np.ones((3, 4), np.float32), CHANGE.coefficients))
    rng = np.random.default_rng(SETTINGS.seed)
    means = []
    for _ in range(1000):
        picked = rng.multinomial(len(samples), [1 / len(samples)] * len(samples))
        means.append(sum(times * value for times, value in zip(picked, after - before, strict=True)) / len(samples))
    np.testing.assert_allclose((found.low, found.high), np.percentile(means, [2.5, 97.5]), atol=1e-12)


def test_a_change_that_does_nothing_makes_no_difference(tiny, pictures):
    ones = np.ones((3, 4), np.float32)
    change = Change(ones, ones, np.zeros((3, 4), bool), np.ones((3, 4), bool), [0, 1, 2], across=False)
    evaluation = evaluate_model(tiny, dataset(pictures).samples, SETTINGS, change)
    assert (evaluation.difference.mean, evaluation.difference.low, evaluation.difference.high) == (0, 0, 0)
    assert evaluation.before.score == evaluation.after.score
    assert evaluation.before.convergence_layer == evaluation.after.convergence_layer
    assert set(evaluation.control.scores) == {evaluation.before.score.mean}
    assert evaluation.control.beaten == 0 and not evaluation.control.better_than_chance


def test_the_model_is_left_unchanged(tiny, pictures):
    parameters = dict(tiny.model.named_parameters())
    values = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in tiny.model.modules())
    evaluate_model(tiny, dataset(pictures).samples, SETTINGS, CHANGE)
    after = dict(tiny.model.named_parameters())
    assert all(after[name] is parameters[name] and torch.equal(after[name], values[name]) for name in values)
    assert hooks == sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in tiny.model.modules())


def test_without_a_change_there_is_one_side(tiny, pictures):
    stages: list[str] = []
    evaluation = evaluate_model(tiny, dataset(pictures).samples, SETTINGS, None, stages.append)
    assert evaluation.after is evaluation.difference is evaluation.control is None
    assert evaluation.before.convergence_layer is not None and stages == [f"{len(pictures)} samples, before"]


def test_no_random_sets_no_control(tiny, pictures):
    plain = replace(SETTINGS, random=0, convergence=None)
    evaluation = evaluate_model(tiny, dataset(pictures).samples, plain, CHANGE)
    assert evaluation.control is None and evaluation.after.convergence_layer is None


def test_the_batch_changes_nothing(tiny, pictures):
    samples = dataset(pictures).samples
    scores = []
    for batch in (Batch(1, 1), Batch(64, 5)):
        found = evaluate_model(tiny, samples, replace(SETTINGS, batch=batch), CHANGE)
        scores.append((found.before.score, found.after.score, found.after.convergence_layer, found.control))
    assert scores[0] == scores[1]


def test_a_scorer_without_gold_compares_with_the_unchanged_model(tiny, pictures):
    plain = replace(SETTINGS, scorer=Overlap(), random=0, convergence=None)
    evaluation = evaluate_model(tiny, dataset(pictures).samples, plain, CHANGE)
    assert evaluation.before.score.mean == 1
    assert evaluation.after.score.mean < 1


def test_gold_captions_that_are_not_there(tiny, pictures):
    with pytest.raises(UsageError, match=r"needs gold captions; sample p0\.png"):
        evaluate_model(tiny, dataset(pictures, captions=()).samples, SETTINGS)


def test_a_judge_of_convergence_that_misbehaves_is_named(tiny, pictures):
    class Silly(Overlap):
        def score(self, batch):
            return []

    with pytest.raises(PluginError, match="scorer Silly"):
        evaluate_model(tiny, dataset(pictures).samples, replace(SETTINGS, convergence=Convergence(Silly())))


@pytest.mark.parametrize(("beaten", "better"), [(18, False), (19, True), (20, True)])
def test_better_than_chance_is_95_percent(beaten, better):
    assert Control((0.0,) * 20, beaten).better_than_chance is better
