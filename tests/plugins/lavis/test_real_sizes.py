"""Real sizes without weights: LAVIS's own towers, and language models by their configurations."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headprune import Geometry
from tests.support.tiny_lavis import _eva as small_eva

FLAN_T5_XL = {
    "model_type": "t5",
    "vocab_size": 32128,
    "d_model": 2048,
    "d_ff": 5120,
    "d_kv": 64,
    "num_layers": 24,
    "num_heads": 32,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "decoder_start_token_id": 0,
}
OPT_2_7B = {
    "model_type": "opt",
    "vocab_size": 50272,
    "hidden_size": 2560,
    "word_embed_proj_dim": 2560,
    "ffn_dim": 10240,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 2048,
}
BERT_BASE = {"model_type": "bert", "vocab_size": 30522}
EVA, CLIP = Geometry(39, 16, 1408, 88, True), Geometry(21, 16, 1024, 64, True)


@pytest.fixture
def real(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Gives LAVIS configurations of real sizes, and its towers back their own."""
    from lavis.models import clip_vit, eva_vit
    from lavis.models.blip2_models import blip2
    from omegaconf import OmegaConf

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(blip2, "create_eva_vit_g", eva_vit.create_eva_vit_g)
    monkeypatch.setattr(blip2, "create_clip_vit_L", clip_vit.create_clip_vit_L)
    for folder, config in (("t5", FLAN_T5_XL), ("opt", OPT_2_7B), ("bert-base-uncased", BERT_BASE)):
        kept = ("config.json", "pytorch_model.bin")
        shutil.copytree(zoo / folder, tmp_path / folder, ignore=shutil.ignore_patterns(*kept))
        (tmp_path / folder / "config.json").write_text(json.dumps(config))

    def configured(cls, name: str, tower: str, **language_model: str) -> None:
        whole = OmegaConf.load(zoo / "qformer-eva.yaml")
        settings = {"vit_model": tower, "image_size": 224, "num_query_token": 32, "vit_precision": "fp16"}
        whole.model = {**whole.model, **settings, **language_model}
        OmegaConf.save(whole, tmp_path / f"{name}.yaml")
        known = {**cls.PRETRAINED_MODEL_CONFIG_DICT, name: str(tmp_path / f"{name}.yaml")}
        monkeypatch.setattr(cls, "PRETRAINED_MODEL_CONFIG_DICT", known)

    return configured


@pytest.mark.parametrize(
    ("language_model", "tower", "geometry", "tower_millions", "millions"),
    [
        # As published: 3.9 and 3.7 billion with the EVA tower of 986 million.
        ("t5", "eva_clip_g", EVA, 986, (3900, 3960)),
        ("opt", "eva_clip_g", EVA, 986, (3720, 3760)),
        # ViT-L/14 has 303 million in 24 layers; LAVIS takes 21.
        ("t5", "clip_L", CLIP, 265, (3200, 3230)),
    ],
)
def test_geometry_and_parameters(real, language_model, tower, geometry, tower_millions, millions):
    from lavis.models import Blip2OPT, Blip2T5

    from headprune.towers.load import outline_model

    cls = Blip2T5 if language_model == "t5" else Blip2OPT
    real(cls, "real", tower, **{f"{language_model}_model": language_model})
    start = time.perf_counter()
    outline = outline_model(f"lavis:blip2_{language_model}/real")
    assert time.perf_counter() - start < 30
    assert outline.geometry == geometry and outline.tokens == 257
    assert round(outline.tower_parameters / 1e6) == tower_millions
    assert millions[0] < outline.parameters / 1e6 < millions[1]


def test_our_small_tower_is_called_as_lavis_calls_its_own(real):
    import inspect

    from lavis.models.eva_vit import create_eva_vit_g

    assert list(inspect.signature(small_eva).parameters) == list(inspect.signature(create_eva_vit_g).parameters)


def test_torchvision_for_cuda_is_helped_and_said(zoo: Path):
    """In a process of its own: in this one LAVIS is imported already."""
    alone = [sys.executable, "-W", "ignore", "-c"]
    broken = subprocess.run([*alone, "import torchvision"], capture_output=True, check=False).returncode != 0
    ask = "from headprune.cli.app import app; app(['caption', 'lavis:blip2_t5', 'p.png'])"
    (zoo / "p.png").touch()
    done = subprocess.run([*alone, ask], capture_output=True, text=True, check=False, cwd=zoo)
    assert done.returncode == 1 and "blip2_t5 needs a type" in done.stderr, done.stderr
    assert ("note: torchvision was built for CUDA" in done.stderr) == broken
    assert done.stdout == ""
