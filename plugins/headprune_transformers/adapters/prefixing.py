"""PaliGemma: no chat, but a prefix that ends its line, behind which the caption stands."""

from __future__ import annotations

from headprune import Generation
from headprune_transformers.adapters.chatting import ChatAdapter


class PrefixAdapter(ChatAdapter):
    """The processor puts a picture's tokens before the prompt and ends its line."""

    def text(self, prompt: str) -> str:
        image = self.processor.image_token
        return prompt if image in prompt else image + prompt

    def before(self, generation: Generation) -> str:
        return f"{super().before(generation)}\n"
