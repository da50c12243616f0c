"""Scoring by next-token distributions against plain loops, and the identities that a run must keep."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from headprune_likelihood.logit import Logit

from headprune import Generation, LogitScorer, PluginError
from headprune.hooks.catalogue import catalogue
from headprune.patch.file import save_patch
from headprune.runs.store import RunStore
from headprune.scoring.algorithm import score_heads
from headprune.scoring.sampling import draw
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.worker import LocalEngine
from headprune.testing.slow import hooked, stopped_after
from headprune.towers import memory
from headprune.towers.batches import Batch
from headprune.types import DecodePoint, Schedule
from tests.support import slow
from tests.support.samples import dataset

GENERATION = Generation(max_new_tokens=5)
MEASURES = ("kl", "likelihood")


def settings(**changes) -> ScoreSettings:
    name, measure = changes.pop("edit_name", "ablate"), changes.pop("measure", "kl")
    edit = catalogue().load("edit", name).configured({})
    scorer = Logit.configured({"measure": measure})
    base = ScoreSettings((0, 1, 2), edit, name, scorer, "logit", Batch(8, 2), generation=GENERATION)
    return replace(base, **changes)


def run(adapter, pictures, store=None, progress=lambda step: None, **changes):
    data = dataset(pictures)
    return score_heads(LocalEngine(adapter), data, draw(data, len(pictures), 0), settings(**changes), store, progress)


def distance(changed: torch.Tensor, unchanged: torch.Tensor, tokens: torch.Tensor, measure: str) -> float:
    """The score of one row, written out; [S, V], [S, V], [S]."""
    if measure == "likelihood":
        return sum(float(row[token]) for row, token in zip(changed, tokens, strict=True))
    per_token = [
        sum(float(p.exp() * (p - q)) for q, p in zip(c, u, strict=True))
        for c, u in zip(changed, unchanged, strict=True)
    ]
    return -sum(per_token) / len(per_token)


@torch.no_grad()
def slow_importances(
    adapter, pictures, edit: str, last: bool, measure: str, layers=(0, 1, 2), earlier=None
) -> np.ndarray:
    """[m, layers, H]: one picture and one hooked forward a head. `earlier` is a context that changes earlier layers."""
    samples = draw(dataset(pictures), len(pictures), 0).samples
    pixels = adapter.prepare([sample.load() for sample in samples])
    values = np.zeros((len(samples), len(layers), 4))
    for column, layer in enumerate(layers):
        for row in range(len(samples)):
            one = pixels[row : row + 1]
            stop = nullcontext() if last else stopped_after(adapter, layer)
            with stop:
                (caption,) = slow.vanilla_captions(adapter, one, GENERATION)
                before, tokens = slow.next_tokens(adapter, one, caption, GENERATION)
            for head in range(4):
                s = torch.zeros(4) if edit == "isolate" else torch.ones(4)
                s[head] = 1 - s[head]
                with ExitStack() as stack:
                    if earlier is not None:
                        stack.enter_context(earlier(layer))
                    if not last:
                        stack.enter_context(stopped_after(adapter, layer))
                    stack.enter_context(hooked(adapter, layer, s))
                    after, _ = slow.next_tokens(adapter, one, caption, GENERATION)
                score = distance(after, before, tokens, measure)
                keeps = edit == "isolate"
                values[row, column, head] = score if keeps else distance(before, before, tokens, measure) - score
    return values


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("point", DecodePoint)
@pytest.mark.parametrize("edit", ["isolate", "ablate"])
def test_equals_the_slow_version(tiny, pictures, edit, point, measure):
    result = run(tiny, pictures[:3], edit_name=edit, decode_at=point, measure=measure)
    expected = slow_importances(tiny, pictures[:3], edit, point is DecodePoint.LAST, measure)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(result.per_sample, expected, atol=2e-4, rtol=1e-4)
    alpha = np.exp(expected.mean(0)) / np.exp(expected.mean(0)).sum(-1, keepdims=True)
    np.testing.assert_allclose(result.patch.alpha, alpha, atol=1e-4)


@pytest.mark.parametrize("point", DecodePoint)
def test_sequential_compares_a_changed_model_with_the_unchanged_one(tiny, pictures, point):
    result = run(tiny, pictures[:2], schedule=Schedule.SEQUENTIAL, decode_at=point)
    scale = torch.tensor(result.patch.scale)

    def earlier(layer: int) -> ExitStack:
        stack = ExitStack()
        for below in range(layer):
            stack.enter_context(hooked(tiny, below, scale[below]))
        return stack

    expected = slow_importances(tiny, pictures[:2], "ablate", point is DecodePoint.LAST, "kl", earlier=earlier)
    np.testing.assert_allclose(result.per_sample, expected, atol=2e-4, rtol=1e-4)
    plain = run(tiny, pictures[:2], decode_at=point)
    assert not np.allclose(plain.per_sample[:, 1:], expected[:, 1:], atol=1e-3)


@pytest.mark.parametrize("measure", MEASURES)
def test_an_edit_that_changes_nothing_matters_nothing(tiny, pictures, measure):
    scale = catalogue().load("edit", "scale").configured({"factor": 1})
    result = run(tiny, pictures, edit=scale, edit_name="scale", measure=measure)
    np.testing.assert_allclose(result.per_sample, 0, atol=1e-4)


@pytest.mark.parametrize("measure", MEASURES)
def test_batch_size_changes_nothing(tiny, pictures, measure):
    first, *others = (
        run(tiny, pictures, batch=batch, edit_name="mean-ablate", measure=measure).per_sample
        for batch in (Batch(1, 1), Batch(7, 2), Batch(64, 5))
    )
    assert np.ptp(first) > 0.1
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-4, rtol=1e-5)


def test_rows_are_bounded_by_the_memory_that_their_distributions_take(tiny, pictures, monkeypatch):
    plenty = run(tiny, pictures, batch=Batch(64, 5)).per_sample
    likelihood, rows = tiny.likelihood, []
    monkeypatch.setattr(tiny, "likelihood", lambda s, *rest: rows.append(len(s)) or likelihood(s, *rest))
    # Eight distributions of five tokens, four bytes a number, for nine rows: two pictures of four heads.
    monkeypatch.setattr(memory, "_CPU_BUDGET", 9 * 8 * 5 * tiny.vocabulary * 4)
    scant = run(tiny, pictures, batch=Batch(64, 5)).per_sample
    assert sorted(set(rows)) == [1, 2, 4, 8] and sum(rows) == 5 * 3 * (4 + 1)
    np.testing.assert_allclose(scant, plenty, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize("point", DecodePoint)
def test_a_run_that_stopped_goes_on_to_the_same_bytes(tiny, pictures, tmp_path: Path, schedule, point):
    chosen = {"schedule": schedule, "decode_at": point, "edit_name": "mean-ablate"}
    steps = []
    whole = run(tiny, pictures, progress=steps.append, **chosen)
    save_patch(whole.patch, tmp_path / "whole")
    # Every stage ends with all that it set out to do.
    assert {step.stage: step.done for step in steps} == {step.stage: step.total for step in steps}
    assert sum({step.stage: step.total for step in steps}.values()) == whole.decoded

    class Stop(Exception):
        pass

    for when in range(3, len(steps), 3):
        left = iter(range(when))

        def stop(step, left=left):
            if next(left, None) is None:
                raise Stop

        folder = tmp_path / str(when)
        folder.mkdir()
        with RunStore.open(folder) as store:
            with pytest.raises(Stop):
                run(tiny, pictures, store, stop, **chosen)
            rest = run(tiny, pictures, store, **chosen)
            again = run(tiny, pictures, store, **chosen)
        assert rest.reused > 0 and rest.reused + rest.decoded == whole.decoded == again.reused
        save_patch(rest.patch, tmp_path / "rest")
        assert (tmp_path / "whole").read_bytes() == (tmp_path / "rest").read_bytes()


def test_another_measure_never_reuses_a_score(tiny, pictures, tmp_path: Path):
    with RunStore.open(tmp_path) as store:
        run(tiny, pictures, store)
        captions = len(pictures) * 3
        assert run(tiny, pictures, store, measure="likelihood").reused == captions
        assert run(tiny, pictures, store, edit_name="isolate").reused == 0


def test_no_caption_is_generated_for_a_head_and_no_weight_changes(tiny, pictures, monkeypatch):
    decode, rows = tiny.decode, []
    monkeypatch.setattr(tiny, "decode", lambda states, *how: rows.append(len(states)) or decode(states, *how))
    before = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    run(tiny, pictures, decode_at=DecodePoint.LAST, schedule=Schedule.SEQUENTIAL)
    assert sum(rows) == len(pictures)
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.model.state_dict().items())


class Broken(LogitScorer):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def score(self, rows):
        return self.answer(Logit().score(rows))


@pytest.mark.parametrize(
    "answer",
    [
        lambda good: good[:-1],
        lambda good: good.tolist(),
        lambda good: good / 0,
        lambda good: good.nosuch(),
    ],
)
def test_a_scorer_that_misbehaves_is_named(tiny, pictures, answer):
    with pytest.raises(PluginError, match="scorer Broken"):
        run(tiny, pictures[:2], scorer=Broken(answer))


def test_lower_is_better_is_turned_around(tiny, pictures):
    class Farness(Broken):
        higher_is_better = False

    turned = run(tiny, pictures[:2], scorer=Farness(torch.neg)).per_sample
    np.testing.assert_array_equal(turned, run(tiny, pictures[:2]).per_sample)
