"""The identities of the core on tiny LAVIS models: three ways to speak, two towers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from headprune_lavis.backend import LavisBackend
from safetensors.torch import load_file

from headprune import Generation, ModelError, applied, load_model, sliced
from headprune.patch.export import RECORD, export
from headprune.perspectives.heatmap import where_layers_look
from headprune.testing import AdapterContract
from headprune.testing.slow import hooked_tower, stopped_after
from headprune.towers.batches import Batch
from headprune.towers.load import outline_model
from tests.plugins.lavis import slow
from tests.support.samples import dataset
from tests.support.tiny_lavis import HEADS, LAYERS, WIDTH

GENERATION = Generation(max_new_tokens=8)
COEFFICIENTS = np.array([[0, 1, 2.5, 0.3], [1, 1, 1, 1], [0, 0, 0, 0]], np.float32)
RAGGED = np.array([[1, 1, 0, 1], [0, 1, 0, 0], [1, 0, 1, 1]], np.float32)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)


class TestLavis(AdapterContract):
    @pytest.fixture
    def source(self, zoo, name, monkeypatch):
        monkeypatch.chdir(zoo)
        return LavisBackend(), name.removeprefix("lavis:")

    @pytest.fixture
    def speak(self):
        return slow.answers


def test_geometry(tiny, name):
    geometry = tiny.geometry
    assert (geometry.layers, geometry.heads, geometry.width) == (LAYERS, HEADS, WIDTH)
    assert (geometry.head_width, geometry.cls, tiny.tokens) == (WIDTH // HEADS, True, 17)
    assert str(tiny.ref) == name.removeprefix("lavis:") and tiny.ref.backend == "lavis"


def test_maps_are_what_cls_gives_the_patches(tiny, pictures):
    found = where_layers_look(tiny, dataset(pictures).samples, [2, 0], Batch(8, 2), k=0)
    given = tiny.attention(tiny.prepare(pictures), [0, 2])
    for row, maps in enumerate(found.pictures):
        for place, layer in enumerate([2, 0]):
            expected = given[layer].weights[row, :, 0, 1:].reshape(HEADS, 4, 4)
            np.testing.assert_allclose(maps.heads[place], expected, atol=1e-5)
    assert np.isfinite(found.l1[:, 0]).all()


def test_what_would_be_downloaded_is_not_known(tiny, name):
    assert outline_model(name).download is None


def test_it_is_what_lavis_itself_loads(tiny, name, pictures):
    """Opening CLIP's tower changes nothing that it says, and no name of a weight."""
    from lavis.models import load_model_and_preprocess

    arch, model_type = name.removeprefix("lavis:").split("/")
    theirs, processors, _ = load_model_and_preprocess(arch, model_type, is_eval=True)
    pixels = torch.stack([processors["eval"](picture) for picture in pictures])
    assert torch.equal(tiny.prepare(pictures), pixels)
    weights = theirs.state_dict()
    assert tiny.model.state_dict().keys() == weights.keys()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in tiny.model.state_dict().items())
    with torch.no_grad():
        states = theirs.visual_encoder(pixels)
    assert_close(tiny.last_states(pixels), states)
    said = slow.vanilla_captions(theirs, pixels, GENERATION)
    assert tiny.decode(states, GENERATION) == said
    assert len(set(said)) > 1


@pytest.mark.parametrize("coefficients", [COEFFICIENTS, RAGGED], ids=["emptied", "ragged"])
def test_sliced_equals_applied_equals_hooks_and_is_reverted(tiny, pictures, coefficients):
    pixels = tiny.prepare(pictures)
    before = dict(tiny.model.named_parameters())
    with hooked_tower(tiny, coefficients):
        states, said = tiny.last_states(pixels), slow.vanilla_captions(tiny.model, pixels, GENERATION)
    with applied(tiny, coefficients):
        assert_close(tiny.last_states(pixels), states)
        assert slow.vanilla_captions(tiny.model, pixels, GENERATION) == said
    made = sliced(tiny, coefficients)
    assert_close(made.last_states(pixels), states)
    assert slow.vanilla_captions(made.model, pixels, GENERATION) == said
    assert made.geometry.heads_in == tuple(int(count) for count in (coefficients != 0).sum(axis=1))
    assert all(parameter is before[key] for key, parameter in tiny.model.named_parameters())
    assert said != slow.vanilla_captions(tiny.model, pixels, GENERATION)


