"""Models that choose among labels, on the command line."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from headprune import Generation, load_model, load_patch
from tests.support.zoo import ZOO
from tests.support.zoo_choosing import CLASSES, LABELS

IMAGES = [f"data/p{n}.png" for n in range(5)]
SCORE = ("--data", "data", "--scorer", "./overlap.py:Overlap", "--decode-at", "last", "--edit", "ablate")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("choosing")
    for name in ("clip", "vit"):
        ZOO[name].build(root / name)
    return {name: root / name for name in ("clip", "vit")}


@pytest.fixture
def here(place, built):
    for name, folder in built.items():
        (place / name).symlink_to(folder)
    (place / "labels.txt").write_text("\n".join(LABELS) + "\n")
    return place


def vanilla(here, name, generation):
    from PIL import Image

    adapter = load_model(name)
    pictures = [Image.open(path).convert("RGB") for path in IMAGES]
    said, logits = ZOO[name].vanilla(adapter, pictures, generation)
    return said, logits[0].softmax(-1).amax(-1).tolist()


def test_caption_says_labels_and_how_probable_they_are(here):
    words = ("caption", "clip", *IMAGES, "--prompt", "word7 {}", "--label", LABELS[3])
    said, probable = vanilla(here, "clip", Generation(labels=LABELS, prompt="word7 {}"))
    document = here.document(*words, "--labels", "labels.txt")
    assert [entry["caption"] for entry in document["captions"]] == said
    assert [entry["probability"] for entry in document["captions"]] == pytest.approx(probable, abs=1e-5)
    shown = here.run(*words, "--labels", "labels.txt").stdout.strip().splitlines()
    assert shown[0].split() == ["picture", "caption", "probability"] and shown[1].endswith(f"{probable[0]:.2f}")
    one = here.document(*words)["captions"]
    assert {entry["caption"] for entry in one} == {LABELS[3]} and {entry["probability"] for entry in one} == {1}


def test_caption_of_a_layer_and_of_a_head(here):
    words = ("caption", "vit", *IMAGES)
    whole = here.document(*words)["captions"]
    assert {entry["caption"] for entry in whole} <= {*CLASSES} and len({entry["caption"] for entry in whole}) > 1
    said, probable = vanilla(here, "vit", Generation())
    assert [entry["caption"] for entry in whole] == said
    assert [entry["probability"] for entry in whole] == pytest.approx(probable, abs=1e-5)
    assert here.document(*words, "--layer", 0)["captions"] != whole
    assert here.document(*words, "--head", "2.1")["captions"] != here.document(*words, "--head", "2.0")["captions"]
    assert here.document(*words, "--layer", -1)["captions"] == whole


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("caption", "clip", IMAGES[0]), 2, "chooses among labels"),
        (("caption", "vit", IMAGES[0], "--label", "dog"), 2, "labels of its own"),
        (("caption", "model", IMAGES[0], "--labels", "labels.txt"), 2, "words of its own"),
        (("caption", "clip", IMAGES[0], "--labels", "none.txt"), 1, "cannot be read"),
        (("caption", "clip", IMAGES[0], "--label", "dog", "--prompt", "a"), 2, "{}"),
        (("caption", "vit", IMAGES[0], "--prompt", "a {}"), 2, "prompt"),
    ],
)
def test_labels_that_are_missing_or_too_many_are_refused(here, words, code, told):
    assert told in here.refuses(code, *words)


def test_a_run_belongs_to_its_labels(here):
    """The list stands in the patch by its hash; another list is another run."""
    labels = ("--dataset-option", "labels=labels.txt")
    here.document("score", "clip", *SCORE, *labels, "--samples", 3, "--out", "run")
    again = here.document("score", "clip", *SCORE, *labels, "--samples", 3, "--out", "run")
    assert again["decoded"] == 0 and again["reused"] > 0
    recorded = load_patch(here / "run/patch.safetensors").info.generation
    assert recorded["labels"]["count"] == 12
    with sqlite3.connect(here / "run/run.sqlite") as store:
        said = {text for (text,) in store.execute("SELECT text FROM captions")}
    assert said <= {*LABELS} and len(said) > 1
    (here / "labels.txt").write_text("\n".join(LABELS[:5]) + "\n")
    result = here.run("score", "clip", *SCORE, *labels, "--samples", 3, "--out", "run")
    assert result.exit_code == 2 and "labels" in result.stderr
    other = here.document("score", "clip", *SCORE, *labels, "--samples", 3, "--out", "other")
    assert other["reused"] == 0


def test_gold_captions_are_labels(here):
    rows = [{"file_name": f"p{n}.png", "caption": LABELS[n]} for n in range(5)]
    (here / "data/metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    here.document("score", "clip", *SCORE, "--samples", 3, "--out", "run")
    assert load_patch(here / "run/patch.safetensors").info.generation["labels"]["count"] == 5
    said, _ = vanilla(here, "clip", Generation(labels=LABELS[:5]))
    found = here.document("evaluate", "clip", "--data", "data", "--scorer", "exact")
    expected = [said[n] == LABELS[n] for n in range(5)]
    assert found["before"]["score"]["mean"] == pytest.approx(sum(expected) / 5)


@pytest.mark.parametrize("how", ["fold", "slice"])
def test_apply_and_evaluate(here, how):
    here.document("score", "vit", *SCORE, "--samples", 3, "--out", "run")
    assert load_patch(here / "run/patch.safetensors").info.generation["labels"]["count"] == len(CLASSES)
    patch = "run/patch.safetensors"
    here.document("apply", "vit", patch, "--prune", "count=1", "--how", how, "--out", "out")
    with_patch = here.document("caption", "vit", *IMAGES, "--patch", patch, "--prune", "count=1")["captions"]
    exported = here.document("caption", "out", *IMAGES)["captions"]
    assert [entry["caption"] for entry in exported] == [entry["caption"] for entry in with_patch]
    probable = [entry["probability"] for entry in with_patch]
    assert [entry["probability"] for entry in exported] == pytest.approx(probable, abs=1e-4)


def test_auto_takes_the_labels_that_were_scored_with(here):
    for number in range(5, 20):
        shutil.copy(here / f"data/p{number % 5}.png", here / f"data/p{number}.png")
    rows = [{"file_name": f"p{n}.png", "caption": LABELS[n % 5]} for n in range(20)]
    (here / "data/metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--dataset-option", "labels=labels.txt", "--samples", 20)
    here.document("score", "clip", *SCORE, *options, "--out", "run")
    auto = ("apply", "clip", "run/patch.safetensors", "--prune", "auto", "--scorer", "exact")
    found = here.document(*auto, "--out", "out")["auto"]
    assert found["validation"] == 10 and len(found["curve"]) > 2
    (here / "labels.txt").write_text("\n".join(LABELS[:5]) + "\n")
    result = here.run(*auto, "--out", "other")
    assert result.exit_code == 1 and "not those that the patch was scored with" in result.stderr
