"""BLIP, VisionEncoderDecoder, GIT and Pix2Struct: what the suite over all families does not ask of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from headprune import Generation, ModelError, load_model, sliced
from headprune.errors import Notice
from headprune.testing.slow import hooked_tower, stopped_after
from headprune.towers.adapter import LoadRequest
from headprune.towers.batches import prepared
from headprune.towers.load import outline_model
from headprune.types import Sample
from tests.support import tiny
from tests.support.zoo import ZOO
from tests.support.zoo_crossing import (
    GPT2,
    MOST_PATCHES,
    blip,
    blip_config,
    build_blip,
    build_pix2struct,
    build_vit_gpt2,
    pix2struct_config,
    save_flattening,
)
from tests.support.zoo_crossing import ZOO as CROSSING

GENERATION = Generation(max_new_tokens=6)
PROMPT = "word3 word4"


@pytest.fixture(scope="module", params=CROSSING)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(name, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("crossing")
    ZOO[name].build(path)
    return path


@pytest.fixture
def adapter(folder):
    return load_model(str(folder))


def groups_of(adapter, pictures):
    return prepared(adapter, [Sample(f"p{n}", (), lambda p=p: p) for n, p in enumerate(pictures)])


def words(adapter, pictures, generation) -> list[str]:
    """Captions of the adapter's own, group by group."""
    said = []
    for group in groups_of(adapter, pictures):
        said += adapter.decode(adapter.last_states(group.pixels, group.form), generation, group.form)
    return said


def in_groups(adapter, pictures) -> list[Any]:
    """The pictures in the order of `words`."""
    return [sample.load() for group in groups_of(adapter, pictures) for sample in group.samples]


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("prompt", [None, PROMPT])
def test_prompts_and_beams_as_documented(name, adapter, beams, prompt):
    known = ZOO[name]
    pictures = in_groups(adapter, known.pictures())
    generation = replace(GENERATION, num_beams=beams, prompt=prompt)
    expected = known.vanilla(adapter, pictures, generation)[0]
    assert words(adapter, pictures, generation) == expected
    # A second time: whatever the model wrote into its inputs, it has not written into ours.
    assert words(adapter, pictures, generation) == expected
    if prompt is not None:
        assert expected != known.vanilla(adapter, pictures, replace(generation, prompt=None))[0]
        assert not any(caption.startswith(PROMPT) for caption in expected)


@pytest.mark.parametrize("prompt", [None, PROMPT])
def test_a_layers_words_under_beams(name, adapter, prompt):
    known = ZOO[name]
    generation = replace(GENERATION, num_beams=2, prompt=prompt)
    for group in groups_of(adapter, known.pictures()):
        states = adapter.trace(group.pixels, depths=[2], form=group.form).states[2]
        with stopped_after(adapter, 1):
            expected = known.vanilla(adapter, [sample.load() for sample in group.samples], generation)[0]
        assert adapter.decode(states, generation, group.form) == expected


def test_teacher_forcing_after_a_prompt_agrees_with_generation(name, adapter):
    known = ZOO[name]
    generation = replace(GENERATION, prompt=PROMPT)
    for group in groups_of(adapter, known.pictures()):
        said, logits = known.vanilla(adapter, [sample.load() for sample in group.samples], generation)
        states = adapter.last_states(group.pixels, group.form)
        forced = adapter.likelihood(states, said, generation, group.form)
        for row in range(len(said)):
            torch.testing.assert_close(forced.log_probs[row, 0], logits[0, row].log_softmax(-1), atol=1e-3, rtol=1e-3)
            steps = int(forced.mask[row].sum())
            for step in range(1, min(steps, len(logits))):
                if forced.tokens[row, step - 1] != logits[step - 1, row].argmax():
                    break
                torch.testing.assert_close(
                    forced.log_probs[row, step], logits[step, row].log_softmax(-1), atol=1e-3, rtol=1e-3
                )


# How checkpoints on the hub look.


def as_on_the_hub(folder: Path) -> None:
    """The image processor in a file of its own, as saved by transformers 4."""
    written = folder / "processor_config.json"
    if not written.exists():
        return
    config = json.loads(written.read_text())
    written.unlink()
    pictures = {**config["image_processor"], "processor_class": config["processor_class"]}
    assert not pictures["image_processor_type"].endswith("Pil")
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))


def test_folders_like_those_on_the_hub(name, adapter, tmp_path):
    known = ZOO[name]
    known.build(tmp_path)
    as_on_the_hub(tmp_path)
    assert not (tmp_path / "processor_config.json").exists()
    pictures = known.pictures()
    assert words(load_model(str(tmp_path)), pictures, GENERATION) == words(adapter, pictures, GENERATION)


