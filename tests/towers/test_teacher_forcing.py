"""What a model thinks of a caption: what it said itself is what it holds most likely, and its own forward agrees."""

from __future__ import annotations

import pytest
import torch
from headprune_transformers.captions import caption_ids
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from headprune import Generation, load_model, open_dataset
from headprune.testing.slow import stopped_after
from tests.support import slow

GENERATION = Generation(max_new_tokens=6)
PROMPTED = Generation(max_new_tokens=6, prompt="word3 word4")
CAPTIONS = ["word24 word14", "", "word1 word2 word3 word4 word5 word6", "word7", "word9 word9 word9"]


def states_of(tiny, pictures, depth: int = 3) -> torch.Tensor:
    return tiny.trace(tiny.prepare(pictures), depths=[depth]).states[depth]


@pytest.mark.parametrize("generation", [GENERATION, PROMPTED], ids=["own prompt", "prompt"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_greedy_caption_is_the_likeliest_token_by_token(tiny, pictures, depth, generation, monkeypatch):
    states = states_of(tiny, pictures, depth)
    made = []
    generate = tiny.model.generate
    monkeypatch.setattr(tiny.model, "generate", lambda **how: made.append(generate(**how)) or made[-1])
    said = tiny.decode(states, generation)
    forced = tiny.likelihood(states, said, generation)
    assert forced.log_probs.dtype == torch.float32 and forced.log_probs.shape == (5, 6, tiny.vocabulary)
    # An end token behind each caption that was not cut.
    assert forced.mask.sum(-1).tolist() == [min(len(words.split()) + 1, 6) for words in said]
    whole = 0
    for row, tokens in enumerate(made[0][:, -6:].tolist()):
        caption = tokens[: tokens.index(1) + 1] if 1 in tokens else tokens
        # Random models say padding and begin texts anew in the middle of a caption, which leaves no trace in its text.
        if set(caption) & {0, 2, 3, 4}:
            continue
        whole += 1
        mask = forced.mask[row]
        assert forced.tokens[row][mask].tolist() == caption == forced.log_probs[row].argmax(-1)[mask].tolist()
    assert whole


def test_the_demo_too():
    model = load_model("demo")
    states = model.trace(model.prepare([s.load() for s in open_dataset("demo").samples[:20]]), depths=[3, 8]).states
    for depth in (3, 8):
        said = model.decode(states[depth], Generation())
        forced = model.likelihood(states[depth], said, Generation())
        assert torch.equal(forced.log_probs.argmax(-1)[forced.mask], forced.tokens[forced.mask])
        assert (forced.tokens[torch.arange(20), forced.mask.sum(-1) - 1] == 1).all()


@pytest.mark.parametrize("generation", [GENERATION, PROMPTED], ids=["own prompt", "prompt"])
@pytest.mark.parametrize("layer", [0, 2])
def test_equals_the_models_own_forward_one_by_one(tiny, pictures, layer, generation):
    forced = tiny.likelihood(states_of(tiny, pictures, layer + 1), CAPTIONS, generation)
    pixels = tiny.prepare(pictures)
    for row, caption in enumerate(CAPTIONS):
        with stopped_after(tiny, layer), torch.no_grad():
            log_probs, tokens = slow.next_tokens(tiny, pixels[row : row + 1], caption, generation)
        mask = forced.mask[row]
        assert forced.tokens[row][mask].tolist() == tokens.tolist()
        torch.testing.assert_close(forced.log_probs[row][mask], log_probs, atol=1e-5, rtol=1e-5)
        chosen = torch.stack([log_probs[place, token] for place, token in enumerate(tokens)]).sum()
        torch.testing.assert_close(forced.chosen[row].sum(), chosen, atol=1e-4, rtol=1e-5)


def test_a_row_does_not_depend_on_its_neighbours(tiny, pictures):
    states = states_of(tiny, pictures)
    together = tiny.likelihood(states, CAPTIONS, GENERATION)
    for row, caption in enumerate(CAPTIONS):
        alone = tiny.likelihood(states[row : row + 1], [caption], GENERATION)
        torch.testing.assert_close(
            together.log_probs[row][together.mask[row]], alone.log_probs[0], atol=1e-5, rtol=1e-5
        )


def test_gradients_flow_back_to_the_states(tiny, pictures):
    states = states_of(tiny, pictures).requires_grad_()
    loss = tiny.likelihood(states, CAPTIONS, GENERATION).chosen[1].sum()
    (gradient,) = torch.autograd.grad(loss, states)
    touched = gradient.flatten(1).abs().sum(1) > 0
    assert touched.tolist() == [False, True, False, False, False]


@pytest.fixture(scope="module")
def bytewise() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer as GPT-2's and OPT's: a word within a line begins with its space."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=["</s>"])
    made.train_from_iterator(["a photo of a cat on a mat", "cat"] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>")


def test_behind_a_prompt_a_caption_begins_with_a_space(bytewise):
    def words(caption: str, before: str) -> list[str]:
        return [bytewise.decode([token]) for token in caption_ids(bytewise, caption, before, 0, 20)]

    assert words("cat", "") == ["cat", "</s>"]
    assert words("cat", "a photo of") == words("cat", "a photo of ") == [" cat", "</s>"]
    assert words("", "a photo of") == words("", "") == ["</s>"]
