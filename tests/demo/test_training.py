"""The training script: what it trains is what transformers runs, and a run repeats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headprune.demo.captions import canonical
from headprune.demo.drawing import pixels
from headprune.demo.scenes import sample
from headprune.demo.training import build, pool
from headprune.demo.training.learn import Plan, Trainer
from headprune.demo.training.objective import IGNORED, Probe, answers, caption_loss, read, see
from headprune.demo.training.reading import as_input, captions_at

SCENES = [sample("train", number) for number in range(4)]
PICTURES = np.stack([pixels(scene) for scene in SCENES])


@pytest.fixture(scope="module")
def processor() -> Any:
    return build.processor()


@pytest.fixture(scope="module")
def model(processor: Any) -> Any:
    return build.model(processor.tokenizer, seed=1).eval()


def _inputs(processor: Any) -> Any:
    images = [pixels(scene) for scene in SCENES]
    return processor(images=images, text=[""] * len(images), return_tensors="pt")


def test_pictures_reach_the_tower_as_the_processor_sends_them(processor: Any) -> None:
    assert torch.allclose(as_input(PICTURES), _inputs(processor)["pixel_values"], atol=1e-5)


def test_the_loss_is_that_of_transformers(processor: Any, model: Any) -> None:
    tokens = processor.tokenizer([canonical(scene.facts) for scene in SCENES], padding=True, return_tensors="pt")
    labels = tokens["input_ids"].masked_fill(tokens["attention_mask"] == 0, IGNORED)
    own = caption_loss(model, read(model, see(model, as_input(PICTURES), build.LAYERS)), labels)
    assert torch.allclose(own, model(**_inputs(processor), labels=labels).loss, atol=1e-5)


def test_the_last_layer_reads_as_generate_does(processor: Any, model: Any) -> None:
    whole = model.generate(**_inputs(processor), max_new_tokens=30)
    words = processor.batch_decode(whole, skip_special_tokens=True)
    assert captions_at(model, processor.tokenizer, as_input(PICTURES), build.LAYERS) == words


def test_no_weight_starts_degenerate(model: Any) -> None:
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            assert weight.std() > 0.01, name


def test_the_probe_asks_only_what_arises() -> None:
    for scene in SCENES:
        asked = answers(scene.facts)
        second, relation, size = asked[2:4], asked[4], asked[5]
        pair = scene.facts.kind == "pair"
        assert (IGNORED not in (*second, relation)) == pair
        assert (size != IGNORED) == (scene.facts.kind == "single")
    loss = Probe(8)(torch.zeros(4, 8), torch.tensor([answers(scene.facts) for scene in SCENES]))
    assert torch.isfinite(loss)


def test_the_pool_does_not_depend_on_the_workers() -> None:
    one, two = pool.render_pool(30, workers=1), pool.render_pool(30, workers=2)
    assert np.array_equal(one.pictures, two.pictures)
    assert one.facts == two.facts
    assert np.array_equal(one.pictures[0], pixels(sample("train", 0)))


def test_a_run_repeats(tmp_path: Path) -> None:
    plan = Plan(steps=3, stop=3, batch=4, pool=20, early_share=0.5, save_every=3)
    for name in ("one", "other"):
        Trainer(plan, tmp_path / name).run()
    one, other = (tmp_path / name / "step-000003" / "model.safetensors" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
