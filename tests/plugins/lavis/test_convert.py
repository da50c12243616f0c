"""LAVIS against transformers on the same weights. transformers runs in a process of its own environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headprune import ModelError, Notice, load_model
from headprune.jobs.convert import perform_convert
from tests.cli.conftest import Place
from tests.support.tiny_lavis import MODELS

PYTHON = os.environ.get("HEADPRUNE_TRANSFORMERS_PYTHON", "")
ROOT = Path(__file__).parents[3]
CONVERTED = pytest.mark.parametrize("model", ["t5-eva", "opt-eva"])
# transformers holds a bias of k, which LAVIS has not; it is 0. So many numbers a head.
OF_NO_USE = 8
PROMPTS = {"t5-eva": "word3 word7", "opt-eva": "ab cd"}

# Commands in one process, one document each; then pixels, tokens and captions without the command line.
THERE = """
import json, sys
import numpy as np
from pathlib import Path
from typer.testing import CliRunner
import headprune
from headprune.cli.app import app
from headprune.patch.fit import fingerprint
import transformers
from PIL import Image

asked = json.loads(sys.argv[1])
found = {"version": transformers.__version__, "documents": []}
for words in asked["commands"]:
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, (words, result.stderr)
    found["documents"].append(json.loads(result.stdout))
pictures = [Image.open(path).convert("RGB") for path in sorted(Path("data").glob("*.png"))]
adapter = headprune.load_model("there")
np.save("pixels.npy", adapter.prepare(pictures).numpy())
np.save("states.npy", adapter.last_states(adapter.prepare(pictures)).detach().numpy())
found["fingerprint"] = fingerprint(adapter)
found["parameters"] = adapter.parameter_count()
found["ids"] = [adapter.processor.tokenizer(text)["input_ids"] for text in asked["texts"]]
# As transformers' documentation shows it.
model = transformers.AutoModelForImageTextToText.from_pretrained("there")
processor = transformers.AutoProcessor.from_pretrained("there")
inputs = processor(images=pictures, text=[asked["prompt"]] * len(pictures), return_tensors="pt")
tokens = model.generate(**inputs, max_new_tokens=8)
if not model.config.text_config.is_encoder_decoder:
    tokens = tokens[:, inputs["input_ids"].shape[1]:]
found["said"] = [text.strip() for text in processor.batch_decode(tokens, skip_special_tokens=True)]
print("FOUND" + json.dumps(found))
"""


def there(place: Place, *commands: tuple[object, ...], texts: tuple[str, ...] = (), prompt: str = "") -> dict[str, Any]:
    """What the other environment finds, in the place's folder, with `there` as MODEL."""
    if not PYTHON:
        pytest.skip("HEADPRUNE_TRANSFORMERS_PYTHON names no environment with transformers 5: make test-lavis does")
    asked = {"commands": [[str(word) for word in words] for words in commands], "texts": texts, "prompt": prompt}
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "HF_HUB_OFFLINE": "1"}
    words = [PYTHON, "-c", THERE, json.dumps(asked)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=place.folder, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("FOUND"))
    found: dict[str, Any] = json.loads(line.removeprefix("FOUND"))
    assert int(found["version"].split(".")[0]) >= 5
    return found


def here(model: str) -> str:
    return f"lavis:{MODELS[model][0]}/{model}"


