"""Captions back into tokens, so that a model can be asked what it thinks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def caption_ids(tokenizer: Any, caption: str, before: str, end: int, most: int) -> list[int]:
    """The tokens of a caption, with `end` behind them unless it has `most`, at which it was cut.

    Args:
        before: the prompt that a decoder-only model goes on from, in the same text: what begins a caption there is a
            word in the middle of a line. Empty where the caption is a text of its own.
    """
    prompt = before.rstrip(" ")
    given = len(_ids(tokenizer, prompt)) if prompt else 0
    # What begins a line has no blank before it.
    blank = "" if not caption or not prompt or prompt.endswith("\n") else " "
    ids = _ids(tokenizer, prompt + blank + caption)[given:]
    return ids[:most] if len(ids) >= most else [*ids, end]


def _ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def padded(captions: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """(tokens [R, S], mask [R, S]) of R captions. What fills up a row stands behind it, where no decoder looks."""
    longest = max(map(len, captions))
    # Its own last token, which any model knows and which is no image's.
    tokens = torch.tensor([ids + ids[-1:] * (longest - len(ids)) for ids in captions])
    mask = torch.arange(longest) < torch.tensor([len(ids) for ids in captions])[:, None]
    return tokens, mask


def going_on(text: dict[str, Tensor], tokens: Tensor) -> dict[str, Tensor]:
    """A decoder-only model's inputs, with the captions behind the prompt: [R, P] -> [R, P + S]."""
    ones = torch.ones_like(tokens)
    behind = {
        "input_ids": tokens,
        "attention_mask": ones,
        # A token of type 1 reads only what stands before it, where a prompt's tokens, of type 0, read each other.
        "token_type_ids": ones,
        # Words, where 1 is a picture.
        "mm_token_type_ids": torch.zeros_like(tokens),
    }
    return {name: torch.cat([part, behind[name]], dim=1) if name in behind else part for name, part in text.items()}
