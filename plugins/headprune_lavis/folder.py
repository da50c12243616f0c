"""Writing a LAVIS model as a folder: safetensors under LAVIS's own names, and all that LAVIS fetches from elsewhere."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from torch import Tensor

from headprune_lavis import standalone
from headprune_lavis.zoo import Description

_FETCHED = ("pretrained", "finetuned")
_PART = "5GB"


def save_folder(model: Any, description: Description, folder: Path) -> None:
    """Write weights, tokenizers, configurations and the code that loads them."""
    save_tensors(model.state_dict(), folder)
    model.tokenizer.save_pretrained(folder / standalone.BERT)
    model.Qformer.config.save_pretrained(folder / standalone.BERT)
    settings = {key: value for key, value in description["model"].items() if key not in _FETCHED}
    for name in ("t5", "opt"):
        if hasattr(model, f"{name}_model"):
            getattr(model, f"{name}_model").config.save_pretrained(folder / standalone.LANGUAGE_MODEL)
            getattr(model, f"{name}_tokenizer").save_pretrained(folder / standalone.LANGUAGE_MODEL)
            settings[f"{name}_model"] = standalone.LANGUAGE_MODEL
    written = {**description, "model": settings}
    (folder / standalone.DESCRIPTION).write_text(json.dumps(written, indent=2, sort_keys=True) + "\n", "utf-8")
    (folder / standalone.CODE).write_text(inspect.getsource(standalone), encoding="utf-8")


def save_tensors(tensors: dict[str, Tensor], folder: Path) -> None:
    """Write `model.safetensors`, or parts of 5 GB with an index. Tied tensors are written under each of their names."""
    from huggingface_hub import save_torch_state_dict

    seen: set[int] = set()
    written = {}
    for name, tensor in tensors.items():
        where = tensor.data_ptr()
        # safetensors refuses tensors that share memory, and the hub's writer keeps one name of them.
        written[name] = tensor.detach().cpu().clone() if where in seen and tensor.numel() else tensor.detach().cpu()
        seen.add(where)
    save_torch_state_dict(written, folder, metadata={"format": "pt"}, max_shard_size=_PART)