@CONVERTED
def test_the_same_pictures_get_the_same_captions_and_coefficients(lavis_place: Place, model: str):
    place = lavis_place
    document = place.document("convert", here(model), "--to", "there")
    assert document["geometry"]["layers"] == 3 and document["out"] == "there"
    data = ("--data", "data", "--samples", 5, "--max-new-tokens", 8)
    runs = {
        "words": (*data, "--scorer", "./overlap.py:Overlap"),
        "last": (*data, "--scorer", "./overlap.py:Overlap", "--edit", "ablate", "--decode-at", "last"),
        "logits": (*data, "--scorer", "logit", "--edit", "ablate"),
        "gradients": (*data, "--scorer", "gradient"),
        "prompted": (*data, "--scorer", "./overlap.py:Overlap", "--prompt", PROMPTS[model]),
    }
    pictures = sorted(str(path) for path in Path("data").glob("*.png"))
    captions = ("--max-new-tokens", 8)
    spoken = [
        (*captions,),
        (*captions, "--layer", 0),
        (*captions, "--prompt", PROMPTS[model]),
        ("--num-beams", 3, *captions),
    ]
    texts = ("", PROMPTS[model], "word3 ab" if model == "t5-eva" else " abed hg\nab", f" {PROMPTS[model]} ")
    theirs = there(
        place,
        *(("score", "there", *words, "--out", f"there-{name}") for name, words in runs.items()),
        *(("caption", "there", *pictures, *words) for words in spoken),
        texts=texts,
        prompt=PROMPTS[model],
    )
    adapter = load_model(here(model))
    assert theirs["fingerprint"] == _fingerprint(adapter)
    assert theirs["parameters"] == adapter.parameter_count() + 12 * OF_NO_USE
    # Pixels are equal, not close: both resize with Pillow.
    opened = [_opened(path) for path in pictures]
    assert np.array_equal(np.load("pixels.npy"), adapter.prepare(opened).numpy())
    np.testing.assert_allclose(
        np.load("states.npy"), adapter.last_states(adapter.prepare(opened)).detach().numpy(), atol=2e-5
    )
    assert theirs["ids"] == [adapter.speech.tokenizer(text)["input_ids"] for text in texts]
    documents = iter(theirs["documents"])
    for name, words in runs.items():
        ours, other = place.document("score", here(model), *words, "--out", f"here-{name}"), next(documents)
        for kind in ("importance", "alpha"):
            means = [[row[kind]["mean"] for row in side["layers"]] for side in (ours, other)]
            np.testing.assert_allclose(*means, atol=1e-4, err_msg=f"{name} {kind}")
            assert np.ptp(means) > 1e-3
    said = {}
    for words in spoken:
        said[words] = place.document("caption", here(model), *pictures, *words)["captions"]
        assert said[words] == next(documents)["captions"]
    assert len({json.dumps(captions) for captions in said.values()}) == len(spoken)
    assert theirs["said"] == [item["caption"] for item in said[spoken[2]]]


@CONVERTED
def test_a_patch_made_on_one_side_applies_on_the_other(lavis_place: Place, model: str):
    place = lavis_place
    place.document("convert", here(model), "--to", "there")
    words = ("--data", "data", "--samples", 3, "--max-new-tokens", 8, "--scorer", "logit", "--edit", "ablate")
    rule = ("--scale", "mean-one", "--prune", "count=2")
    picture = ("data/p0.png", "data/p1.png", "data/p2.png")
    place.document("score", here(model), *words, "--out", "run-here")
    theirs = there(
        place,
        ("score", "there", *words, "--out", "run-there"),
        ("caption", "there", *picture, "--patch", "run-here/patch.safetensors", *rule),
        ("apply", "there", "run-here/patch.safetensors", *rule, "--how", "slice", "--out", "sliced-there"),
        ("caption", "sliced-there", *picture),
    )
    patched, applied, sliced = theirs["documents"][1:]
    ours = place.document("caption", here(model), *picture, "--patch", "run-there/patch.safetensors", *rule)
    assert ours["captions"] == patched["captions"] == sliced["captions"]
    assert ours["captions"] != place.document("caption", here(model), *picture)["captions"]
    made = place.document(
        "apply", here(model), "run-there/patch.safetensors", *rule, "--how", "slice", "--out", "sliced"
    )
    assert made["pruned"] == applied["pruned"] and len(made["pruned"]) == 6
    assert made["parameters_after"] == applied["parameters_after"] - 6 * OF_NO_USE
    assert place.document("caption", "sliced", *picture)["captions"] == ours["captions"]


def _opened(path: str) -> Any:
    from PIL import Image

    return Image.open(path).convert("RGB")


def _fingerprint(adapter: Any) -> str:
    from headprune.patch.fit import fingerprint

    return fingerprint(adapter)


