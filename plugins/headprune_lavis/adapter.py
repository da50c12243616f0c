"""A loaded LAVIS model as headprune sees it. Touches the model object only: LAVIS is imported to load one."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from headprune import (
    Adapter,
    Attention,
    Form,
    Generation,
    Grid,
    ModelRef,
    TeacherForced,
    TowerLayout,
    answering,
    notice,
)
from headprune_lavis.attending import attention_of
from headprune_lavis.folder import save_folder
from headprune_lavis.speech import padded, speech_of
from headprune_lavis.standalone import CODE, keep_heads
from headprune_lavis.zoo import Description

if TYPE_CHECKING:
    from PIL.Image import Image

_EVA = TowerLayout(
    tower="visual_encoder",
    layers="blocks",
    attention="attn",
    qkv=("qkv",),
    output="proj",
    heads="num_heads",
    mlp="mlp",
    cls=True,
)
_CLIP = TowerLayout(
    tower="visual_encoder",
    layers="transformer.resblocks",
    attention="attn",
    qkv=("in_proj",),
    output="out_proj",
    heads="num_heads",
    mlp="mlp",
    cls=True,
)


def layout_of(model: Any) -> TowerLayout:
    """Where the model's tower keeps its parts."""
    return _CLIP if hasattr(model.visual_encoder, "transformer") else _EVA


def token_count(model: Any) -> int:
    """T, tokens of one picture: its patches and CLS."""
    tower = model.visual_encoder
    return int(getattr(tower, "patch_embed", tower).num_patches) + 1


class LavisAdapter(Adapter):
    """Pictures through LAVIS's own processor, words through the model's own `generate`.

    The tower runs in float32 and without LAVIS's autocast. Early exit rewrites nothing: while the model generates, its
    tower answers with the states that are to be decoded.

    Args:
        processor: turns a picture into pixels [3, N, N].
        description: what the model was built from.
    """

    def __init__(self, model: Any, processor: Any, description: Description, ref: ModelRef) -> None:
        super().__init__(model, layout_of(model), ref)
        self.processor = processor
        self.description = description
        self.speech = speech_of(model)

    @property
    def tokens(self) -> int:
        return token_count(self.model)

    def distributions(self, generation: Generation) -> tuple[int, int]:
        return generation.max_new_tokens, self.speech.vocabulary

    @property
    def speech_dtype(self) -> torch.dtype:
        return self.dtype if self.device.type == "cpu" else self.speech.autocast_dtype

    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        pixels = torch.stack([self.processor(picture.convert("RGB")) for picture in pictures])
        return pixels.to(self.device, self.dtype)

    def grids(self, picture: Image) -> tuple[Grid, ...]:
        # LAVIS shows all of a picture, squeezed into a square.
        side = math.isqrt(self.tokens - 1)
        return (Grid(side, side, tuple(range(1, self.tokens)), 0, (0.0, 0.0, 1.0, 1.0)),)

    def encode(self, pixels: Tensor, form: Form = None) -> None:
        self.tower(pixels)

    def attention(self, pixels: Tensor, layers: Collection[int], form: Form = None) -> dict[int, Attention]:
        return attention_of(self.sites, sorted(layers), lambda: self.encode(pixels), self.geometry.head_width)

    @torch.no_grad()
    def decode(self, states: Tensor, generation: Generation, form: Form = None) -> list[str]:
        model: Any = self.model
        with answering(self.tower, states), self.speech.watched(len(states), generation) as check:
            said = model.generate(
                # Of the pictures only their number and device are read: the tower has answered already.
                {"image": states, **self.speech.asked(generation)},
                num_beams=generation.num_beams,
                max_length=generation.max_new_tokens + self.speech.before,
                min_length=0,
            )
        check.refuse(self.speech_dtype)
        return [caption.strip() for caption in said]

    def likelihood(
        self, states: Tensor, captions: Sequence[str], generation: Generation, form: Form = None
    ) -> TeacherForced:
        tokens, mask = padded([self.speech.caption_ids(caption, generation) for caption in captions])
        tokens = tokens.to(states.device)
        logits = self.speech.logits(states, tokens, generation)
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return TeacherForced(exact.log_softmax(-1), tokens, mask.to(tokens.device))

    def save(self, folder: Path) -> None:
        save_folder(self.model, self.description, folder)

    def convert(self, folder: Path) -> None:
        # It reads a processor of torchvision's, which is there by now.
        from headprune_lavis.convert import write_transformers

        write_transformers(self.model, self.processor, folder)
        prompt = getattr(self.model, "prompt", "")
        if prompt:
            notice(f"LAVIS asks this model {prompt!r}; transformers asks nothing of itself: give it as --prompt there")

    def loading(self) -> str:
        return (
            "import sys\n\n"
            "sys.path.insert(0, FOLDER)\n"
            f"from {Path(CODE).stem} import load\n\n"
            "model, vis_processor = load(FOLDER)"
        )

    def without_heads(self, kept: Sequence[Sequence[int]]) -> LavisAdapter:
        shared = {
            id(tensor): tensor for tensors in (self.model.parameters(), self.model.buffers()) for tensor in tensors
        }
        made: Any = copy.deepcopy(self.model, shared)
        keep_heads(made, kept)
        before = self.description.get("kept") or [list(range(count)) for count in self.geometry.heads_in]
        # Sliced again: the heads are still called what they were in the unpruned model.
        names = [[there[head] for head in heads] for there, heads in zip(before, kept, strict=True)]
        heads = self.description.get("heads", self.geometry.heads)
        return LavisAdapter(made, self.processor, {**self.description, "heads": heads, "kept": names}, self.ref)