OLD_NAMES = {
    "encoder.layers.": "encoder.encoder.layer.",
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def test_a_vit_gpt2_like_the_one_on_the_hub(tmp_path):
    """Old names of weights, a feature extractor, GPT-2's own tokenizer, no pooler."""
    build_vit_gpt2(tmp_path)
    before = load_model(str(tmp_path))
    pictures = ZOO["vit-gpt2"].pictures()
    expected = before.last_states(before.prepare(pictures))
    weights = load_file(tmp_path / "model.safetensors")
    renamed = {}
    for key, value in weights.items():
        for new, old in OLD_NAMES.items():
            key = key.replace(new, old) if key.startswith("encoder.") else key
        if "pooler" not in key:
            renamed[key] = value
    assert "encoder.encoder.layer.0.attention.attention.query.weight" in renamed
    assert len(renamed) < len(weights)
    save_file(renamed, tmp_path / "model.safetensors", {"format": "pt"})
    for written in (tmp_path / "preprocessor_config.json", *tmp_path.glob("tokenizer*")):
        written.unlink()
    extractor = {"feature_extractor_type": "ViTFeatureExtractor", "size": 32, "resample": 2, "do_resize": True}
    half = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**extractor, **half}))
    letters = {letter: number for number, letter in enumerate("abcdefghijklmnopqrstuvwxyzĠ")}
    vocabulary = {**letters, "<|endoftext|>": len(letters)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))

    with pytest.warns(Notice, match="nothing reads"):
        adapter = load_model(str(tmp_path))
    torch.testing.assert_close(adapter.last_states(adapter.prepare(pictures)), expected)
    assert len({*words(adapter, pictures, GENERATION)}) > 1
    assert adapter.ask("a b", None)["decoder_input_ids"].tolist() == [[1, 0, letters["Ġ"], 1]]
    # Behind a prompt a caption is the middle of a line, and begins with a space.
    states = adapter.last_states(adapter.prepare(pictures[:1]))
    alone = adapter.likelihood(states, ["b"], GENERATION)
    behind = adapter.likelihood(states, ["b"], replace(GENERATION, prompt="a"))
    assert (alone.tokens.tolist(), behind.tokens.tolist()) == ([[1, 1]], [[letters["Ġ"], 1, 1]])


@pytest.mark.parametrize("lost", ["encoder.pooler.dense.weight", "encoder.layernorm.weight"])
def test_weights_that_nothing_reads_may_be_missing_and_no_others(tmp_path, lost):
    build_vit_gpt2(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights[lost]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    if "pooler" not in lost:
        with pytest.raises(ModelError, match="lacks weights"):
            load_model(str(tmp_path))
        return
    with pytest.warns(Notice, match="nothing reads: encoder.pooler.dense.weight"):
        adapter = load_model(str(tmp_path))
    assert not adapter.model.get_parameter(lost).any()
    assert len({*words(adapter, ZOO["vit-gpt2"].pictures(), GENERATION)}) > 1


# What is refused.


def refused_folder(kind: str, folder: Path) -> None:
    if kind == "blip for questions":
        transformers.BlipForQuestionAnswering(blip_config()).save_pretrained(folder)
    elif kind == "swin":
        encoder = transformers.SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2])
        both = {"encoder": encoder.to_dict(), "decoder": GPT2}
        transformers.VisionEncoderDecoderConfig(**both).save_pretrained(folder)
    elif kind == "videos":
        transformers.GitConfig(num_image_with_embedding=6).save_pretrained(folder)
    else:
        pix2struct_config(is_vqa=True).save_pretrained(folder)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("blip for questions", "only the captioner is; this is a BlipForQuestionAnswering"),
        ("swin", "its encoder is a swin, and only vit and deit are"),
        ("videos", "made for videos"),
        ("questions", "draws into the picture"),
    ],
)
@pytest.mark.parametrize("opening", [load_model, outline_model])
def test_refused_with_the_reason(kind, reason, opening, tmp_path):
    refused_folder(kind, tmp_path)
    with pytest.raises(ModelError, match=reason) as caught:
        opening(str(tmp_path))
    assert "is not supported" in caught.value.message and caught.value.hint


def test_an_image_processor_that_draws_questions_is_refused(tmp_path):
    build_pix2struct(tmp_path)
    save_flattening(tmp_path, is_vqa=True)
    with pytest.raises(ModelError, match="draws into the picture"):
        load_model(str(tmp_path))


# Pix2Struct's grids.


@pytest.fixture(scope="module")
def pix2struct(tmp_path_factory):
    path = tmp_path_factory.mktemp("grids")
    build_pix2struct(path)
    return load_model(str(path))


SIZES = [(24, 24), (640, 480), (480, 640), (33, 47), (500, 8), (8, 500), (100, 101), (1, 1), (37, 12)]


@pytest.mark.parametrize("size", SIZES)
def test_a_form_is_the_grid_that_the_processor_cuts(pix2struct, size):
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
    made = pix2struct.processor(images=picture, return_tensors="pt", max_patches=MOST_PATCHES)
    rows, columns = pix2struct.form(picture)
    pixels = pix2struct.prepare([picture])
    assert pixels.shape[1] == rows * columns == int(made["attention_mask"].sum())
    assert torch.equal(pixels, made["flattened_patches"][:, : rows * columns])
    assert made["flattened_patches"].shape[1] == MOST_PATCHES


