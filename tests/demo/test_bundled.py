"""The bundled weights: small, loadable by plain transformers and bert-score, and right about most held-out scenes."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from headprune.demo import BERT_LAYERS, bert_path, model_path
from headprune.demo.captions import attributes_right
from headprune.demo.dataset import held_out

COUNT = 40


@cache
def _loaded() -> tuple[Any, Any]:
    from transformers import AutoProcessor, Blip2ForConditionalGeneration

    return Blip2ForConditionalGeneration.from_pretrained(model_path()), AutoProcessor.from_pretrained(model_path())


@cache
def _inputs() -> Any:
    _, processor = _loaded()
    return processor(images=[entry.picture() for entry in held_out(COUNT)], text=[""] * COUNT, return_tensors="pt")


def test_the_weights_are_small() -> None:
    files = [file for folder in (model_path(), bert_path()) for file in folder.iterdir()]
    assert sum(file.stat().st_size for file in files) <= 8_000_000
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".txt"}


def test_it_is_an_ordinary_blip2() -> None:
    model, _ = _loaded()
    tower = model.config.vision_config
    assert type(model).__name__ == "Blip2ForConditionalGeneration"
    assert model.config.text_config.model_type == "t5"
    assert tower.num_hidden_layers >= 8
    assert tower.num_attention_heads >= 8
    assert tower.qkv_bias


def test_no_head_is_handicapped() -> None:
    model, _ = _loaded()
    for layer in model.vision_model.encoder.layers:
        per_head = layer.self_attn.projection.weight.view(model.config.vision_config.hidden_size, 8, -1)
        norms = per_head.norm(dim=(0, 2))
        assert norms.min() > 0.1 * norms.max()


def test_captions_of_held_out_scenes_are_mostly_right() -> None:
    model, processor = _loaded()
    words = processor.batch_decode(model.generate(**_inputs(), max_new_tokens=30), skip_special_tokens=True)
    right = [attributes_right(said, entry.scene.facts) for said, entry in zip(words, held_out(COUNT), strict=True)]
    assert sum(right) >= 0.5 * COUNT


def test_captions_end_by_themselves() -> None:
    model, _ = _loaded()
    tokens = model.generate(**_inputs(), max_new_tokens=30)
    assert (tokens == model.config.text_config.eos_token_id).any(dim=1).all()
    assert tokens.shape[1] <= 18


def test_no_prompt_and_an_empty_prompt_are_the_same() -> None:
    model, _ = _loaded()
    assert torch.equal(
        model.generate(**_inputs(), max_new_tokens=30),
        model.generate(pixel_values=_inputs()["pixel_values"], max_new_tokens=30),
    )


def test_bert_tells_scenes_apart() -> None:
    bert_score = pytest.importorskip("bert_score")
    scorer = bert_score.BERTScorer(model_type=str(bert_path()), num_layers=BERT_LAYERS)
    gold = [entry.captions for entry in held_out(COUNT)]
    same = scorer.score([true[0] for true in gold], [true[1] for true in gold])[2]
    different = scorer.score([true[0] for true in gold], [true[1] for true in gold[1:] + gold[:1]])[2]
    assert same.mean() > different.mean() + 0.1
