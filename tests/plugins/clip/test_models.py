"""Which CLIP is loaded, what is refused in one line, and what is recorded of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from headprune_clip.scorers import ClipScore
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTModel

from headprune import ModelError, ScoreItem, UsageError
from headprune.testing.scorers import any_picture

Make = Callable[..., ClipScore]
ITEMS = [ScoreItem("a dog", picture=any_picture)]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def copy(tiny_clip: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_clip, tmp_path / "elsewhere" / tiny_clip.name))


def refused(make: Make, model: object, says: str, **options: object) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        make(model=str(model), **options)
    assert "\n" not in caught.value.message and str(model) in caught.value.message and caught.value.hint


def test_the_default_is_the_papers(make: Make) -> None:
    assert ClipScore.Settings().model_dump(exclude={"batch_size", "device"}) == {
        "model": "openai/clip-vit-base-patch32", "revision": None, "w": 2.5, "prefix": "A photo depicts",
    }  # fmt: skip


def test_a_missing_folder_and_an_unreachable_hub(make: Make, tmp_path: Path) -> None:
    refused(make, tmp_path / "gone", "no model folder")
    refused(make, "nobody/no-such-clip", "cannot load the CLIP model")


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "processor_config.json"])
def test_half_a_folder(make: Make, copy: Path, lost: str) -> None:
    (copy / lost).unlink()
    refused(make, copy, "cannot load the CLIP model")


def test_a_folder_without_a_tokenizer(make: Make, copy: Path) -> None:
    for file in copy.glob("tokenizer*"):
        file.unlink()
    refused(make, copy, "lacks its tokenizer's files")


def test_pickled_weights_are_not_read(make: Make, copy: Path) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    refused(make, copy, "safetensors")


def test_missing_weights_are_not_made_up(make: Make, copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    refused(make, copy, r"lacks weights: text_projection\.weight")


def test_weights_of_another_size(make: Make, copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["projection_dim"] = 20
    (copy / "config.json").write_text(json.dumps(config))
    refused(make, copy, "cannot load the CLIP model")


def test_another_model(make: Make, copy: Path) -> None:
    ViTModel(ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)).save_pretrained(
        copy
    )
    refused(make, copy, "CLIP model")


def test_code_in_a_folder_is_not_run(make: Make, copy: Path, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    (copy / "evil.py").write_text(f"open({str(trace)!r}, 'w')\n")
    for name in ("config.json", "tokenizer_config.json", "processor_config.json"):
        written = json.loads((copy / name).read_text())
        kinds = ("AutoConfig", "AutoModel", "AutoProcessor", "AutoImageProcessor")
        written["auto_map"] = dict.fromkeys(kinds, "evil.Evil") | {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
        (copy / name).write_text(json.dumps(written))
    assert make(model=str(copy)).score(ITEMS) == make().score(ITEMS)
    assert not trace.exists()


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there(make: Make, device: str) -> None:
    with pytest.raises(UsageError, match=f"device={device}"):
        make(device=device)


@pytest.mark.parametrize("options", [{"w": 0}, {"w": "inf"}, {"batch_size": 0}, {"model": ""}])
def test_impossible_settings(make: Make, options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        make(**options)


def test_describe_does_not_depend_on_where_the_model_lies(make: Make, copy: Path, tiny_clip: Path) -> None:
    described = make().describe()
    (copy / "README.md").write_text("not part of the model")
    assert make(model=str(copy), batch_size=2).describe() == described
    assert described["model"] == "tiny-clip" and str(tiny_clip.parent) not in json.dumps(described)
    assert described.items() >= {"w": 2.5, "prefix": "A photo depicts", "revision": None}.items()
    assert make(w=1).describe() != described != make(prefix="").describe()


@pytest.mark.parametrize("part", ["model.safetensors", "tokenizer.json", "processor_config.json"])
def test_describe_tells_models_apart(make: Make, copy: Path, part: str) -> None:
    before = make(model=str(copy)).describe()["sha256"]
    if part == "model.safetensors":
        weights = load_file(copy / part)
        weights["visual_projection.weight"][0, 0] += 1e-3
        save_file(weights, copy / part, {"format": "pt"})
    else:
        written = json.loads((copy / part).read_text())
        if part == "tokenizer.json":
            letters = written["model"]["vocab"]
            letters["a"], letters["b"] = letters["b"], letters["a"]
        else:
            written["image_processor"]["resample"] = 2
        (copy / part).write_text(json.dumps(written))
    assert make(model=str(copy)).describe()["sha256"] != before


def test_a_hub_id_is_read_from_the_cache_and_recorded(
    make: Make, tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "models--someone--clip"
    shutil.copytree(tiny_clip, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "v1").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    scorer = make(model="someone/clip", revision="v1")
    assert scorer.score(ITEMS) == make().score(ITEMS)
    assert scorer.describe() == {**make().describe(), "model": "someone/clip", "revision": "v1"}
    refused(make, "someone/clip", "cannot load", revision="v2")