def test_a_folded_model_is_converted_too(lavis_place: Place):
    place = lavis_place
    words = ("--data", "data", "--samples", 2, "--max-new-tokens", 8, "--scorer", "logit", "--edit", "ablate")
    place.document("score", here("t5-eva"), *words, "--out", "run")
    place.document("apply", here("t5-eva"), "run/patch.safetensors", "--prune", "count=2", "--out", "folded")
    place.document("convert", "folded", "--to", "there")
    theirs = there(place, ("caption", "there", "data/p0.png", "data/p1.png"))
    assert theirs["documents"][0] == place.document("caption", "folded", "data/p0.png", "data/p1.png")
    place.document(
        "apply", here("t5-eva"), "run/patch.safetensors", "--prune", "count=2", "--how", "slice", "--out", "less"
    )
    said = place.refuses(1, "convert", "less", "--to", "nothing")
    assert "sliced" in said and "patches carry over" in said


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("t5-clip", "no CLIP-L tower"),
        ("opt-clip", "no CLIP-L tower"),
        ("qformer-eva", "no BLIP-2 whose Q-Former speaks"),
    ],
)
def test_models_that_transformers_does_not_have(lavis_place: Place, model: str, told: str):
    assert told in lavis_place.refuses(1, "convert", here(model), "--to", "there")


def test_places_that_hold_something(lavis_place: Place):
    assert "data is not empty" in lavis_place.refuses(2, "convert", here("t5-eva"), "--to", "data")
    assert "is a file" in lavis_place.refuses(2, "convert", here("t5-eva"), "--to", "overlap.py")


def test_a_model_of_another_environment(lavis_place: Place):
    assert "needs transformers>=5" in lavis_place.refuses(3, "convert", "demo", "--to", "there")


@pytest.fixture
def standing(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(zoo)
    return zoo


def refused(adapter: Any, folder: Path, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        adapter.convert(folder)


def test_a_vocabulary_without_a_row_to_spare(standing: Path, tmp_path: Path):
    adapter = load_model(here("t5-eva"))
    adapter.speech.tokenizer.add_tokens(["more", "andmore"])
    refused(adapter, tmp_path, "all 45 rows")


def test_another_way_to_prepare_pictures(standing: Path, tmp_path: Path):
    from torchvision import transforms

    adapter = load_model(here("t5-eva"))
    adapter.processor.transform.transforms.insert(1, transforms.CenterCrop(20))
    refused(adapter, tmp_path, "Resize, CenterCrop, ToTensor, Normalize")


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_what_was_written_wrongly_is_not_left(
    standing: Path, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
):
    from headprune_lavis import convert
    from headprune_lavis.folder import save_tensors

    def saved(tensors: dict[str, torch.Tensor], folder: Path) -> None:
        written = dict(tensors)
        if damage == "lost":
            del written["query_tokens"]
        else:
            written["query_tokens"] = written["query_tokens"] + 1e-3
        save_tensors(written, folder)

    monkeypatch.setattr(convert, "save_tensors", saved)
    with pytest.raises(ModelError, match="query_tokens"):
        perform_convert(here("t5-eva"), tmp_path / "a" / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_prompt_that_lavis_asks_by_itself_is_told(standing: Path, tmp_path: Path):
    adapter = load_model(here("opt-eva"))
    adapter.model.prompt = "ab cd"
    with pytest.warns(Notice, match="LAVIS asks this model 'ab cd'"):
        adapter.convert(tmp_path)


@CONVERTED
def test_every_weight_is_there_once_more(standing: Path, tmp_path: Path, model: str):
    perform_convert(here(model), tmp_path / "out")
    tensors, weights = load_file(tmp_path / "out/model.safetensors"), load_model(here(model)).model.state_dict()
    # LAVIS's: q_bias and v_bias of each layer become one; a number of positions is no weight; T5's stacks name the
    # shared embedding again.
    again = 2 if model == "t5-eva" else 0
    assert len(tensors) == len(weights) - 3 - again - sum("position_ids" in key for key in weights)
    bias = tensors["vision_model.encoder.layers.1.self_attn.qkv.bias"]
    assert torch.equal(bias[:32], weights["visual_encoder.blocks.1.attn.q_bias"])
    assert not bias[32:64].any() and torch.equal(bias[64:], weights["visual_encoder.blocks.1.attn.v_bias"])


def test_a_large_checkpoint_is_written_in_parts(lavis_place: Place, monkeypatch: pytest.MonkeyPatch):
    from headprune_lavis import folder

    monkeypatch.setattr(folder, "_PART", "100KB")
    lavis_place.document("convert", here("t5-eva"), "--to", "there")
    assert (lavis_place / "there/model.safetensors.index.json").is_file()
    theirs = there(lavis_place, ("caption", "there", "data/p0.png"))
    assert theirs["documents"][0] == lavis_place.document("caption", here("t5-eva"), "data/p0.png")
    shutil.rmtree(lavis_place / "there")
