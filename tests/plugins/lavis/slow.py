"""What LAVIS models say by LAVIS's own generate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import torch
from PIL.Image import Image
from torch import Tensor

from headprune import Generation


def vanilla_captions(model: Any, pixels: Tensor, generation: Generation) -> list[str]:
    """What a model says by its own generate, as LAVIS's documentation shows."""
    first = 0 if hasattr(model, "prompt") else 1
    asked = {} if generation.prompt is None else {"prompt": generation.prompt}
    said = model.generate(
        {"image": pixels, **asked},
        num_beams=generation.num_beams,
        max_length=generation.max_new_tokens + first,
        min_length=0,
    )
    return [caption.strip() for caption in said]


def answers(adapter: Any, pictures: Sequence[Image], generation: Generation) -> tuple[list[str], Tensor]:
    """Captions, and the logits [steps, B, V] that LAVIS's language model took its words from."""
    language_model, scores = adapter.speech.language_model, []
    generate = language_model.generate

    def overheard(*args: Any, **kwargs: Any) -> Tensor:
        made = generate(*args, **kwargs, return_dict_in_generate=True, output_scores=True)
        scores.extend(made.scores)
        return made.sequences

    with mock.patch.object(language_model, "generate", overheard):
        said = vanilla_captions(adapter.model, adapter.prepare(pictures), generation)
    return said, torch.stack(scores)
