"""Tiny random LAVIS models, made known to its zoo: real classes, real checkpoints, only the towers' sizes are ours.

Needs salesforce-lavis. LAVIS fixes the sizes of its towers in two functions, which are replaced for as long as a test
runs, and reads the Q-Former's size from `bert-base-uncased`, which a folder of that name in the current folder is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

LAYERS, HEADS, WIDTH, QUERIES, SIZE, PATCH = 3, 4, 32, 3, 32, 8
WORDS = [f"word{index}" for index in range(40)]
# One row more than the tokenizer has words: transformers' BLIP-2 marks with it where the picture is.
SPARE = 2
MODELS = {
    "t5-eva": ("blip2_t5", "eva_clip_g"),
    "opt-eva": ("blip2_opt", "eva_clip_g"),
    "t5-clip": ("blip2_t5", "clip_L"),
    "opt-clip": ("blip2_opt", "clip_L"),
    "qformer-eva": ("blip2", "eva_clip_g"),
    "qformer-clip": ("blip2", "clip_L"),
}
"""Name in our zoo -> LAVIS's architecture and tower."""


def names() -> list[str]:
    """What loads each of them, as MODEL."""
    return [f"lavis:{arch}/{name}" for name, (arch, _) in MODELS.items()]


@contextmanager
def small_towers() -> Iterator[None]:
    """Within the context LAVIS's towers are small."""
    from lavis.models.blip2_models import blip2

    before = blip2.create_eva_vit_g, blip2.create_clip_vit_L
    blip2.create_eva_vit_g, blip2.create_clip_vit_L = _eva, _clip
    try:
        yield
    finally:
        blip2.create_eva_vit_g, blip2.create_clip_vit_L = before


def _eva(img_size: int, drop_path_rate: float, use_checkpoint: bool, precision: str) -> nn.Module:
    from lavis.models.eva_vit import VisionTransformer, convert_weights_to_fp16

    tower: nn.Module = VisionTransformer(
        img_size=img_size,
        patch_size=PATCH,
        use_mean_pooling=False,
        embed_dim=WIDTH,
        depth=LAYERS,
        num_heads=HEADS,
        mlp_ratio=2,
        qkv_bias=True,
        drop_path_rate=drop_path_rate,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_checkpoint=use_checkpoint,
    )
    if precision == "fp16":
        convert_weights_to_fp16(tower)
    return tower


def _clip(img_size: int, use_checkpoint: bool, precision: str) -> nn.Module:
    from lavis.models.clip_vit import VisionTransformer, convert_weights_to_fp16

    tower: nn.Module = VisionTransformer(img_size, PATCH, WIDTH, LAYERS + 1, HEADS, use_checkpoint)
    if precision == "fp16":
        convert_weights_to_fp16(tower)
    return tower


def build(root: Path, precision: str = "fp32") -> None:
    """Write the checkpoints of all models and what they are made of into `root`, the current folder."""
    _bert(root / "bert-base-uncased")
    _t5(root / "t5")
    _opt(root / "opt")
    for name, (arch, tower) in MODELS.items():
        _checkpoint(root, name, arch, tower, precision)


def known(root: Path) -> dict[Any, dict[str, str]]:
    """What LAVIS's classes are to know as their zoo: class -> type -> configuration."""
    from lavis.common.registry import registry

    found: dict[Any, dict[str, str]] = {}
    for name, (arch, _) in MODELS.items():
        found.setdefault(registry.get_model_class(arch), {})[name] = str(root / f"{name}.yaml")
    return found


def _bert(folder: Path) -> None:
    from lavis.models.blip2_models.Qformer import BertLMHeadModel
    from transformers import BertConfig, BertTokenizer

    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    config.save_pretrained(folder)
    config.add_cross_attention, config.query_length = True, QUERIES
    config.encoder_width, config.cross_attention_freq = WIDTH, 2
    torch.save(BertLMHeadModel(config).state_dict(), folder / "pytorch_model.bin")


