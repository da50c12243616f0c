"""Samples that are lost in the middle of a run: the result is that of a run on the others alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from headprune_likelihood.gradient import Gradient
from headprune_likelihood.logit import Logit

from headprune import Generation, Notice, PictureError
from headprune.errors import DataError, SampleError
from headprune.hooks.catalogue import catalogue
from headprune.runs.sessions import Log, last_session
from headprune.runs.store import RunStore
from headprune.scoring.algorithm import ScoreResult, score_heads
from headprune.scoring.sampling import draw
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.sweep import SweepPlan, sweep
from headprune.scoring.worker import LocalEngine
from headprune.towers.batches import Batch
from headprune.types import Dataset, Schedule
from tests.support.samples import Overlap, dataset

WAYS = {
    "captions": {},
    "means": {"edit": "mean-ablate"},
    "sequential": {"schedule": Schedule.SEQUENTIAL},
    "logit": {"scorer": Logit()},
    "gradient": {"scorer": Gradient()},
}


def settings(edit: str = "isolate", **changes) -> ScoreSettings:
    made = catalogue().load("edit", edit).configured({})
    base = ScoreSettings(
        (0, 1, 2), made, edit, Overlap(), "overlap", Batch(7, 2), generation=Generation(max_new_tokens=4)
    )
    return replace(base, **changes)


def breaking(data: Dataset, number: int, after: int) -> Dataset:
    """The dataset, one of whose pictures opens `after` times and not again."""
    opened = 0
    whole = data.samples[number]

    def load():
        nonlocal opened
        opened += 1
        if opened > after:
            raise PictureError("it is gone")
        return whole.load()

    samples = [*data.samples]
    samples[number] = replace(whole, load=load)
    return replace(data, samples=tuple(samples))


def run(adapter, data: Dataset, how: ScoreSettings, store: RunStore | None = None) -> ScoreResult:
    return score_heads(LocalEngine(adapter), data, draw(data, len(data), 0), how, store)


def without(data: Dataset, number: int) -> Dataset:
    return replace(data, samples=tuple(sample for row, sample in enumerate(data.samples) if row != number))


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_picture_that_is_gone_in_the_middle_is_left_out(tiny, pictures, tmp_path: Path, way, stored):
    data = dataset(pictures)
    lost = draw(data, len(data), 0).samples[3]
    number = [sample.id for sample in data.samples].index(lost.id)
    how = settings(**WAYS[way])
    order = [sample.id for sample in draw(data, len(data), 0).samples if sample.id != lost.id]
    alone = without(data, number)
    alone_drawn = draw(alone, len(alone), 0)
    alone_drawn = replace(
        alone_drawn, samples=tuple(sorted(alone_drawn.samples, key=lambda sample: order.index(sample.id)))
    )
    expected = score_heads(LocalEngine(tiny), alone, alone_drawn, how)
    store = RunStore.open(tmp_path) if stored else None
    if store:
        store.log = Log(store, {})
    with pytest.warns(Notice, match=f"left out, the run goes on without it: sample {lost.id}: it is gone"):
        # It opens when samples are drawn, and in some pass behind that no more.
        found = run(tiny, breaking(data, number, after=1), how, store)
    assert list(found.patch.info.sample_ids) == order == list(expected.patch.info.sample_ids)
    np.testing.assert_allclose(found.per_sample, expected.per_sample, rtol=1e-4, atol=1e-6)
    assert [(out.id, out.reason) for out in found.drawn.left_out] == [(lost.id, "it is gone")]
    if store:
        (error,) = last_session(store).errors
        assert (error.kind, error.sample) == ("SampleError", lost.id) and "it is gone" in error.message
        store.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_picture_of_which_the_model_makes_no_number_is_left_out(tiny, pictures, monkeypatch, way):
    data = dataset(pictures)
    lost, prepare = draw(data, len(data), 0).samples[1], tiny.prepare

    def poisoned(given):
        pixels = prepare(given)
        for row, picture in enumerate(given):
            if picture is lost.load():
                pixels[row] = torch.nan
        return pixels

    monkeypatch.setattr(tiny, "prepare", poisoned)
    with pytest.warns(
        Notice, match=rf"sample {lost.id}: layer \d.* says what is no number \(NaN or infinite, torch.float32\)"
    ):
        found = run(tiny, data, settings(**WAYS[way]))
    assert lost.id not in found.patch.info.sample_ids and len(found.patch.info.sample_ids) == len(data) - 1
    assert np.isfinite(found.per_sample).all()


def test_a_picture_of_which_the_language_model_makes_no_number_is_left_out(tiny, pictures):
    data = dataset(pictures)
    drawn, how = draw(data, len(data), 0), settings()
    plan = SweepPlan(how.layers, how.layers, how.edit, how.decode_at, how.generation, how.batch)
    said: dict[str, set[str]] = {sample.id: set() for sample in drawn.samples}
    sweep(tiny, drawn.samples, plan, lambda some: [said[key[0]].update(some[key].split()) for key in some])
    # A word that is said of one picture alone: over it the language model stumbles.
    words = Counter(word for some in said.values() for word in some)
    lost, word = next((id_, word) for id_, some in said.items() for word in sorted(some) if words[word] == 1)
    token = tiny.tokenizer.convert_tokens_to_ids(word)
    expected = score_heads(LocalEngine(tiny), data, drawn.without(lost, "it is left out"), how)

    def stumble(module, args, answer):
        answer.logits = answer.logits.masked_fill(answer.logits.argmax(-1, keepdim=True) == token, torch.nan)
        return answer

    tiny.model.language_model.register_forward_hook(stumble)
    with pytest.warns(
        Notice, match=rf"sample {lost}: the model says what is no number \(NaN or infinite, torch.float32"
    ):
        found = score_heads(LocalEngine(tiny), data, drawn, how)
    assert found.patch.info.sample_ids == expected.patch.info.sample_ids and lost not in found.patch.info.sample_ids
    np.testing.assert_allclose(found.per_sample, expected.per_sample, rtol=1e-4, atol=1e-6)


def test_too_many_lost_samples_end_the_run_and_keep_what_was_made(tiny, pictures, tmp_path: Path):
    data = dataset(pictures)
    broken = breaking(breaking(data, 0, after=2), 2, after=2)
    with RunStore.open(tmp_path) as store:
        with (
            pytest.warns(Notice, match="left out"),
            pytest.raises(
                DataError,
                match=f"2 of {len(data)} samples could not be worked on; the last, sample p[02].png: it is gone",
            ),
        ):
            run(tiny, broken, settings(schedule=Schedule.SEQUENTIAL), store)
        kept = sum(len(store.captions(context)) for context in store.contexts())
        mended = run(tiny, data, settings(schedule=Schedule.SEQUENTIAL), store)
        assert kept == mended.reused > 0


def test_an_error_of_a_sample_crosses_processes():
    import pickle

    error = pickle.loads(pickle.dumps(SampleError("a.png", "it is gone", "mend it")))
    assert (error.sample, error.reason, error.hint) == ("a.png", "it is gone", "mend it")
    assert error.message == "sample a.png: it is gone"
