"""Derivatives by head coefficients against finite differences, and what a way back through a model leaves behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from headprune_likelihood.gradient import Gradient

from headprune import Generation
from headprune.hooks.catalogue import catalogue
from headprune.patch.file import save_patch
from headprune.runs.store import RunStore
from headprune.scoring.algorithm import score_heads
from headprune.scoring.gradients import _scaled, head_gradients
from headprune.scoring.sampling import draw
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.worker import LocalEngine
from headprune.testing.slow import hooked
from headprune.towers.batches import Batch
from tests.support import slow
from tests.support.samples import dataset

GENERATION = Generation(max_new_tokens=5)
CAPTIONS = ["word24 word14", "", "word1 word2 word3 word4 word5"]


def run(adapter, pictures, store=None, progress=lambda step: None, **changes):
    data = dataset(pictures)
    edit = catalogue().load("edit", "isolate").configured({})
    settings = ScoreSettings((0, 1, 2), edit, "isolate", Gradient(), "gradient", Batch(2, 2), generation=GENERATION)
    return score_heads(
        LocalEngine(adapter), data, draw(data, len(pictures), 0), replace(settings, **changes), store, progress
    )


def test_equals_finite_differences(tiny, pictures, monkeypatch):
    tiny.model.double()
    # T5 takes its norms and softmaxes in float32 whatever its dtype, which no small step survives.
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    step = 1e-5
    pixels = tiny.prepare(pictures[:3])
    found = head_gradients(tiny, pixels, CAPTIONS, GENERATION)
    expected = torch.zeros_like(found)
    for row, caption in enumerate(CAPTIONS):
        for layer in range(3):
            for head in range(4):
                for sign in (1, -1):
                    s = torch.ones(4, dtype=torch.float64)
                    s[head] += sign * step
                    with hooked(tiny, layer, s), torch.no_grad():
                        loss = slow.caption_loss(tiny, pixels[row : row + 1], caption, GENERATION)
                    expected[row, layer, head] += sign * loss / (2 * step)
    assert expected.abs().max() > 0.05
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-5)


def test_importance_is_the_mean_absolute_derivative_of_the_unchanged_captions_loss(tiny, pictures):
    result = run(tiny, pictures)
    samples = draw(dataset(pictures), len(pictures), 0).samples
    pixels = tiny.prepare([sample.load() for sample in samples])
    said = slow.vanilla_captions(tiny, pixels, GENERATION)
    expected = head_gradients(tiny, pixels, said, GENERATION).abs().numpy()
    np.testing.assert_allclose(result.per_sample, expected, atol=1e-5, rtol=1e-3)
    np.testing.assert_allclose(result.patch.importance, expected.mean(0), atol=1e-5, rtol=1e-3)
    info = result.patch.info
    assert (info.edit, info.decode_at, info.comparable) == ({"name": "derivative"}, "last", "across-layers")


def test_coefficients_of_one_change_no_bit(tiny, pictures):
    pixels = tiny.prepare(pictures)
    plain = tiny.trace(pixels, depths=[3]).states[3]
    with _scaled(tiny, torch.ones(5, 3, 4)):
        assert torch.equal(tiny.trace(pixels, depths=[3]).states[3], plain)
    halved = torch.ones(5, 3, 4)
    halved[2, 1, 3] = 0.5
    with _scaled(tiny, halved):
        moved = (tiny.trace(pixels, depths=[3]).states[3] != plain).flatten(1).any(1)
    assert moved.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(tiny, pictures, fails, monkeypatch):
    pixels = tiny.prepare(pictures[:3])
    some = next(tiny.model.parameters())
    some.requires_grad_(False)
    asking = {name: parameter.requires_grad for name, parameter in tiny.model.named_parameters()}
    before = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    asked = []

    def likelihood(states, captions, generation, form=None):
        asked.extend(parameter.requires_grad for parameter in tiny.model.parameters())
        if fails:
            raise ValueError("meant")
        return type(tiny).likelihood(tiny, states, captions, generation)

    monkeypatch.setattr(tiny, "likelihood", likelihood)
    with pytest.raises(ValueError, match="meant") if fails else torch.no_grad():
        head_gradients(tiny, pixels, CAPTIONS, GENERATION)
    assert asked and not any(asked)
    assert asking == {name: parameter.requires_grad for name, parameter in tiny.model.named_parameters()}
    assert sorted({*asking.values()}) == [False, True]
    assert all(parameter.grad is None for parameter in tiny.model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.model.state_dict().items())
    assert not any(site.output._forward_pre_hooks or site.layer._forward_hooks for site in tiny.sites)


def test_batch_size_changes_nothing_and_a_pass_is_made_once_a_picture(tiny, pictures, monkeypatch):
    likelihood, rows = tiny.likelihood, []
    monkeypatch.setattr(tiny, "likelihood", lambda s, *rest: rows.append(len(s)) or likelihood(s, *rest))
    one, two, all_ = (run(tiny, pictures, batch=batch).per_sample for batch in (Batch(1, 1), Batch(2, 2), Batch(9, 9)))
    assert rows == [1, 1, 1, 1, 1, 2, 2, 1, 5]
    np.testing.assert_allclose(two, one, atol=1e-5, rtol=1e-3)
    np.testing.assert_allclose(all_, one, atol=1e-5, rtol=1e-3)


def test_a_run_that_stopped_goes_on_to_the_same_bytes(tiny, pictures, tmp_path: Path):
    whole = run(tiny, pictures)
    save_patch(whole.patch, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(step):
        if step.stage == "gradients" and step.done:
            raise Stop

    with RunStore.open(tmp_path) as store:
        with pytest.raises(Stop):
            run(tiny, pictures, store, stop)
        rest = run(tiny, pictures, store)
        again = run(tiny, pictures, store)
    assert whole.decoded == 5 + 5 * 3 * 4 and rest.decoded == 3 * 3 * 4 and again.decoded == 0
    save_patch(rest.patch, tmp_path / "rest")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "rest").read_bytes()


def test_only_the_layers_asked_for(tiny, pictures):
    patch = run(tiny, pictures, layers=(1,)).patch
    np.testing.assert_array_equal(np.isfinite(patch.importance), [[False] * 4, [True] * 4, [False] * 4])
    np.testing.assert_array_equal(patch.importance[1], run(tiny, pictures).patch.importance[1])
