"""Chat models: picture and prompt are a user's turn, the caption is the answer to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from headprune import Form, Generation, ModelError, ModelRef
from headprune_transformers.adapters.generating import GeneratingAdapter
from headprune_transformers.family import Family

if TYPE_CHECKING:
    from PIL.Image import Image


class ChatAdapter(GeneratingAdapter):
    """Words through the processor's chat template; a picture's tokens stand in the text, in the user's turn."""

    def __init__(self, model: nn.Module, processor: Any, family: Family, ref: ModelRef) -> None:
        super().__init__(model, processor, family, ref)
        self._text = lru_cache(maxsize=64)(self.text)

    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        # By the whole processor, which has settings of its own for its image processor (tiles, padding).
        text = [self.processor.image_token] * len(pictures)
        pixels: Tensor = self.processor(images=list(pictures), text=text, return_tensors="pt")["pixel_values"]
        return pixels.to(self.device, self.dtype)

    def ask(self, prompt: str | None, form: Form) -> dict[str, Tensor]:
        text = self._text(prompt or "")
        # A template that begins with the first token leaves nothing for the tokenizer to add.
        start = self.tokenizer.bos_token
        options = {"add_special_tokens": False} if start is not None and text.startswith(start) else {}
        try:
            given = self.processor(images=self.blank(form), text=text, return_tensors="pt", **options)
        # Whatever does not fit (a second image token, a processor without its patch size) is raised as anything.
        except Exception as error:
            raise ModelError(
                f"the processor of {self.ref} makes nothing of {text!r}: {error}",
                "see the prompt and processor_config.json",
            ) from error
        found, due = int((given["input_ids"] == self.config.image_token_id).sum()), self.image_tokens(form)
        if found != due:
            raise ModelError(
                f"the processor gives {found} image tokens where the model needs {due}",
                "see the prompt, the chat template and processor_config.json",
            )
        # Labels, which PaliGemma's processor adds, are for training.
        wanted = ("input_ids", "attention_mask", "token_type_ids")
        return {name: given[name].to(self.device) for name in wanted if name in given}

    def text(self, prompt: str) -> str:
        """What the caption goes on from, an image token for the picture in it; a prompt that has one is the whole.

        Raises:
            ModelError: there is no chat template.
        """
        image = self.processor.image_token
        if image in prompt:
            return prompt
        template = self.processor.chat_template or self.tokenizer.chat_template
        if template is None:
            raise ModelError(
                f"{self.ref} has no chat template",
                f"put its chat_template.jinja there, or write the whole prompt, with {image} in it",
            )
        turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}
        # A processor that has several templates chooses itself.
        chosen = None if self.processor.chat_template else template
        text: str = self.processor.apply_chat_template([turn], chat_template=chosen, add_generation_prompt=True)
        return text

    def before(self, generation: Generation) -> str:
        return self._text(self.prompt(generation) or "")

    def blank(self, form: Form) -> Image:
        """Some picture of this form."""
        from PIL import Image

        return Image.new("RGB", (32, 32))

    def tokens_of(self, form: Form) -> int:
        """T, tokens that a picture of this form has in the tower."""
        return self.tokens

    @torch.no_grad()
    def image_tokens(self, form: Form) -> int:
        """Tokens that the model's connector makes of a picture of this form."""
        width = self.geometry.width * len(self.reads)
        states = torch.zeros(1, self.tokens_of(form), width, dtype=self.dtype, device=self.device)
        model: Any = self.model
        with self._showing(states, form):
            features = model.model.get_image_features(**self.seen(states, form)).pooler_output
        return sum(part.shape[:-1].numel() for part in features)
