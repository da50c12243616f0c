"""A LAVIS BLIP-2 as a transformers checkpoint, written without transformers' BLIP-2, which came after LAVIS's release.

The same weights under other names. One number differs: the norm behind the tower has eps 1e-5 in LAVIS, and in
transformers the eps of the tower's own norms, 1e-6; what it says differs by less than 5e-6 of itself for states of
variance 1 and more.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import transforms

from headprune import ModelError
from headprune_lavis.folder import save_tensors

_MARK = "<image>"
# LAVIS's name -> transformers'; the first that matches. What matches none is not part of a checkpoint there.
_NAMES = (
    (r"query_tokens", "query_tokens"),
    (r"visual_encoder\.cls_token", "vision_model.embeddings.class_embedding"),
    (r"visual_encoder\.pos_embed", "vision_model.embeddings.position_embedding"),
    (r"visual_encoder\.patch_embed\.proj\.(.*)", r"vision_model.embeddings.patch_embedding.\1"),
    (r"visual_encoder\.blocks\.(\d+)\.norm([12])\.(.*)", r"vision_model.encoder.layers.\1.layer_norm\2.\3"),
    (r"visual_encoder\.blocks\.(\d+)\.mlp\.(.*)", r"vision_model.encoder.layers.\1.mlp.\2"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.qkv\.weight", r"vision_model.encoder.layers.\1.self_attn.qkv.weight"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.(.*)", r"vision_model.encoder.layers.\1.self_attn.projection.\2"),
    (r"ln_vision\.(.*)", r"vision_model.post_layernorm.\1"),
    (r"Qformer\.bert\.embeddings\.LayerNorm\.(.*)", r"qformer.layernorm.\1"),
    (r"Qformer\.bert\.encoder\.(.*)attention\.self\.(.*)", r"qformer.encoder.\1attention.attention.\2"),
    (r"Qformer\.bert\.encoder\.(.*)", r"qformer.encoder.\1"),
    (r"(?:t5|opt)_proj\.(.*)", r"language_projection.\1"),
    # T5's stacks name the shared embedding once more.
    (r"(?:t5|opt)_model\.(?!(?:en|de)coder\.embed_tokens)(.*)", r"language_model.\1"),
)  # fmt: skip


def write_transformers(model: Any, processor: Any, folder: Path) -> None:
    """Write the checkpoint of a `Blip2ForConditionalGeneration` into `folder`, and see that it holds what it should.

    Raises:
        ModelError: transformers has no such model, or the checkpoint is not as it should be.
    """
    _refuse(model)
    tokenizer, token = _tokenizer(model)
    tensors = _tensors(model)
    _write(folder / "config.json", _configuration(model, token))
    _write(folder / "generation_config.json", _generation(model))
    _write(folder / "processor_config.json", _processor(model, processor))
    for name, content in tokenizer.items():
        _write(folder / name, content)
    save_tensors(tensors, folder)
    _check(tensors, folder)


def _refuse(model: Any) -> None:
    hint = "keep using it by lavis:ARCH/TYPE"
    if hasattr(model.visual_encoder, "transformer"):
        raise ModelError("transformers' BLIP-2 has no CLIP-L tower: its embeddings are normed, LAVIS's EVA's not", hint)
    if not (hasattr(model, "t5_model") or hasattr(model, "opt_model")):
        raise ModelError("transformers has no BLIP-2 whose Q-Former speaks: its first stage compares only", hint)
    if len({block.attn.num_heads for block in model.visual_encoder.blocks}) != 1 or _first(model).proj.in_features != (
        model.visual_encoder.num_features
    ):
        raise ModelError(
            "this model is sliced: transformers' BLIP-2 has as many heads in every layer",
            "convert the model it was sliced from, and apply the patch to that: patches carry over",
        )


def _first(model: Any) -> Any:
    return model.visual_encoder.blocks[0].attn


def _language_model(model: Any) -> Any:
    return model.t5_model if hasattr(model, "t5_model") else model.opt_model


def _tensors(model: Any) -> dict[str, Tensor]:
    """Every weight under its name in transformers."""
    found: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        for pattern, there in _NAMES:
            match = re.fullmatch(pattern, name)
            if match:
                found[match.expand(there)] = tensor
                break
    for number, block in enumerate(model.visual_encoder.blocks):
        q, v = block.attn.q_bias, block.attn.v_bias
        if q is not None:
            bias = torch.cat([q, torch.zeros_like(q), v]).detach()
            found[f"vision_model.encoder.layers.{number}.self_attn.qkv.bias"] = bias
    return found


def _configuration(model: Any, image_token: int) -> dict[str, Any]:
    tower, block, bert = model.visual_encoder, model.visual_encoder.blocks[0], model.Qformer.config
    patches = tower.patch_embed
    config = _language_model(model).config
    # The settings of its own class; what else it holds says how it was run or stored.
    fields = inspect.signature(type(config).__init__).parameters
    language = {name: getattr(config, name) for name in fields if hasattr(config, name)}
    if hasattr(model, "t5_model"):
        # LAVIS computes the exact GELU, and asks an empty prompt, which is the end token alone. transformers takes from
        # the last whether the logits are scaled.
        language |= {
            "dense_act_fn": "gelu",
            "bos_token_id": model.t5_tokenizer.eos_token_id,
            "decoder_start_token_id": config.decoder_start_token_id,
            "tie_word_embeddings": bool(config.tie_word_embeddings),
        }
    else:
        language |= {"eos_token_id": model.eos_token_id, "bos_token_id": model.opt_tokenizer.bos_token_id}
    return {
        "architectures": ["Blip2ForConditionalGeneration"],
        "model_type": "blip-2",
        "image_token_index": image_token,
        "num_query_tokens": model.query_tokens.shape[1],
        "vision_config": {
            "model_type": "blip_2_vision_model",
            "hidden_size": tower.num_features,
            "intermediate_size": block.mlp.fc1.out_features,
            "num_hidden_layers": len(tower.blocks),
            "num_attention_heads": block.attn.num_heads,
            "image_size": patches.img_size[0],
            "patch_size": patches.patch_size[0],
            "hidden_act": "gelu",
            "layer_norm_eps": block.norm1.eps,
            "qkv_bias": block.attn.q_bias is not None,
        },
        "qformer_config": {
            "model_type": "blip_2_qformer",
            "encoder_hidden_size": bert.encoder_width,
            "cross_attention_frequency": bert.cross_attention_freq,
            **{
                name: getattr(bert, name)
                for name in (
                    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                    "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings",
                    "layer_norm_eps", "pad_token_id",
                )
            },
        },
        "text_config": {**language, "model_type": config.model_type},
        "dtype": str(_first(model).proj.weight.dtype).removeprefix("torch."),
    }  # fmt: skip


def _generation(model: Any) -> dict[str, Any]:
    config = _language_model(model).config
    if hasattr(model, "t5_model"):
        start = {
            "decoder_start_token_id": config.decoder_start_token_id,
            "bos_token_id": model.t5_tokenizer.eos_token_id,
        }
        return {**start, "eos_token_id": config.eos_token_id, "pad_token_id": config.pad_token_id}
    # A caption ends with the line.
    first = model.opt_tokenizer.bos_token_id
    return {"bos_token_id": first, "eos_token_id": model.eos_token_id, "pad_token_id": config.pad_token_id}


def _processor(model: Any, processor: Any) -> dict[str, Any]:
    """The processor's configuration, read off what LAVIS does to a picture.

    Raises:
        ModelError: it does something else than resizing, scaling and normalising.
    """
    steps = getattr(getattr(processor, "transform", None), "transforms", [])
    kinds = [type(step) for step in steps]
    if kinds != [transforms.Resize, transforms.ToTensor, transforms.Normalize]:
        named = ", ".join(kind.__name__ for kind in kinds) or type(processor).__name__
        raise ModelError(f"the model's pictures go through {named}: transformers has no such processor", "report it")
    resize, _, normalize = steps
    height, width = resize.size
    return {
        "processor_class": "Blip2Processor",
        "num_query_tokens": model.query_tokens.shape[1],
        "image_processor": {
            "image_processor_type": "BlipImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": {"height": height, "width": width},
            # Pillow's number for bicubic.
            "resample": {"bicubic": 3, "bilinear": 2}[resize.interpolation.value],
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(normalize.mean),
            "image_std": list(normalize.std),
        },
    }


def _tokenizer(model: Any) -> tuple[dict[str, Any], int]:
    """The tokenizer's files, an image token added to its words, and the image token's number.

    Raises:
        ModelError: the language model has no row to spare for it.
    """
    from transformers.convert_slow_tokenizer import convert_slow_tokenizer

    found = model.t5_tokenizer if hasattr(model, "t5_model") else model.opt_tokenizer
    backend = found.backend_tokenizer if found.is_fast else convert_slow_tokenizer(found)
    whole = json.loads(backend.to_str())
    token, rows = backend.get_vocab_size(), _language_model(model).get_input_embeddings().num_embeddings
    if token >= rows:
        raise ModelError(
            f"all {rows} rows of the language model's vocabulary are words: none is left to mark the picture with",
            "transformers' BLIP-2 needs one that is not",
        )
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    there = {added["content"] for added in whole["added_tokens"]}
    for word in found.all_special_tokens:
        if word not in there:
            whole["added_tokens"].append({"id": backend.token_to_id(word), "content": word, **flags})
    whole["added_tokens"].sort(key=lambda added: added["id"])
    whole["added_tokens"].append({"id": token, "content": _MARK, **flags})
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "processor_class": "Blip2Processor",
        "model_max_length": found.model_max_length,
        "extra_special_tokens": [_MARK],
        **{name: str(word) for name, word in found.special_tokens_map.items() if isinstance(word, str)},
    }
    return {"tokenizer.json": whole, "tokenizer_config.json": settings}, token


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check(tensors: dict[str, Tensor], folder: Path) -> None:
    """See that the files hold every tensor, bit for bit."""
    left = set(tensors)
    for name, tensor in _stored(folder):
        if name not in left or not torch.equal(tensor, tensors[name].cpu()):
            raise ModelError(f"{name} was not written as it is", "nothing was written; this is a bug in headprune")
        left.remove(name)
    if left:
        raise ModelError(f"{sorted(left)[:3]} were not written", "nothing was written; this is a bug in headprune")


def _stored(folder: Path) -> Iterator[tuple[str, Tensor]]:
    from safetensors import safe_open

    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                yield name, opened.get_tensor(name)
