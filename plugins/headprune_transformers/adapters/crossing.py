"""Models whose decoder reads the tower by cross-attention: BLIP, VisionEncoderDecoder, Pix2Struct."""

from __future__ import annotations

import torch
from torch import Tensor

from headprune import Form, Generation
from headprune_transformers.adapters.generating import GeneratingAdapter, repeated


class BlipAdapter(GeneratingAdapter):
    """BLIP's captioner, whose `generate` puts the start token over a prompt's first token, and drops its last one."""

    @property
    def encoder_decoder(self) -> bool:
        return False

    @property
    def ends(self) -> tuple[int, ...]:
        return (int(self.config.text_config.sep_token_id),)

    def ask(self, prompt: str | None, form: Form) -> dict[str, Tensor]:
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
        return {"input_ids": torch.tensor([[self.config.text_config.bos_token_id, *ids]], device=self.device)}

    def given(self, text: dict[str, Tensor]) -> dict[str, Tensor]:
        ids = text["input_ids"]
        # A copy, too: it is written into.
        return {"input_ids": torch.cat([ids, torch.full_like(ids[:, :1], self.end)], dim=1)}


class CrossingAdapter(GeneratingAdapter):
    """Encoder-decoders whose encoder is the tower. The decoder goes on from its start token and the prompt."""

    @property
    def start(self) -> int:
        """The token that the decoder begins with."""
        config = self.model.generation_config
        start = config.decoder_start_token_id  # type: ignore[union-attr]
        return int(config.bos_token_id if start is None else start)  # type: ignore[union-attr, arg-type]

    def ask(self, prompt: str | None, form: Form) -> dict[str, Tensor]:
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
        return {"decoder_input_ids": torch.tensor([[self.start, *ids]], device=self.device)}

    def echoed(self, text: dict[str, Tensor]) -> int:
        return text["decoder_input_ids"].shape[1]

    def before(self, generation: Generation) -> str:
        return self.prompt(generation) or ""

    def forced(self, states: Tensor, tokens: Tensor, prompt: str | None, form: Form) -> Tensor:
        asked = repeated(self._asked(prompt, form), len(states))["decoder_input_ids"]
        begun = torch.cat([asked, tokens[:, :-1]], dim=1)
        answer = self.model(**self.seen(states, form), decoder_input_ids=begun, use_cache=False)
        logits: Tensor = answer.logits[:, -tokens.shape[1] :]
        return logits