def test_sizes_counted_by_hand(tiny):
    made = sliced(tiny, COEFFICIENTS)
    # Rows of q, k and v with their biases, EVA's k having none, and columns of the output projection.
    biases = 2 if tiny.layout.qkv == ("qkv",) else 3
    of_one_head = (3 * WIDTH + biases) * (WIDTH // HEADS) + WIDTH * (WIDTH // HEADS)
    assert tiny.parameter_count() - made.parameter_count() == 5 * of_one_head
    assert made.without_heads([[0, 1], [0, 3], []]).description["kept"] == [[1, 2], [0, 3], []]
    assert "kept" not in tiny.description


def test_kept_heads_that_do_not_fit(tiny):
    for kept in ([[0], [0]], [[0], [0], [4]], [[0], [1, 0], [0]], [[0], [True], [0]]):
        with pytest.raises(ValueError):
            tiny.without_heads(kept)


@pytest.mark.parametrize("generation", [GENERATION, Generation(max_new_tokens=3), Generation(2, 8)])
def test_early_exit_says_what_skipped_layers_say(tiny, pictures, generation):
    pixels = tiny.prepare(pictures)
    states = tiny.trace(pixels, depths=range(LAYERS + 1)).states
    for layer in range(LAYERS):
        with stopped_after(tiny, layer):
            assert tiny.decode(states[layer + 1], generation) == slow.vanilla_captions(tiny.model, pixels, generation)


def test_a_prompt(tiny, pictures):
    pixels = tiny.prepare(pictures)
    asked = Generation(max_new_tokens=8, prompt="word3 word7" if hasattr(tiny.model, "t5_model") else "ab cd")
    states = tiny.last_states(pixels)
    if not hasattr(tiny.model, "prompt"):
        for opening in (lambda: tiny.decode(states, asked), lambda: tiny.likelihood(states, ["word3"] * 5, asked)):
            with pytest.raises(ModelError, match="reads no prompt"):
                opening()
        return
    said = tiny.decode(states, asked)
    assert said == slow.vanilla_captions(tiny.model, pixels, asked) != tiny.decode(states, GENERATION)
    tiny.model.prompt = asked.prompt
    assert tiny.decode(states, GENERATION) == said


@pytest.mark.parametrize("prompted", [False, True])
def test_likelihoods_are_what_generate_chose_by(tiny, name, pictures, prompted):
    """Greedy decoding takes the likeliest token: teacher-forced on it, the model finds it so again."""
    if prompted and not hasattr(tiny.model, "prompt"):
        pytest.skip("BLIP-2's first stage reads no prompt")
    prompt = "word3 word7" if hasattr(tiny.model, "t5_model") else "ab cd"
    generation = Generation(max_new_tokens=6, prompt=prompt if prompted else None)
    states = tiny.last_states(tiny.prepare(pictures))
    spoken: list[torch.Tensor] = []
    generate = tiny.speech.language_model.generate
    tiny.speech.language_model.generate = lambda *args, **kwargs: spoken.append(generate(*args, **kwargs)) or spoken[-1]
    said = tiny.decode(states, generation)
    # A start token first, or the prompt and its start.
    start = 1
    if hasattr(tiny.model, "opt_model"):
        start = tiny.model.opt_tokenizer([generation.prompt or ""], return_tensors="pt").input_ids.shape[1]
    rows = [row.tolist() for row in spoken[0][:, start:]]
    rows = [row[: row.index(tiny.speech.end) + 1] if tiny.speech.end in row else row for row in rows]
    # The very tokens that were generated: a caption may be tokenised otherwise.
    given = iter(rows)
    tiny.speech.caption_ids = lambda caption, how: next(given)
    forced = tiny.likelihood(states, said, generation)
    assert torch.equal(forced.log_probs.argmax(-1)[forced.mask], forced.tokens[forced.mask])
    assert forced.mask.sum(-1).tolist() == [len(row) for row in rows]
    torch.testing.assert_close(forced.log_probs.exp().sum(-1), torch.ones(forced.tokens.shape))


def test_captions_become_tokens_with_an_end_unless_they_were_cut(tiny):
    words = "word3 word7 word9" if not hasattr(tiny.model, "opt_model") else "ab cd ed"
    ids = tiny.speech.caption_ids(words, Generation(max_new_tokens=9))
    assert ids[-1] == tiny.speech.end and len(ids) == 4
    assert tiny.speech.caption_ids(words, Generation(max_new_tokens=3)) == ids[:3]
    assert tiny.speech.caption_ids("", GENERATION) == [tiny.speech.end]
    with torch.no_grad():
        forced = tiny.likelihood(torch.randn(2, 17, WIDTH), [words, ""], GENERATION)
    assert forced.mask.tolist() == [[True] * 4, [True, False, False, False]]
    assert forced.log_probs.shape == (2, 4, tiny.distributions(GENERATION)[1])


HOW = pytest.mark.parametrize("how", ["fold", "slice"])


@HOW
def test_an_exported_folder_says_what_the_patched_model_says(tiny, pictures, tmp_path: Path, how):
    pixels = tiny.prepare(pictures)
    after = export(tiny, COEFFICIENTS, tmp_path / "out", {"scale": "none", "prune": "count=1"}, how)
    again = load_model(str(tmp_path / "out"))
    assert again.ref.backend == "lavis" and after == again.parameter_count()
    with applied(tiny, COEFFICIENTS):
        said = slow.vanilla_captions(tiny.model, pixels, GENERATION)
        expected = (sliced(tiny, np.ones_like(COEFFICIENTS)) if how == "fold" else tiny).model.state_dict()
    assert slow.vanilla_captions(again.model, again.prepare(pictures), GENERATION) == said
    assert again.geometry.heads_in == ((3, 4, 0) if how == "slice" else (4, 4, 4))
    weights = load_file(tmp_path / "out/model.safetensors")
    assert weights.keys() == expected.keys() == tiny.model.state_dict().keys()
    if how == "fold":
        assert all(torch.equal(tensor, expected[key]) for key, tensor in weights.items())
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert (record["backend"], record["how"], record["base"]) == ("lavis", how, tiny.ref.name)
    described = json.loads((tmp_path / "out/lavis.json").read_text())
    assert described.get("kept") == ([[1, 2, 3], [0, 1, 2, 3], []] if how == "slice" else None)
    endings = {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert endings <= {".safetensors", ".json", ".txt", ".md", ".py"}
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\nlibrary_name: lavis\n") and "from load_lavis import load" in card


def test_an_exported_folder_is_exported_again(tiny, pictures, tmp_path: Path):
    export(tiny, COEFFICIENTS, tmp_path / "once", {}, "slice")
    once = load_model(str(tmp_path / "once"))
    s = np.array([[2, 0, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1]], np.float32)
    export(once, s, tmp_path / "twice", {}, "slice")
    twice = load_model(f"lavis:{tmp_path / 'twice'}")
    assert twice.description["kept"] == [[1, 3], [0, 2, 3], []] and twice.description["heads"] == 4
    outline = outline_model(str(tmp_path / "twice"))
    assert outline.geometry == twice.geometry and outline.parameters == twice.parameter_count()
    assert outline.download == 0
    with applied(once, s):
        said = slow.vanilla_captions(once.model, once.prepare(pictures), GENERATION)
    assert slow.vanilla_captions(twice.model, twice.prepare(pictures), GENERATION) == said
