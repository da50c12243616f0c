"""What every contestant is given, and what each has to hand back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from headprune import Adapter, DecodePoint
from headprune.scoring.algorithm import ScoreResult

Captions = dict[tuple[int, int, int], str]
"""(picture, layer, head), 0-based -> what the model says of the picture without that head."""


@dataclass(frozen=True)
class Task:
    """Silence each head of `layers` in turn and caption every picture, greedily.

    Attributes:
        adapter: the loaded model; contestants other than ours use its `model` and `processor` only.
        pictures: in memory, RGB; preparing them is part of the work.
        layers: 0-based.
        decode_at: where a variant is put into words.
        max_new_tokens: of a caption.
    """

    adapter: Adapter
    pictures: tuple[Image, ...]
    layers: tuple[int, ...]
    decode_at: DecodePoint
    max_new_tokens: int = 30

    @property
    def model(self) -> Any:
        """The transformers model."""
        return self.adapter.model

    @property
    def heads(self) -> int:
        """H, heads of a layer."""
        return int(self.model.config.vision_config.num_attention_heads)

    @property
    def head_width(self) -> int:
        """dh, columns of one head in the input of the output projection."""
        return int(self.model.config.vision_config.hidden_size) // self.heads

    @property
    def captions(self) -> int:
        """How many captions the task asks for."""
        return len(self.pictures) * len(self.layers) * self.heads

    def pixels(self, pictures: Sequence[Image]) -> Tensor:
        """RGB pictures -> pixels [B, 3, side, side] by the model's processor, on its device."""
        processor: Any = self.adapter.processor  # type: ignore[attr-defined]
        pixels: Tensor = processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        return pixels.to(self.model.device, self.model.dtype)

    def words(self, tokens: Tensor) -> list[str]:
        """Tokens [R, S] -> R captions."""
        processor: Any = self.adapter.processor  # type: ignore[attr-defined]
        return [said.strip() for said in processor.batch_decode(tokens, skip_special_tokens=True)]

    def on(self, pictures: int) -> Task:
        """The same on the first pictures only."""
        return replace(self, pictures=self.pictures[:pictures])

    def at(self, layers: Sequence[int]) -> Task:
        """The same for other layers."""
        return replace(self, layers=tuple(layers))


Contestant = Callable[[Task], Captions]


class DisagreementError(Exception):
    """Two contestants did not come to the same result, so their times cannot be compared."""


def same_captions(first: str, wanted: Captions, other: str, found: Captions) -> None:
    """Check that two contestants said the same.

    Raises:
        DisagreementError: they did not; names the first difference.
    """
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            picture, layer, head = key
            raise DisagreementError(
                f"picture {picture} without head {layer}.{head}: {first} says {wanted.get(key)!r}, "
                f"{other} says {found.get(key)!r}"
            )


def scored_alike(first: str, wanted: ScoreResult, other: str, found: ScoreResult) -> None:
    """Check that two contestants came to the same coefficients, bit for bit.

    Raises:
        DisagreementError: they did not.
    """
    if wanted.patch.digest() != found.patch.digest():
        raise DisagreementError(f"{other} has another patch than {first}")


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given; a clock read earlier would show nothing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
