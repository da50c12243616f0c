"""Algorithm 1 against plain loops, and the identities that a run must keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headprune import Generation, ScoreItem
from headprune.errors import PluginError, UsageError
from headprune.hooks.catalogue import catalogue
from headprune.patch.file import save_patch
from headprune.runs.store import RunStore
from headprune.scoring.algorithm import score_heads
from headprune.scoring.sampling import draw
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.worker import LocalEngine
from headprune.testing.slow import stopped_after
from headprune.towers.batches import Batch
from headprune.types import DecodePoint, Schedule
from tests.support import slow
from tests.support.samples import GoldOverlap, Overlap, dataset

GENERATION = Generation(max_new_tokens=6)


def settings(**changes) -> ScoreSettings:
    name = changes.pop("edit_name", "isolate")
    edit = catalogue().load("edit", name).configured({})
    base = ScoreSettings(
        (0, 1, 2), edit, name, Overlap(), "overlap", Batch(7, 2), generation=GENERATION, temperature=0.5
    )
    return replace(base, **changes)


def run(adapter, pictures, store=None, **changes):
    data = dataset(pictures)
    return score_heads(LocalEngine(adapter), data, draw(data, len(pictures), 0), settings(**changes), store)


@pytest.mark.parametrize("gold", [False, True])
@pytest.mark.parametrize("point", DecodePoint)
@pytest.mark.parametrize("edit", ["isolate", "ablate"])
def test_equals_the_slow_version(tiny, pictures, edit, point, gold):
    scorer = GoldOverlap() if gold else Overlap()
    result = run(tiny, pictures, edit_name=edit, decode_at=point, scorer=scorer)
    samples = draw(dataset(pictures), len(pictures), 0).samples
    expected = slow.importances(tiny, samples, edit, point is DecodePoint.LAST, scorer, GENERATION)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(result.per_sample, expected, atol=1e-12)
    alpha = np.exp(expected.mean(0) / 0.5)
    alpha /= alpha.sum(-1, keepdims=True)
    np.testing.assert_allclose(result.patch.alpha, alpha, atol=1e-6)
    np.testing.assert_allclose(result.patch.scale, tiny.geometry.heads * alpha, atol=1e-5)


def test_sequential_scores_each_layer_with_the_earlier_coefficients_applied(tiny, pictures):
    result = run(tiny, pictures, schedule=Schedule.SEQUENTIAL, edit_name="ablate")
    samples = draw(dataset(pictures), len(pictures), 0).samples
    pixels = tiny.prepare([sample.load() for sample in samples])
    coefficients = torch.ones(3, 4)
    projections = [site.output for site in tiny.sites]
    unchanged = []
    for layer in range(3):
        with stopped_after(tiny, layer):
            unchanged.append(slow.vanilla_captions(tiny, pixels, GENERATION))
    for layer in range(3):
        handles = [
            projections[earlier].register_forward_pre_hook(
                lambda module, args, s=coefficients[earlier]: (args[0] * s.repeat_interleave(8),)
            )
            for earlier in range(layer)
        ]
        importance = np.zeros((len(samples), 4))
        for head in range(4):
            said = slow.variant(tiny, "ablate", pixels, layer, head, False, GENERATION)
            pairs = [ScoreItem(a, b) for a, b in zip(said, unchanged[layer], strict=True)]
            importance[:, head] = 1 - np.array(Overlap().score(pairs))
        for handle in handles:
            handle.remove()
        np.testing.assert_allclose(result.per_sample[:, layer], importance, atol=1e-12)
        coefficients[layer] = torch.tensor(result.patch.scale[layer])


def test_batch_size_changes_nothing(tiny, pictures, tmp_path: Path):
    for name, batch in {"a": Batch(1, 1), "b": Batch(7, 2), "c": Batch(64, 5)}.items():
        save_patch(run(tiny, pictures, batch=batch).patch, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize("edit", ["isolate", "mean-ablate"])
def test_a_run_that_stopped_goes_on_to_the_same_bytes(tiny, pictures, tmp_path: Path, schedule, edit):
    whole = run(tiny, pictures, schedule=schedule, edit_name=edit)
    save_patch(whole.patch, tmp_path / "whole")

    class Stop(Exception):
        pass

    data = dataset(pictures)
    drawn = draw(data, len(pictures), 0)
    steps = 0

    def stop_soon(step):
        nonlocal steps
        steps += 1
        if steps == 5:
            raise Stop

    with RunStore.open(tmp_path) as store:
        with pytest.raises(Stop):
            score_heads(LocalEngine(tiny), data, drawn, settings(schedule=schedule, edit_name=edit), store, stop_soon)
        rest = score_heads(LocalEngine(tiny), data, drawn, settings(schedule=schedule, edit_name=edit), store)
        again = score_heads(LocalEngine(tiny), data, drawn, settings(schedule=schedule, edit_name=edit), store)
    assert rest.reused > 0 and rest.reused + rest.decoded == whole.decoded
    assert again.decoded == 0
    save_patch(rest.patch, tmp_path / "rest")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "rest").read_bytes()


def test_another_edit_never_reuses_a_caption(tiny, pictures, tmp_path: Path):
    with RunStore.open(tmp_path) as store:
        run(tiny, pictures, store)
        assert run(tiny, pictures, store, edit_name="ablate").reused == 0
        assert run(tiny, pictures, store, generation=Generation(max_new_tokens=5)).reused == 0


def test_unscored_layers_are_unset(tiny, pictures):
    patch = run(tiny, pictures, layers=(1,)).patch
    assert np.isnan(patch.alpha[[0, 2]]).all() and np.isfinite(patch.alpha[1]).all()
    assert patch.samples.tolist() == [[0] * 4, [5] * 4, [0] * 4]
    assert (patch.coefficients()[[0, 2]] == 1).all()


def test_the_model_is_left_unchanged(tiny, pictures):
    before = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    run(tiny, pictures, schedule=Schedule.SEQUENTIAL)
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.model.state_dict().items())


def test_limits_hold_the_mean_and_shrink_to_it_without_spread(tiny, pictures):
    result = run(tiny, pictures)
    low, high = result.alpha_limits
    alpha = result.patch.alpha
    assert (low <= alpha + 1e-6).all() and (alpha <= high + 1e-6).all() and (high - low).max() > 0
    same = run(tiny, [pictures[0]] * 3)
    np.testing.assert_allclose(same.alpha_limits[0], same.alpha_limits[1])


class Broken(Overlap):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def score(self, batch):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(super().score(batch))


@pytest.mark.parametrize(
    "answer",
    [
        lambda good: good[:-1],
        lambda good: [float("nan"), *good[1:]],
        lambda good: ["x" for _ in good],
        ZeroDivisionError(),
    ],
)
def test_a_scorer_that_misbehaves_is_named(tiny, pictures, answer):
    with pytest.raises(PluginError, match="scorer Broken"):
        run(tiny, pictures, scorer=Broken(answer))


def test_gold_scorer_without_gold(tiny, pictures):
    data = dataset(pictures, captions=())
    with pytest.raises(UsageError, match="gold"):
        score_heads(LocalEngine(tiny), data, draw(data, 2, 0), settings(scorer=GoldOverlap()))