def _t5(folder: Path) -> None:
    from lavis.models.blip2_models.modeling_t5 import T5Config, T5ForConditionalGeneration
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder.mkdir()
    words = ["<pad>", "</s>", "<unk>", *WORDS]
    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    made.save(str(folder / "tokenizer.json"))
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "extra_ids": 0}
    (folder / "tokenizer_config.json").write_text(json.dumps({**special, "model_max_length": 64}))
    # Flan's form: a gated layer, and a head of its own.
    config = T5Config(
        vocab_size=len(words) + SPARE,
        d_model=32,
        d_kv=16,
        d_ff=48,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)


def _opt(folder: Path) -> None:
    from lavis.models.blip2_models.modeling_opt import OPTConfig, OPTForCausalLM

    folder.mkdir()
    # Byte-level pieces as GPT-2 has them: letters, words of two letters, and the same behind a space.
    letters = list("abcdefgh")
    pairs = [(one, other) for one in letters for other in letters[:4]]
    merges = ["\u0120 a"] + [f"{one} {other}" for one, other in pairs] + [f"\u0120 {a}{b}" for a, b in pairs]
    pieces = [merge.replace(" ", "") for merge in merges]
    words = ["<s>", "<pad>", "</s>", "<unk>", "\u010a", "\u0120", *letters, *pieces]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    special = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**special, "add_bos_token": True, "tokenizer_class": "GPT2Tokenizer"})
    )
    config = OPTConfig(
        vocab_size=len(words) + SPARE,
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        bos_token_id=2,
        eos_token_id=2,
        pad_token_id=1,
    )
    OPTForCausalLM(config).save_pretrained(folder)


def _checkpoint(root: Path, name: str, arch: str, tower: str, precision: str) -> None:
    from lavis.common.registry import registry
    from omegaconf import OmegaConf

    processor = {"name": "blip_image_eval", "image_size": SIZE}
    model_settings = {
        "arch": name,
        "load_finetuned": True,
        "finetuned": str(root / f"{name}.pth"),
        "vit_model": tower,
        "image_size": SIZE,
        "drop_path_rate": 0,
        "use_grad_checkpoint": False,
        "vit_precision": precision,
        "freeze_vit": True,
        "num_query_token": QUERIES,
        "prompt": "",
        **({"t5_model": str(root / "t5")} if arch == "blip2_t5" else {}),
        **({"opt_model": str(root / "opt")} if arch == "blip2_opt" else {}),
    }
    whole = OmegaConf.create({"model": model_settings, "preprocess": {"vis_processor": {"eval": processor}}})
    OmegaConf.save(whole, root / f"{name}.yaml")
    cls: Any = registry.get_model_class(arch)
    # Built from its parts, drawn again, saved as the checkpoint that it is to be loaded from.
    torch.save({"model": {}}, root / f"{name}.pth")
    model = cls.from_config(whole.model)
    redraw(model, seed=list(MODELS).index(name) + 1)
    torch.save({"model": model.state_dict()}, root / f"{name}.pth")


@torch.no_grad()
def redraw(model: nn.Module, seed: int) -> None:
    """Draw every weight again: matrices wide enough to matter, norms near one, no word for the spare rows."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator)
        norm = parameter.dim() == 1 and ("norm" in name.lower() or ".ln_" in name or name.startswith("ln_"))
        if norm and name.endswith("weight"):
            drawn = 1 + 0.1 * drawn
        elif name.startswith(("t5_proj", "opt_proj")):
            # Loud enough that the words follow the picture.
            pass
        elif parameter.dim() >= 2:
            drawn *= 1.4 / parameter[0].numel() ** 0.5
        else:
            drawn *= 0.2
        parameter.copy_(drawn)
        if any(part in name for part in ("lm_head", "embed_tokens", "shared")):
            parameter[-SPARE:] = 0
