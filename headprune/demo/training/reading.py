"""Captions read from any layer of the tower, greedily: D(Z[l]) of many pictures at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Blip2ForConditionalGeneration, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutput

from headprune.demo.scenes import Facts
from headprune.demo.training.build import PIXEL_MEAN, PIXEL_STD
from headprune.demo.training.objective import read, see


def as_input(pictures: NDArray[np.uint8]) -> Tensor:
    """Rendered pictures [B, S, S, 3] as the tower's input [B, 3, S, S], scaled as the processor scales them."""
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (PIXEL_MEAN, PIXEL_STD))
    return ((values - mean) / std).contiguous()


@torch.no_grad()
def captions_at(
    model: Blip2ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, pictures: Tensor, depth: int
) -> list[str]:
    """The greedy caption of each picture [B, 3, S, S] as layer `depth` gives it (0: the embeddings)."""
    encoded = BaseModelOutput(last_hidden_state=read(model, see(model, pictures, depth)))
    mask = torch.ones(encoded.last_hidden_state.shape[:2], dtype=torch.long)
    words = model.language_model.generate(encoder_outputs=encoded, attention_mask=mask, max_new_tokens=30)
    return list(tokenizer.batch_decode(words, skip_special_tokens=True))


def right_by_kind(right: Sequence[bool], facts: Sequence[Facts]) -> dict[str, float]:
    """The share of scenes got right among those of each kind, to three digits."""
    kinds = [fact.kind for fact in facts]
    own = {kind: [ok for ok, other in zip(right, kinds, strict=True) if other == kind] for kind in sorted(set(kinds))}
    return {kind: round(sum(oks) / len(oks), 3) for kind, oks in own.items()}
