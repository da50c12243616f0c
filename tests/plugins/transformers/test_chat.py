"""What is special in models that are asked by a prompt with the picture in it."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from headprune_transformers.adapters.tiling import Tiles
from headprune_transformers.captions import caption_ids
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from headprune import Generation, ModelError, export, load_model
from headprune.errors import Notice
from tests.support.zoo import ZOO

GENERATION = Generation(max_new_tokens=6)
ASKED = ["llava", "llava-layers", "llava-siglip", "llava-next", "paligemma", "internvl"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folders of tiny models, by name; a new one where it is to be spoilt."""
    built: dict[str, Path] = {}

    def build(name: str, fresh: bool = False) -> Path:
        if fresh or name not in built:
            path = tmp_path_factory.mktemp(name)
            ZOO[name].build(path)
            if fresh:
                return path
            built[name] = path
        return built[name]

    return build


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    width, height = size
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))


def changed(path: Path, **config) -> Path:
    file = path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return path


def said(adapter, picture, generation=GENERATION):
    form = adapter.form(picture)
    return adapter.decode(adapter.last_states(adapter.prepare([picture]), form), generation, form)


@pytest.mark.parametrize("name", ASKED)
def test_a_prompt_goes_where_the_documentation_puts_it(folder, name):
    adapter, pictures = load_model(str(folder(name))), ZOO[name].pictures()
    answers = set()
    for prompt in ("word3 word4", "the word30 image.", None):
        asked = replace(GENERATION, prompt=prompt)
        found = [said(adapter, picture, asked)[0] for picture in pictures]
        assert found == [ZOO[name].vanilla(adapter, [picture], asked)[0][0] for picture in pictures]
        answers.add(tuple(found))
    assert len(answers) == 3, "the prompt changes too little for this to show anything"


@pytest.mark.parametrize("name", ASKED)
def test_beams(folder, name):
    adapter, pictures = load_model(str(folder(name))), ZOO[name].pictures()
    beams = replace(GENERATION, num_beams=3)
    found = [said(adapter, picture, beams)[0] for picture in pictures]
    assert found == [ZOO[name].vanilla(adapter, [picture], beams)[0][0] for picture in pictures]
    assert found != [said(adapter, picture)[0] for picture in pictures]


def test_without_a_chat_template(folder):
    path = folder("llava", fresh=True)
    spoken = said(load_model(str(path)), noise((40, 40)))
    (path / "chat_template.jinja").unlink()
    adapter = load_model(str(path))
    with pytest.raises(ModelError, match=r"no chat template .*chat_template\.jinja.*<image>"):
        said(adapter, noise((40, 40)))
    # The whole prompt, as the template would write it.
    whole = replace(GENERATION, prompt="USER: <image> \n Describe the image. ASSISTANT:")
    assert said(adapter, noise((40, 40)), whole) == spoken


def test_a_template_of_the_tokenizer_is_found(folder):
    path = folder("llava", fresh=True)
    adapter = load_model(str(path))
    spoken = said(adapter, noise((40, 40)))
    adapter.processor.tokenizer.chat_template, adapter.processor.chat_template = adapter.processor.chat_template, None
    again = type(adapter)(adapter.model, adapter.processor, adapter.family, adapter.ref)
    assert said(again, noise((40, 40))) == spoken


def test_two_pictures_in_a_prompt_are_refused(folder):
    with pytest.raises(ModelError, match="makes nothing of '<image> <image> word1'"):
        said(load_model(str(folder("llava"))), noise((40, 40)), replace(GENERATION, prompt="<image> <image> word1"))


@pytest.mark.parametrize(("name", "expected"), [("llava", (17, 16)), ("llava-layers", (18, 17))])
def test_a_processor_that_counts_otherwise_is_refused(folder, name, expected):
    adapter = load_model(str(folder(name)))
    adapter.processor.num_additional_image_tokens += 1
    with pytest.raises(ModelError, match=rf"gives {expected[0]} image tokens where the model needs {expected[1]}"):
        said(adapter, noise((40, 40)))


@pytest.mark.parametrize(
    ("name", "dropped"), [("llava", True), ("llava-layers", False), ("llava-next", True), ("internvl", True)]
)
def test_cls_is_dropped_where_the_model_drops_it(folder, name, dropped):
    adapter = load_model(str(folder(name)))
    pictures = ZOO[name].pictures()[:1]
    form = adapter.form(pictures[0])
    states = adapter.last_states(adapter.prepare(pictures), form)
    other = states.clone()
    # One CLS to a tile of 16 patches.
    other[:, ::17] = torch.randn(states[:, ::17].shape, generator=torch.Generator().manual_seed(0))
    plain, spoilt = (adapter.likelihood(s, ["word1 word2"], GENERATION, form).log_probs for s in (states, other))
    assert torch.equal(plain, spoilt) == dropped


def announced(path: Path) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_model(str(path))
    return [str(one.message) for one in caught if issubclass(one.category, Notice)]


def test_a_dead_layer_is_announced_once(folder):
    dead = "the connector reads no more than layer 1's output: layer 2 is dead, without any effect"
    assert announced(folder("llava")) == [dead]
    assert announced(folder("llava-next")) == [dead]
    for name in ("llava-layers", "paligemma", "internvl", "blip2-t5"):
        assert announced(folder(name)) == []