def test_without_its_empty_patches_a_picture_is_the_same(pix2struct):
    """What the model's masks do, by its own forward on everything that the processor gives."""
    filled = 0
    for group in groups_of(pix2struct, ZOO["pix2struct"].pictures()):
        pictures = [sample.load() for sample in group.samples]
        made = pix2struct.processor(images=pictures, return_tensors="pt", max_patches=MOST_PATCHES)
        with torch.no_grad():
            expected = pix2struct.model.encoder(**made).last_hidden_state
            found = pix2struct.model.encoder.layernorm(pix2struct.last_states(group.pixels, group.form))
        mine = group.pixels.shape[1]
        filled += expected.shape[1] - mine
        torch.testing.assert_close(found, expected[:, :mine], atol=1e-5, rtol=1e-5)
    assert filled > 0


def test_pictures_of_two_grids_do_not_go_together(pix2struct):
    with pytest.raises(ModelError, match=r"into \[\(2, 5\), \(5, 2\)\] patches"):
        pix2struct.prepare([Image.new("RGB", (60, 24)), Image.new("RGB", (24, 60))])


@pytest.mark.parametrize(("columns", "counted"), [(256, True), (257, False)])
def test_patches_that_a_dtype_cannot_count_are_refused(columns, counted, tmp_path):
    build_pix2struct(tmp_path)
    save_flattening(tmp_path, max_patches=columns)
    adapter = load_model(str(tmp_path), LoadRequest("", dtype="bfloat16"))
    picture = Image.new("RGB", (8 * columns, 8))
    assert adapter.form(picture) == (1, columns)
    if counted:
        assert adapter.prepare([picture])[0, :, 1].tolist() == [*range(1, columns + 1)]
        return
    with pytest.raises(ModelError, match="cannot count"):
        adapter.prepare([picture])


# BLIP's attention, which divides its width by the heads that are left.

H = 16
LUCKY, UNLUCKY = [[3], [], [0, 7, 15]], [[3, 4, 5, 6], [], [0, 1, 14, 15]]


@pytest.fixture(scope="module")
def many_heads(tmp_path_factory):
    path = tmp_path_factory.mktemp("many")
    build_blip(path, hidden_size=4 * H, num_attention_heads=H)
    return load_model(str(path))


@pytest.mark.parametrize("pruned", [LUCKY, UNLUCKY, [[], [*range(15)], [*range(16)]]])
def test_blip_with_any_number_of_heads_equals_hooks(many_heads, pruned):
    s = np.ones((3, H), np.float32)
    for layer, heads in enumerate(pruned):
        s[layer, heads] = 0
    pictures = ZOO["blip"].pictures()
    pixels = many_heads.prepare(pictures)
    with hooked_tower(many_heads, s):
        states = many_heads.last_states(pixels)
        said = blip(many_heads, pictures, GENERATION)[0]
    made = sliced(many_heads, s)
    torch.testing.assert_close(made.last_states(pixels), states, atol=5e-5, rtol=5e-5)
    assert blip(made, pictures, GENERATION)[0] == said
    assert type(many_heads.sites[0].attention).__name__ == "BlipAttention"


# Real sizes, without weights.


def base_folder(family: str, folder: Path) -> None:
    decoder = {"model_type": "gpt2", "add_cross_attention": True, "is_decoder": True}
    config = {
        "blip": transformers.BlipConfig,
        "vit-gpt2": lambda: transformers.VisionEncoderDecoderConfig(encoder={"model_type": "vit"}, decoder=decoder),
        "git": transformers.GitConfig,
        "pix2struct": transformers.Pix2StructConfig,
    }[family]()
    config.save_pretrained(folder)
    if family == "pix2struct":
        from transformers.models.pix2struct.image_processing_pil_pix2struct import Pix2StructImageProcessorPil

        transformers.Pix2StructProcessor(Pix2StructImageProcessorPil(), tiny.tokenizer()).save_pretrained(folder)


@pytest.mark.parametrize(
    ("family", "millions", "tokens", "heads"),
    [
        # 247 M with the word embeddings counted again as the output layer that they are tied to.
        ("blip", 247 - 30524 * 768 / 1e6, (384 // 16) ** 2 + 1, 12),
        ("vit-gpt2", 239, (224 // 16) ** 2 + 1, 12),
        ("git", 177, (224 // 16) ** 2 + 1, 12),
        # 2048 patches at most: 39 rows and 52 columns of a picture of 640 x 480.
        ("pix2struct", 282, 39 * 52, 12),
    ],
)
def test_the_base_models_sizes(family, millions, tokens, heads, tmp_path):
    base_folder(family, tmp_path)
    outline = outline_model(str(tmp_path))
    assert outline.parameters / 1e6 == pytest.approx(millions, abs=0.5)
    assert outline.tokens == tokens
    assert (outline.geometry.layers, outline.geometry.heads, outline.geometry.head_width) == (12, heads, 64)
