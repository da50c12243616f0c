"""Algorithm 1 on the bundled, trained model: against plain loops with bert-score itself, and the identities."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from bert_score import BERTScorer
from transformers import AutoProcessor, Blip2ForConditionalGeneration

from headprune import Generation, applied, demo, export, load_model, make_scorer, open_dataset
from headprune.edits.edit import Context
from headprune.hooks.catalogue import catalogue
from headprune.scoring.algorithm import score_heads
from headprune.scoring.sampling import draw
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.worker import LocalEngine
from headprune.testing.slow import stopped_after
from headprune.towers.batches import Batch
from headprune.towers.replay import replay
from headprune.types import DecodePoint
from tests.support import slow

GENERATION = Generation()
SAMPLES = 8


@pytest.fixture(scope="module")
def model():
    return load_model("demo")


@pytest.fixture(scope="module")
def data():
    return open_dataset("demo")


@pytest.fixture(scope="module")
def drawn(data):
    return draw(data, SAMPLES, 0)


@pytest.fixture(scope="module")
def pixels(model, drawn):
    return model.prepare([sample.load() for sample in drawn.samples])


@cache
def bert() -> BERTScorer:
    return BERTScorer(model_type=str(demo.bert_path()), num_layers=demo.BERT_LAYERS)


@cache
def likeness(caption: str, reference: str) -> float:
    """BERTScore F1 of one pair alone, by the package; it does not define what empty captions are worth."""
    if not caption or not reference:
        return float(caption == reference)
    return float(bert().score([caption], [reference])[2][0])


def slow_alpha(model, pixels, edit: str, last: bool, layers: list[int]) -> np.ndarray:
    """alpha [layers, H] from METHOD.md: one hooked generate a head, one bert-score call a pair."""
    geometry = model.geometry
    importance = np.zeros((len(layers), geometry.heads))
    for row, layer in enumerate(layers):
        with stopped_after(model, geometry.layers - 1 if last else layer):
            unchanged = slow.vanilla_captions(model, pixels, GENERATION)
        for head in range(geometry.heads):
            said = slow.variant(model, edit, pixels, layer, head, last, GENERATION)
            scores = [likeness(a, b) for a, b in zip(said, unchanged, strict=True)]
            importance[row, head] = sum(scores) / len(scores)
    if edit == "ablate":
        importance = 1 - importance
    alpha = np.zeros_like(importance)
    for row in range(len(layers)):
        total = sum(np.exp(value) for value in importance[row])
        for head in range(geometry.heads):
            alpha[row, head] = np.exp(importance[row, head]) / total
    return alpha


@pytest.mark.parametrize(("edit", "point"), [("isolate", DecodePoint.LAYER), ("ablate", DecodePoint.LAST)])
def test_equals_plain_loops_with_bert_score_itself(model, data, drawn, pixels, edit, point):
    total = model.geometry.layers
    layers = list(range(total)) if point is DecodePoint.LAYER else [1, total - 1]
    scorer = make_scorer("bertscore", {"model_type": str(demo.bert_path()), "num_layers": demo.BERT_LAYERS})
    settings = ScoreSettings(
        tuple(layers), catalogue().load("edit", edit).configured({}), edit, scorer, "bertscore", Batch(48, 3),
        decode_at=point, generation=GENERATION,
    )  # fmt: skip
    patch = score_heads(LocalEngine(model), data, drawn, settings).patch
    expected = slow_alpha(model, pixels, edit, point is DecodePoint.LAST, layers)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(patch.alpha[layers], expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(patch.scale[layers], model.geometry.heads * expected, atol=1e-4, rtol=0)


def test_contributions_and_bias_add_up_to_the_attention_and_the_layer(model, pixels):
    """Eq. 3: M = sum_h c[h] + b, and Z[l] = Z' + MLP(norm2(Z')) with Z' = Z[l-1] + M."""
    geometry = model.geometry
    captures = model.trace(pixels, range(geometry.layers)).captures
    for layer, site in enumerate(model.sites):
        capture = captures[layer]
        weight, bias = site.output.weight, site.output.bias
        attention = bias.expand_as(capture.residual).clone()
        for head in range(geometry.heads):
            columns = slice(head * geometry.head_width, (head + 1) * geometry.head_width)
            attention += capture.heads[..., columns] @ weight[:, columns].T
        torch.testing.assert_close(attention, capture.attended[0], atol=1e-4, rtol=1e-4)
        middle = capture.residual + attention
        with torch.no_grad():
            output = middle + site.layer.mlp(site.layer.layer_norm2(middle))
        torch.testing.assert_close(output, capture.output, atol=1e-4, rtol=1e-4)


def test_coefficients_of_one_change_no_bit(model, pixels):
    geometry = model.geometry
    scale = catalogue().load("edit", "scale").configured({"factor": 1})
    captures = model.trace(pixels, range(geometry.layers)).captures
    for layer, capture in captures.items():
        rows = scale.variants(capture, [3], Context(geometry.heads))
        assert torch.equal(replay(model.sites[layer], capture, rows.residual, rows.heads), capture.output)
    plain = captures[geometry.layers - 1].output
    with applied(model, np.ones((geometry.layers, geometry.heads), np.float32)):
        assert torch.equal(model.trace(pixels, depths=[geometry.layers]).states[geometry.layers], plain)


def coefficients(model) -> np.ndarray:
    """Five heads of each layer silent, the others softer or louder: enough to make a trained model err."""
    s = np.random.default_rng(0).uniform(0.5, 1.5, (model.geometry.layers, model.geometry.heads)).astype(np.float32)
    s[:, :5] = 0
    return s


def test_a_patch_changes_what_is_said_and_goes_without_a_trace(model, pixels):
    last = model.geometry.layers
    before = model.trace(pixels, depths=[last]).states[last]
    parameters = dict(model.model.named_parameters())
    with applied(model, coefficients(model)):
        assert not torch.allclose(model.trace(pixels, depths=[last]).states[last], before, atol=0.1)
    after = dict(model.model.named_parameters())
    assert all(after[name] is parameters[name] for name in parameters)
    assert torch.equal(model.trace(pixels, depths=[last]).states[last], before)


def test_a_folded_demo_is_plain_transformers(model, drawn, pixels, tmp_path: Path):
    s = coefficients(model)
    unpatched = slow.vanilla_captions(model, pixels, GENERATION)
    with applied(model, s):
        said = slow.vanilla_captions(model, pixels, GENERATION)
    assert said != unpatched
    export(model, s, tmp_path / "folded", {})
    vanilla = Blip2ForConditionalGeneration.from_pretrained(tmp_path / "folded")
    processor = AutoProcessor.from_pretrained(tmp_path / "folded")
    pictures = [sample.load() for sample in drawn.samples]
    inputs = processor(images=pictures, text=[""] * len(pictures), return_tensors="pt")
    tokens = vanilla.generate(**inputs, max_new_tokens=GENERATION.max_new_tokens)
    assert [words.strip() for words in processor.batch_decode(tokens, skip_special_tokens=True)] == said