def test_more_dead_layers_are_announced_together(folder):
    path = changed(folder("llava", fresh=True), vision_feature_layer=1)
    assert announced(path) == [
        "the connector reads no more than layer 0's output: layers 1 to 2 are dead, without any effect"
    ]
    assert load_model(str(path)).geometry.live == 1


@pytest.mark.parametrize("depth", [0, -4, [-1, 0]])
def test_a_connector_that_reads_the_embeddings_is_refused(folder, depth):
    path = changed(folder("llava", fresh=True), vision_feature_layer=depth)
    with pytest.raises(ModelError, match=r"not supported: .* before the first layer"):
        load_model(str(path))


@pytest.mark.parametrize(("name", "tower"), [("llava", "pixtral"), ("internvl", "siglip_vision_model")])
def test_a_tower_of_another_kind_is_named_before_its_weights_are_read(folder, name, tower):
    path = changed(folder(name, fresh=True), vision_config={"model_type": tower})
    (path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=f"not supported: its tower is a {tower}, and only"):
        load_model(str(path))


@pytest.mark.parametrize("name", ["llava", "llava-siglip", "llava-next", "paligemma"])
def test_weights_load_under_the_names_that_checkpoints_on_the_hub_have(folder, name, tmp_path):
    """Written before transformers 5: a language model within a language model, a vision model within a tower."""
    path = folder(name, fresh=True)
    spoken = said(load_model(str(path)), noise((40, 40)))
    weights = load_file(path / "model.safetensors")
    named = {key.replace("vision_tower.", "vision_tower.vision_model."): value for key, value in weights.items()}
    assert named.keys() != weights.keys() and any(key.startswith("language_model.model.") for key in named)
    save_file(named, path / "model.safetensors", {"format": "pt"})
    adapter = load_model(str(path))
    assert said(adapter, noise((40, 40))) == spoken
    export(adapter, np.ones((3, 4)), tmp_path / "folded", {})
    assert load_file(tmp_path / "folded" / "model.safetensors").keys() == named.keys()
    assert said(load_model(str(tmp_path / "folded")), noise((40, 40))) == spoken


SIZES = [(w, h) for w in (20, 33, 48, 64, 90) for h in (20, 33, 48, 64, 90)]


@pytest.mark.parametrize("name", ["llava-next", "internvl"])
def test_pictures_of_one_form_are_asked_in_the_same_words(folder, name):
    adapter = load_model(str(folder(name)))
    forms: dict[object, list[tuple[int, int]]] = {}
    for size in SIZES:
        picture = noise(size)
        given = adapter.processor(images=picture, text="<image>", return_tensors="pt")
        form = adapter.form(picture)
        forms.setdefault(form, []).append(size)
        asked = adapter.ask(None, form)["input_ids"]
        assert (asked == adapter.config.image_token_id).sum() == (given["input_ids"] == 4).sum()
        assert adapter.prepare([picture]).shape[1] == form.count
    assert 1 < len(forms) < len(SIZES)


@pytest.mark.parametrize("name", ["llava-next", "internvl"])
def test_pictures_of_one_form_and_many_sizes_go_together(folder, name):
    """Also those that were padded, whose padding LLaVA-NeXT cuts off again."""
    adapter = load_model(str(folder(name)))
    pictures = [noise(size, number) for number, size in enumerate(SIZES)]
    alike: dict[object, list[Image.Image]] = {}
    for picture in pictures:
        alike.setdefault(adapter.form(picture), []).append(picture)
    assert any(len({picture.size for picture in group}) > 1 for group in alike.values())
    for form, group in alike.items():
        found = adapter.decode(adapter.last_states(adapter.prepare(group), form), GENERATION, form)
        assert found == [ZOO[name].vanilla(adapter, [picture], GENERATION)[0][0] for picture in group]


def test_unpadding_makes_another_form(folder):
    adapter = load_model(str(folder("llava-next")))
    square, padded = adapter.form(noise((64, 64))), adapter.form(noise((64, 48)))
    assert isinstance(square, Tiles) and isinstance(padded, Tiles)
    assert square.count == padded.count and square != padded
    assert adapter.image_tokens(square) > adapter.image_tokens(padded)


def test_an_answer_behind_a_new_line_begins_without_a_blank():
    """Where a template ends with one (Qwen's, InternVL's, PaliGemma's), another token would begin the caption."""
    pieces = {piece: number for number, piece in enumerate(["a", "c", "Ġ", "Ċ", ":", "Ġa"])}
    bpe = Tokenizer(models.BPE(pieces, [("Ġ", "a")]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe)
    assert caption_ids(tokenizer, "a", "c\n", end=9, most=5) == [pieces["a"], 9]
    assert caption_ids(tokenizer, "a", "c:", end=9, most=5) == [pieces["Ġa"], 9]
    assert caption_ids(tokenizer, "a", "c: ", end=9, most=5) == [pieces["Ġa"], 9]
    assert caption_ids(tokenizer, "", "c\n", end=9, most=5) == caption_ids(tokenizer, "", "c:", end=9, most=5) == [9]
