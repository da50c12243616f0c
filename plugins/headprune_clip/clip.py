"""A CLIP model: pictures and texts to unit vectors of one space."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel
from transformers.utils.hub import resolve_revision

from headprune import ModelError, UsageError, notice

# Else transformers has a repository without safetensors converted by others, and loads what they made of it.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")


class Clip:
    """A CLIP model in float32 with its tokenizer, and with its pictures prepared by Pillow, as CLIP's own are.

    Args:
        model: a folder or a hub id.
        revision: of the hub's files.
        device: a torch device; None: CUDA where there is one, else the CPU.

    Raises:
        ModelError: it is not there, no CLIP, or not whole.
        UsageError: the device is not there.
    """

    def __init__(self, model: str, revision: str | None, device: str | None) -> None:
        folder = Path(model).expanduser()
        source, self.name = (str(folder), folder.resolve().name) if folder.is_dir() else (model, model)
        if not folder.is_dir() and model.startswith(("/", ".", "~")):
            raise ModelError(f"there is no model folder {model}", "check model=FOLDER")
        try:
            # The commit that it stands for now: all files are of it, though the branch may move on meanwhile.
            revision = resolve_revision(source, revision)
            # Concrete classes, safetensors only: nothing in a checkpoint is ever run.
            loaded, told = CLIPModel.from_pretrained(
                source, revision=revision, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
            self._tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
            self._processor = CLIPImageProcessorPil.from_pretrained(source, revision=revision)
        # transformers raises OSError, ValueError, KeyError, RuntimeError and more for what is not as it should be.
        except Exception as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            hint = "check the name, the revision and the network; model=FOLDER works offline; safetensors weights only"
            raise ModelError(f"cannot load the CLIP model {model}: {reason}", hint) from error
        # Of both transformers says little and goes on, with random weights, or with a tokenizer that knows no word.
        lacking = sorted(map(str, told["missing_keys"]))
        if lacking or set(self._tokenizer.get_vocab()) <= set(self._tokenizer.all_special_tokens):
            what = f"weights: {', '.join(lacking[:3])}" if lacking else "its tokenizer's files"
            raise ModelError(f"{model} is no CLIP model, or not whole: it lacks {what}", "give another model")
        self.fingerprint = _fingerprint(loaded, self._tokenizer, self._processor)
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._model: Any = loaded.to(self._device).eval()
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"device={device} cannot be used here", "leave device out, or give device=cpu") from error
        self._positions = loaded.config.text_config.max_position_embeddings
        self._cut_told = False

    @torch.inference_mode()
    def pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        """[n, d], each of length 1, on the CPU."""
        pixels = self._processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        return _unit(self._model.get_image_features(pixel_values=pixels.to(self._device)).pooler_output)

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """[n, d], each of length 1, on the CPU. What is longer than the model can read is cut off, and that is said."""
        # Captions are anyone's text: "<|endoftext|>" in one must not end it.
        encoded = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._positions,
            split_special_tokens=True,
            return_tensors="pt",
        )
        if not self._cut_told and any(one.overflowing for one in encoded.encodings):
            notice(f"{self.name} reads {self._positions} tokens: longer captions are scored by their beginning")
            self._cut_told = True
        given = {name: encoded[name].to(self._device) for name in ("input_ids", "attention_mask")}
        return _unit(self._model.get_text_features(**given).pooler_output)


def _unit(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features, dim=-1).cpu()


def _fingerprint(model: Any, tokenizer: Any, processor: Any) -> str:
    """SHA-256 over what makes a vector: weights, configuration, tokenizer and how pictures are prepared."""
    whole = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        whole.update(name.encode() + weight.contiguous().numpy().tobytes())
    for part in (model.config.to_json_string(), tokenizer.backend_tokenizer.to_str(), processor.to_json_string()):
        whole.update(part.encode())
    return whole.hexdigest()
