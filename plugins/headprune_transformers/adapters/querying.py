"""BLIP-2 and InstructBLIP: a Q-Former asks the tower, a language model speaks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from headprune import Form, ModelError
from headprune_transformers.adapters.generating import GeneratingAdapter, ends_of, repeated


class QueryingAdapter(GeneratingAdapter):
    """Image tokens stand before the prompt; the Q-Former's queries take their places."""

    @property
    def encoder_decoder(self) -> bool:
        return bool(self.config.text_config.is_encoder_decoder)

    @property
    def ends(self) -> tuple[int, ...]:
        model: Any = self.model.language_model
        return ends_of(model.generation_config)

    def ask(self, prompt: str | None, form: Form) -> dict[str, Tensor]:
        from PIL import Image

        if prompt is None:
            return {}
        # The processor puts the image tokens before the prompt only when it is given a picture.
        encoded = self.processor(images=Image.new("RGB", (32, 32)), text=prompt, return_tensors="pt")
        found = int((encoded["input_ids"] == self.config.image_token_index).sum())
        due = self.config.num_query_tokens
        if found != due:
            raise ModelError(
                f"the processor gives {found} image tokens where the model needs {due}",
                "set num_query_tokens in processor_config.json",
            )
        return {name: ids.to(self.device) for name, ids in encoded.items() if name != "pixel_values"}

    def unasked(self) -> dict[str, Tensor]:
        ids = [self.config.image_token_index] * self.config.num_query_tokens + [self.config.text_config.bos_token_id]
        return {"input_ids": torch.tensor([ids], device=self.device)}

    def forced(self, states: Tensor, tokens: Tensor, prompt: str | None, form: Form) -> Tensor:
        if not self.encoder_decoder:
            return super().forced(states, tokens, prompt, form)
        text = repeated(self._asked(prompt, form) or self.unasked(), len(states))
        language_model: Any = self.model.language_model
        begun = language_model.prepare_decoder_input_ids_from_labels(tokens)
        answer: Any = self.model(**self.seen(states, form), **text, decoder_input_ids=begun, use_cache=False)
        return answer.logits  # type: ignore[no-any-return]
