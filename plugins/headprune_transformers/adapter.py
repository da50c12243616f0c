"""A loaded transformers model as headprune sees it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from headprune import Adapter, Generation, ModelError, ModelRef, answering
from headprune_transformers.families import Family, token_count
from headprune_transformers.slicing import save_code, slice_model

if TYPE_CHECKING:
    from PIL.Image import Image


class TransformersAdapter(Adapter):
    """Pictures through the model's own processor, words through its own `generate`.

    Early exit rewrites nothing: while the model generates, its tower's embeddings and encoder answer from the states
    that are to be decoded, and everything behind them (final norm, Q-Former, projection, language model) is the
    model's own code.
    """

    def __init__(self, model: nn.Module, processor: Any, family: Family, ref: ModelRef) -> None:
        super().__init__(model, family.layout, ref)
        self.processor = processor
        self.family = family
        # The prompt is the same for all rows: tokenised once.
        self._prompt = lru_cache(maxsize=8)(self._tokenise)

    @property
    def tokens(self) -> int:
        return token_count(self.model.config, self.family)

    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        pixels: Tensor = self.processor.image_processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        return pixels.to(self.device, self.dtype)

    def encode(self, pixels: Tensor) -> None:
        self.tower(pixels)

    @torch.no_grad()
    def decode(self, states: Tensor, generation: Generation) -> list[str]:
        rows = states.shape[0]
        text = {name: ids.expand(rows, -1) for name, ids in self._prompt(generation.prompt).items()}
        with (
            answering(self.tower.get_submodule(self.family.embeddings), states),
            answering(self.tower.get_submodule(self.family.encoder), BaseModelOutput(last_hidden_state=states)),
        ):
            tokens = self.model.generate(  # type: ignore[operator]
                # Only its batch size is read: the tower's embeddings have answered already.
                pixel_values=states,
                **text,
                num_beams=generation.num_beams,
                max_new_tokens=generation.max_new_tokens,
                do_sample=False,
            )
        if "input_ids" in text and not self.model.config.text_config.is_encoder_decoder:  # type: ignore[union-attr]
            # A decoder-only language model answers with the prompt before the caption.
            tokens = tokens[:, text["input_ids"].shape[1] :]
        return [caption.strip() for caption in self.processor.batch_decode(tokens, skip_special_tokens=True)]

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)  # type: ignore[operator]
        self.processor.save_pretrained(folder)
        if hasattr(self.model.config, "headprune"):
            save_code(self.family, folder)

    def loading(self) -> str:
        code = ", trust_remote_code=True" if hasattr(self.model.config, "headprune") else ""
        auto = self.family.auto_class
        return (
            f"from transformers import {auto}, AutoProcessor\n\n"
            f"model = {auto}.from_pretrained(FOLDER{code})\n"
            f"processor = AutoProcessor.from_pretrained(FOLDER{code})"
        )

    def without_heads(self, kept: Sequence[Sequence[int]]) -> TransformersAdapter:
        return TransformersAdapter(slice_model(self.model, self.family, kept), self.processor, self.family, self.ref)

    def _tokenise(self, prompt: str | None) -> dict[str, Tensor]:
        """Input ids [1, S] and what belongs to them; empty for a family that generates without a prompt."""
        from PIL import Image

        prompt = prompt if prompt is not None else self.family.prompt
        if prompt is None:
            return {}
        # The processor puts the image tokens before the prompt only when it is given a picture.
        encoded = self.processor(images=Image.new("RGB", (32, 32)), text=prompt, return_tensors="pt")
        found = int((encoded["input_ids"] == self.model.config.image_token_index).sum())  # type: ignore[union-attr]
        due = self.model.config.num_query_tokens  # type: ignore[union-attr]
        if found != due:
            raise ModelError(
                f"the processor gives {found} image tokens where the model needs {due}",
                "set num_query_tokens in processor_config.json",
            )
        return {name: ids.to(self.device) for name, ids in encoded.items() if name != "pixel_values"}
