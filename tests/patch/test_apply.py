"""A patch on a model: hook = fold, and afterwards the very tensors."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
import torch

from headprune import Generation, applied, load_model
from headprune.errors import PatchError
from headprune.patch.apply import folded
from headprune.patch.fit import check_fit, fingerprint
from headprune.testing.slow import hooked_tower
from tests.support import slow
from tests.support.patches import patch_for

GENERATION = Generation(max_new_tokens=8)
COEFFICIENTS = np.array([[0, 1, 2.5, 0.3], [1, 1, 1, 1], [0, 0, 0, 0]], np.float32)


def test_applied_equals_hooks(tiny, pictures):
    pixels = tiny.prepare(pictures)
    with hooked_tower(tiny, COEFFICIENTS):
        states = tiny.trace(pixels, depths=[3]).states[3]
        said = slow.vanilla_captions(tiny, pixels, GENERATION)
    with applied(tiny, COEFFICIENTS):
        torch.testing.assert_close(tiny.trace(pixels, depths=[3]).states[3], states, atol=1e-5, rtol=1e-5)
        assert slow.vanilla_captions(tiny, pixels, GENERATION) == said
    assert slow.vanilla_captions(tiny, pixels, GENERATION) != said


@pytest.mark.parametrize("fails", [False, True])
def test_revert_puts_the_very_tensors_back(tiny, fails):
    before = dict(tiny.model.named_parameters())
    values = {name: parameter.detach().clone() for name, parameter in before.items()}
    with ExitStack() as stack:
        if fails:
            stack.enter_context(pytest.raises(ZeroDivisionError))
        with applied(tiny, COEFFICIENTS):
            assert not torch.equal(
                tiny.sites[2].output.weight, values["vision_model.encoder.layers.2.self_attn.projection.weight"]
            )
            if fails:
                raise ZeroDivisionError
    after = dict(tiny.model.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is before[name] and torch.equal(after[name], values[name]) for name in before)


def test_ones_touch_nothing(tiny):
    weights = [site.output.weight for site in tiny.sites]
    with applied(tiny, np.ones((3, 4), np.float32)):
        assert all(site.output.weight is weight for site, weight in zip(tiny.sites, weights, strict=True))


@pytest.mark.parametrize("bad", [np.ones((2, 4)), np.full((3, 4), np.nan), np.ones((3, 5))])
def test_coefficients_that_do_not_fit(tiny, bad):
    with pytest.raises(PatchError), applied(tiny, bad.astype(np.float32)):
        pass


def test_folding_in_bfloat16_rounds_once():
    weight = torch.randn(8, 12).to(torch.bfloat16)
    s = torch.tensor([0.3, 1.7, 1.0])
    columns = torch.tensor([0.3] * 4 + [1.7] * 4 + [1.0] * 4)
    assert torch.equal(folded(weight, s), (weight.double() * columns.double()).float().to(torch.bfloat16))


def test_fit_is_judged_by_geometry_and_weights(tiny, tiny_folder):
    patch = patch_for(tiny, np.zeros((3, 4)))
    check_fit(patch, tiny)
    check_fit(patch, load_model(str(tiny_folder)))
    with pytest.raises(PatchError, match="layers"):
        check_fit(patch_for(tiny, np.zeros((3, 4))).__class__(*_reshaped(patch)), tiny)
    with torch.no_grad():
        tiny.sites[1].output.weight[0, 0] += 1
    with pytest.raises(PatchError, match="other weights"):
        check_fit(patch, tiny)
    check_fit(patch, tiny, allow_other_weights=True)


def _reshaped(patch):
    record = patch.info.model.model_copy(update={"layers": 2})
    info = patch.info.model_copy(update={"model": record})
    return patch.importance[:2], patch.alpha[:2], patch.scale[:2], patch.samples[:2], info


def test_fingerprint_is_the_same_in_bfloat16(tiny):
    before = fingerprint(tiny)
    tiny.model.to(torch.bfloat16)
    assert fingerprint(tiny) == before
