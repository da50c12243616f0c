"""A loaded transformers model as headprune sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from headprune import Adapter, Generation, ModelError, ModelRef, TeacherForced, answering
from headprune_transformers.captions import caption_ids, going_on, padded
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

    @property
    def vocabulary(self) -> int:
        config: Any = self.model.config
        return int(config.text_config.vocab_size)

    @torch.no_grad()
    def decode(self, states: Tensor, generation: Generation) -> list[str]:
        rows = states.shape[0]
        text = {name: ids.expand(rows, -1) for name, ids in self._prompt(generation.prompt).items()}
        with self._showing(states):
            tokens = self.model.generate(  # type: ignore[operator]
                # Only its batch size is read: the tower's embeddings have answered already.
                pixel_values=states,
                **text,
                num_beams=generation.num_beams,
                max_new_tokens=generation.max_new_tokens,
                do_sample=False,
            )
        if "input_ids" in text and not self._encoder_decoder:
            # A decoder-only language model answers with the prompt before the caption.
            tokens = tokens[:, text["input_ids"].shape[1] :]
        return [caption.strip() for caption in self.processor.batch_decode(tokens, skip_special_tokens=True)]

    def likelihood(self, states: Tensor, captions: Sequence[str], generation: Generation) -> TeacherForced:
        asked = self._prompt(generation.prompt) or self._no_prompt()
        ids = [self._ids(caption, generation) for caption in captions]
        tokens, mask = (tensor.to(self.device) for tensor in padded(ids))
        text = {name: part.expand(len(states), -1) for name, part in asked.items()}
        if self._encoder_decoder:
            start = self.model.language_model.prepare_decoder_input_ids_from_labels(tokens)  # type: ignore[union-attr,operator]
            with self._showing(states):
                logits = self.model(pixel_values=states, **text, decoder_input_ids=start, use_cache=False).logits
        else:
            text = going_on(text, tokens)
            with self._showing(states):
                # The token before the caption speaks of its first, the last one of nothing that is asked.
                logits = self.model(
                    pixel_values=states, **text, logits_to_keep=tokens.shape[1] + 1, use_cache=False
                ).logits[:, :-1]
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return TeacherForced(exact.log_softmax(-1), tokens.to(exact.device), mask.to(exact.device))

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

    @property
    def _encoder_decoder(self) -> bool:
        return bool(self.model.config.text_config.is_encoder_decoder)  # type: ignore[union-attr]

    @contextmanager
    def _showing(self, states: Tensor) -> Iterator[None]:
        """Within the context the tower's layers answer with `states`, [R, T, d]."""
        with (
            answering(self.tower.get_submodule(self.family.embeddings), states),
            answering(self.tower.get_submodule(self.family.encoder), BaseModelOutput(last_hidden_state=states)),
        ):
            yield

    def _no_prompt(self) -> dict[str, Tensor]:
        """What `generate` makes of no prompt: the image tokens, then the token that begins a text."""
        config: Any = self.model.config
        ids = [config.image_token_index] * config.num_query_tokens + [config.text_config.bos_token_id]
        return {"input_ids": torch.tensor([ids], device=self.device)}

    def _ids(self, caption: str, generation: Generation) -> list[int]:
        prompt = generation.prompt if generation.prompt is not None else self.family.prompt
        before = "" if self._encoder_decoder else prompt or ""
        language_model: Any = self.model.language_model
        ends = language_model.generation_config.eos_token_id
        end = ends[0] if isinstance(ends, list) else ends
        return caption_ids(self.processor.tokenizer, caption, before, end, generation.max_new_tokens)

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
