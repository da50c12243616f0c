"""Towers whose forward derives the width of a head from the number of heads: right when heads are gone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from headprune_transformers.families import FAMILIES
from headprune_transformers.sliced import keep_heads

from headprune import Generation, load_model, sliced
from headprune.testing.slow import hooked_tower
from tests.support import slow, tiny

GENERATION = Generation(max_new_tokens=8)
H, DH = 16, 4
OTHER = {"blip2-t5": "Blip2Attention", "instructblip": "InstructBlipAttention"}


@pytest.fixture(scope="module", params=["blip2-t5", "instructblip", "without biases"])
def many_heads(request, tmp_path_factory):
    """A tower of 3 layers of 16 heads of 4, width 64."""
    family = request.param if request.param in OTHER else "blip2-t5"
    folder = tmp_path_factory.mktemp("many")
    biased = request.param in OTHER
    vision = {"hidden_size": H * DH, "num_attention_heads": H, "qkv_bias": biased}
    adapter = load_model(str(tiny.build(family, folder, **vision)))
    assert (adapter.sites[0].qkv[0].bias is not None) == biased
    return adapter


def without(*pruned: list[int]) -> np.ndarray:
    s = np.ones((3, H), np.float32)
    for layer, heads in enumerate(pruned):
        s[layer, heads] = 0
    return s


# 64 // 15 is 4, the width a head has, and so are 64 // 14 and 64 // 13; 64 // 12 is 5.
LUCKY, UNLUCKY = [[3], [], [0, 7, 15]], [[3, 4, 5, 6], [], [0, 1, 14, 15]]


@pytest.mark.parametrize("pruned", [LUCKY, UNLUCKY, [[], [*range(15)], [*range(16)]]])
def test_any_number_of_heads_equals_hooks(many_heads, pictures, pruned):
    s, pixels = without(*pruned), many_heads.prepare(pictures)
    with hooked_tower(many_heads, s):
        states = many_heads.trace(pixels, depths=[3]).states[3]
        said, logits = slow.vanilla_answers(many_heads, pixels, GENERATION)
    made = sliced(many_heads, s)
    torch.testing.assert_close(made.trace(pixels, depths=[3]).states[3], states, atol=5e-5, rtol=5e-5)
    found, found_logits = slow.vanilla_answers(made, pixels, GENERATION)
    assert found == said
    torch.testing.assert_close(found_logits, logits, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(("pruned", "runs"), [(LUCKY, True), (UNLUCKY, False)])
def test_the_familys_own_forward_runs_by_luck_at_most(many_heads, pictures, pruned, runs):
    """What the others guard against: a tower left unpatched would pass with few heads gone, and fail with more."""
    made = sliced(many_heads, without(*pruned))
    pixels = made.prepare(pictures)
    for site, theirs in zip(made.sites, many_heads.sites, strict=True):
        site.attention.__class__ = type(theirs.attention)
    if runs:
        made.encode(pixels)
    else:
        with pytest.raises(RuntimeError, match="shape"):
            made.encode(pixels)


@pytest.mark.parametrize("pruned", [LUCKY, UNLUCKY])
def test_layers_that_lost_a_head_run_the_narrow_forward_and_the_others_their_own(many_heads, pruned):
    made = sliced(many_heads, without(*pruned))
    for site, theirs, heads in zip(made.sites, many_heads.sites, pruned, strict=True):
        own = type(theirs.attention)
        assert own.__module__.startswith("transformers.") and own.__name__ in OTHER.values()
        kind = type(site.attention)
        assert isinstance(site.attention, own)
        assert (kind is own) == (not heads) and (kind.forward is own.forward) == (not heads)
    assert type(made.sites[0].attention) is type(made.sites[2].attention)


def test_slicing_again_narrows_no_class_twice(many_heads, pictures):
    once = sliced(many_heads, without(*LUCKY))
    s = np.ones((3, H), np.float32)
    s[0, :5] = 0
    again = sliced(once, s)
    assert [type(site.attention) for site in again.sites] == [type(site.attention) for site in once.sites]
    straight = sliced(many_heads, without([0, 1, 2, 3, 4, 5], [], LUCKY[2]))
    pixels = many_heads.prepare(pictures)
    states = [made.trace(pixels, depths=[3]).states[3] for made in (again, straight)]
    assert torch.equal(*states)


def test_attention_that_is_looked_at(many_heads, pictures):
    """Eager attention hands its weights out: those of the heads that are left."""
    s, pixels = without([3, 9], [], []), many_heads.prepare(pictures)
    made = sliced(many_heads, s)
    for adapter in (many_heads, made):
        adapter.model.set_attn_implementation("eager")
    try:
        with torch.no_grad(), hooked_tower(many_heads, s):
            theirs = many_heads.tower(pixels, output_attentions=True)
        with torch.no_grad():
            ours = made.tower(pixels, output_attentions=True)
    finally:
        many_heads.model.set_attn_implementation("sdpa")
    torch.testing.assert_close(ours.last_hidden_state, theirs.last_hidden_state, atol=5e-5, rtol=5e-5)
    kept = [head for head in range(H) if head not in (3, 9)]
    assert ours.attentions[0].shape[1] == len(kept)
    torch.testing.assert_close(ours.attentions[0], theirs.attentions[0][:, kept], atol=5e-6, rtol=5e-5)


def test_training_goes_on(many_heads, pictures):
    """The weights that are left are parameters of their own, with gradients."""
    made = sliced(many_heads, without(*UNLUCKY))
    made.tower(made.prepare(pictures)).last_hidden_state.square().mean().backward()
    for site in made.sites:
        assert all(parameter.grad.abs().max() > 0 for parameter in (site.qkv[0].weight, site.output.weight))
    made.model.zero_grad()
    assert all(parameter.grad is None for parameter in many_heads.model.parameters())


@pytest.mark.parametrize("heads", [[1, 0], [0, 0], [H], [-1], [0.0], ["0"], [True]], ids=str)
def test_heads_that_are_not_there(many_heads, heads):
    made = sliced(many_heads, without())
    with pytest.raises(ValueError, match="are not heads of a layer that has 16"):
        keep_heads(made.model, FAMILIES["blip-2"].sliceable("Blip2ForConditionalGeneration"), [heads] * 3)
    assert made.geometry == many_heads.geometry


@pytest.mark.parametrize("layers", [0, 2, 4])
def test_layers_that_are_not_there(many_heads, layers):
    made = sliced(many_heads, without())
    with pytest.raises(ValueError, match=f"given for {layers} layers, the tower has 3"):
        keep_heads(made.model, FAMILIES["blip-2"].sliceable("Blip2ForConditionalGeneration"), [[0]] * layers)
    assert made.geometry == many_heads.geometry
