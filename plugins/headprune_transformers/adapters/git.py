"""GIT: the tower's tokens stand before the text, in one decoder."""

from __future__ import annotations

import torch
from torch import Tensor

from headprune import Form, Generation
from headprune_transformers.adapters.generating import GeneratingAdapter


class GitAdapter(GeneratingAdapter):
    """The text begins with [CLS], and a prompt or question behind it is gone on from."""

    def ask(self, prompt: str | None, form: Form) -> dict[str, Tensor]:
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
        begun = torch.tensor([[self.config.bos_token_id, *ids]], device=self.device)
        return {"input_ids": begun, "attention_mask": torch.ones_like(begun)}

    def seen(self, states: Tensor, form: Form) -> dict[str, Tensor]:
        # Whether it is pictures or videos, it tells by the number of axes.
        return {"pixel_values": states[:, None]}

    def shown(self, states: Tensor, generation: Generation) -> Tensor:
        # The tower runs again for each beam.
        return states.repeat_interleave(generation.num_beams, dim=0)
