"""Decoding a layer's output: the model's own code, and nothing else."""

from __future__ import annotations

import pytest
import torch

from headprune import Generation, ModelError, answering
from headprune.testing.slow import stopped_after
from tests.support import slow

GENERATION = Generation(max_new_tokens=8)


def test_the_last_layer_says_what_the_model_says(tiny, pictures):
    pixels = tiny.prepare(pictures)
    states = tiny.trace(pixels, depths=[3]).states[3]
    assert tiny.decode(states, GENERATION) == slow.vanilla_captions(tiny, pixels, GENERATION)


@pytest.mark.parametrize("generation", [Generation(num_beams=3, max_new_tokens=8), Generation(1, 8, "word3 word4")])
def test_beams_and_prompts_reach_the_language_model(tiny, pictures, generation):
    pixels = tiny.prepare(pictures)
    states = tiny.trace(pixels, depths=[3]).states[3]
    assert tiny.decode(states, generation) == slow.vanilla_captions(tiny, pixels, generation)
    assert tiny.decode(states, generation) != tiny.decode(states, GENERATION)


def test_an_earlier_layer_says_what_a_model_without_the_later_ones_says(tiny, pictures):
    pixels = tiny.prepare(pictures)
    states = tiny.trace(pixels, depths=[1, 2]).states
    for layer in (0, 1):
        with stopped_after(tiny, layer):
            assert tiny.decode(states[layer + 1], GENERATION) == slow.vanilla_captions(tiny, pixels, GENERATION)


def test_batched_equals_one_by_one(tiny, pictures):
    states = tiny.trace(tiny.prepare(pictures), depths=[2]).states[2]
    single = [tiny.decode(states[row : row + 1], GENERATION)[0] for row in range(len(pictures))]
    assert tiny.decode(states, GENERATION) == single


def test_states_are_the_models_own_hidden_states(tiny, pictures):
    pixels = tiny.prepare(pictures)
    hidden = tiny.model.vision_model(pixels, output_hidden_states=True).hidden_states
    states = tiny.trace(pixels, depths=range(4)).states
    for depth in range(4):
        assert torch.equal(states[depth], hidden[depth])


def test_an_attention_that_is_not_asked_is_an_error(tiny):
    with pytest.raises(ModelError, match="asked 0 times"), answering(tiny.sites[0].attention, None):
        pass


def test_answering_puts_the_forward_back_after_an_exception(tiny, pictures):
    attention = tiny.sites[0].attention
    with pytest.raises(ValueError, match="meant"), answering(attention, None):
        raise ValueError("meant")
    assert "forward" not in vars(attention)


def test_tracing_leaves_no_hook_behind(tiny, pictures):
    def hooks():
        return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in tiny.model.modules())

    before = hooks()
    with pytest.raises(RuntimeError):
        tiny.trace(torch.zeros(1, 3, 5, 5), range(3))
    tiny.trace(tiny.prepare(pictures), range(3))
    assert hooks() == before
