"""Models without a text decoder: labels, their probabilities, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open

import headprune
from headprune import Dataset, Generation, ModelError, Notice, Sample, UsageError, load_model
from headprune.patch.export import export
from headprune.towers.load import outline_model
from tests.support.zoo import ZOO
from tests.support.zoo_choosing import CLASSES, LABELS

ZERO_SHOT = ("clip", "siglip")
CLASSIFIERS = ("vit", "deit", "deit-teacher", "dinov2", "dinov2-registers")
GENERATION = Generation(labels=LABELS)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            ZOO[name].build(made[name])
        return made[name]

    return folder


def shown(adapter, name):
    pictures = ZOO[name].pictures()
    return pictures, adapter.last_states(adapter.prepare(pictures))


def samples(name):
    return tuple(Sample(f"p{n}", (LABELS[n],), lambda p=p: p) for n, p in enumerate(ZOO[name].pictures()))


@pytest.mark.parametrize("name", ZERO_SHOT)
@pytest.mark.parametrize("prompt", [None, "word7 {} word8"])
def test_zero_shot_is_the_pipelines(folder_of, name, prompt):
    adapter = load_model(str(folder_of(name)))
    pictures, states = shown(adapter, name)
    pipeline = transformers.pipeline(
        "zero-shot-image-classification",
        model=adapter.model,
        tokenizer=adapter.processor.tokenizer,
        image_processor=adapter.processor.image_processor,
    )
    generation = replace(GENERATION, prompt=prompt)
    said = adapter.decode(states, generation)
    found = adapter.probability(states, said, generation).tolist()
    answers = pipeline(pictures, candidate_labels=list(LABELS), hypothesis_template=prompt or "{}")
    assert said == [answer[0]["label"] for answer in answers]
    assert found == pytest.approx([answer[0]["score"] for answer in answers], abs=1e-5)
    assert len({*said}) > 1 and max(found) - min(found) > 1e-3


def test_a_prompt_changes_what_is_compared(folder_of):
    adapter = load_model(str(folder_of("clip")))
    _, states = shown(adapter, "clip")
    plain = adapter.likelihood(states, LABELS[:6], GENERATION).log_probs
    asked = adapter.likelihood(states, LABELS[:6], replace(GENERATION, prompt="word7 {}")).log_probs
    assert (plain - asked).abs().max() > 1e-2


def test_sigmoids_are_no_distribution(folder_of):
    """What is printed does not depend on the other labels; what distributions are compared by sums to 1."""
    adapter = load_model(str(folder_of("siglip")))
    _, states = shown(adapter, "siglip")
    said = adapter.decode(states, GENERATION)
    alone = [
        adapter.probability(states[n : n + 1], [label], Generation(labels=(label,))) for n, label in enumerate(said)
    ]
    torch.testing.assert_close(adapter.probability(states, said, GENERATION), torch.cat(alone))
    forced = adapter.likelihood(states, said, GENERATION)
    torch.testing.assert_close(forced.log_probs.exp().sum(-1), torch.ones(6, 1))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classification_is_the_pipelines(folder_of, name):
    adapter = load_model(str(folder_of(name)))
    pictures, states = shown(adapter, name)
    pipeline = transformers.pipeline(
        "image-classification", model=adapter.model, image_processor=adapter.processor, top_k=1
    )
    said = adapter.decode(states, Generation())
    answers = [answer[0] for answer in pipeline(pictures)]
    assert said == [answer["label"] for answer in answers]
    found = adapter.probability(states, said, Generation()).tolist()
    assert found == pytest.approx([answer["score"] for answer in answers], abs=1e-5)
    assert adapter.labels == tuple(CLASSES) and len({*said}) > 1


def test_the_class_in_the_configuration_is_the_one_that_speaks(folder_of, tmp_path):
    adapter = load_model(str(folder_of("deit-teacher")))
    assert type(adapter.model) is transformers.DeiTForImageClassificationWithTeacher
    s = np.ones((3, 4), np.float32)
    s[1, 2] = 0
    export(adapter, s, tmp_path / "out", {}, "slice")
    again = load_model(str(tmp_path / "out"))
    assert isinstance(again.model, transformers.DeiTForImageClassificationWithTeacher)
    assert again.geometry.heads_in == (4, 3, 4)
    plain = load_model(str(folder_of("deit")))
    assert type(plain.model) is transformers.DeiTForImageClassification


def test_of_classes_spelt_alike_the_likelier_is_meant(folder_of):
    adapter = load_model(str(folder_of("vit")))
    twins = [place for place, name in enumerate(CLASSES) if CLASSES.count(name) > 1]
    _, states = shown(adapter, "vit")
    forced = adapter.likelihood(states, [CLASSES[twins[0]]] * 6, Generation())
    best = forced.log_probs[:, 0, twins].argmax(dim=1)
    assert forced.tokens[:, 0].tolist() == [twins[place] for place in best]
    assert {*best.tolist()} == {0, 1}, "both should be meant once for this to show anything"


@pytest.mark.parametrize("name", ["clip", "siglip", "vit"])
def test_what_cannot_be_chosen_is_refused(folder_of, name):
    adapter = load_model(str(folder_of(name)))
    _, states = shown(adapter, name)
    with pytest.raises(ModelError, match="none of the 12 labels"):
        adapter.likelihood(states[:1], ["something else"], GENERATION)
    with pytest.raises(UsageError, match="prompt"):
        adapter.decode(states, replace(GENERATION, prompt="word7"))
    if name != "vit":
        with pytest.raises(UsageError, match="chooses among labels"):
            adapter.decode(states, Generation())


def test_the_text_tower_reads_a_list_once(folder_of):
    adapter = load_model(str(folder_of("clip")))
    _, states = shown(adapter, "clip")
    read: list[int] = []
    adapter.model.text_model.register_forward_hook(
        lambda module, args, kwargs, out: read.append(len(kwargs["input_ids"])) if "input_ids" in kwargs else None,
        with_kwargs=True,
    )
    many = tuple(f"word{n % 40} word{n // 40}" for n in range(300))
    for _ in range(3):
        adapter.decode(states, Generation(labels=many))
        adapter.decode(states, GENERATION)
    # Blank ids are what the model is given afterwards, one a label: nothing reads them.
    assert [rows for rows in read if rows not in (len(many), len(LABELS))] == [256, 44]
    inputs = adapter.processor(text=list(many), return_tensors="pt", padding=True)
    with torch.no_grad():
        expected = adapter.model(**inputs, pixel_values=adapter.prepare(ZOO["clip"].pictures())).logits_per_image
    found = adapter.likelihood(states, [many[0]] * 6, Generation(labels=many)).log_probs[:, 0]
    torch.testing.assert_close(found, expected.log_softmax(-1), atol=1e-4, rtol=1e-4)


def test_labels_that_are_cut_are_announced(folder_of):
    adapter = load_model(str(folder_of("clip")))
    _, states = shown(adapter, "clip")
    long = " ".join(f"word{n}" for n in range(20))
    with pytest.warns(Notice, match=r"1 of 2 labels are longer than the 16 tokens"):
        adapter.decode(states, Generation(labels=(long, "word1")))


@pytest.mark.parametrize("name", ["clip", "siglip", "vit"])
@pytest.mark.parametrize("scorer", ["logit", "gradient"])
def test_distributions_are_scored(folder_of, name, scorer):
    adapter = load_model(str(folder_of(name)))
    known = adapter.labels or LABELS
    dataset = Dataset("tiny", samples(name), labels=() if adapter.labels else LABELS)
    edit = {} if scorer == "gradient" else {"edit": "ablate", "decode_at": "last"}
    result = headprune.score(adapter, dataset, samples=4, scorer=scorer, **edit)
    assert (result.patch.importance > 0).any() and np.isfinite(result.patch.importance).all()
    recorded = result.patch.info.generation["labels"]
    assert recorded["count"] == len(known) and len(recorded["sha256"]) == 64


def test_gold_captions_are_the_labels_where_none_are_given(folder_of):
    adapter = load_model(str(folder_of("clip")))
    settings = {"samples": 4, "scorer": "bleu", "edit": "ablate", "decode_at": "last"}
    found = headprune.score(adapter, Dataset("tiny", samples("clip")), **settings).patch.info.generation["labels"]
    assert found["count"] == 6
    mute = tuple(Sample(sample.id, (), sample.load) for sample in samples("clip"))
    with pytest.raises(UsageError, match="neither labels nor captions"):
        headprune.score(adapter, Dataset("tiny", mute), samples=4, scorer="logit")


def test_a_model_without_its_classifier_is_refused(folder_of, tmp_path):
    adapter = load_model(str(folder_of("dinov2")))
    adapter.model.dinov2.save_pretrained(tmp_path)
    adapter.processor.save_pretrained(tmp_path)
    for opening in (load_model, outline_model):
        with pytest.raises(ModelError, match="it is a Dinov2Model, and only Dinov2ForImageClassification is"):
            opening(str(tmp_path))


NAMES = {str(number): f"class {number}" for number in range(1000)}
CROP = {
    "image_processor_type": "BitImageProcessor",
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "size": {"shortest_edge": 256},
}
# As the hub has them, with what is published of their sizes: tokens, parameters.
PUBLISHED = {
    "siglip-base-patch16-224": ({"model_type": "siglip"}, 196, 203_155_970),
    "vit-base-patch16-224": ({"model_type": "vit", "id2label": NAMES}, 197, 86_567_656),
    "deit-base-distilled-patch16-224": (
        {"model_type": "deit", "id2label": NAMES, "architectures": ["DeiTForImageClassificationWithTeacher"]},
        198,
        87_338_192,
    ),
    # 86,580,480 in the tower, and a layer from its CLS token and the mean of the others to 1,000 classes.
    "dinov2-base-imagenet1k-1-layer": (
        {"model_type": "dinov2", "id2label": NAMES, "image_size": 518, "patch_size": 14},
        257,
        88_117_480,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(tmp_path, name):
    config, tokens, parameters = PUBLISHED[name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CROP))
    outline = outline_model(str(tmp_path))
    assert (outline.tokens, outline.parameters) == (tokens, parameters)
    assert (outline.geometry.layers, outline.geometry.heads, outline.geometry.head_width) == (12, 12, 64)


OLD = {
    "clip": ("CLIP", "vision_model.encoder.layers.1.self_attn.q_proj.weight"),
    "vit": ("ViT", "vit.encoder.layer.1.attention.attention.query.weight"),
    "deit-teacher": ("DeiT", "deit.encoder.layer.1.attention.attention.query.weight"),
}


@pytest.mark.parametrize("name", OLD)
def test_checkpoints_of_old_are_read(folder_of, tmp_path, name):
    """Weights by the names they had before transformers 5, a processor by the name it had before 4.26."""
    kind, weight = OLD[name]
    folder = shutil.copytree(folder_of(name), tmp_path / name)
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert weight in {*weights.keys()}
    (folder / "processor_config.json").unlink(missing_ok=True)
    old = {"feature_extractor_type": f"{kind}FeatureExtractor", "size": 32, "crop_size": 32, "do_resize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(old))
    adapter = load_model(str(folder))
    pictures, states = shown(adapter, name)
    assert adapter.decode(states, GENERATION) == ZOO[name].vanilla(adapter, pictures, GENERATION)[0]
