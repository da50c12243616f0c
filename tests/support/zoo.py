"""A tiny random model of every supported family, and how each is asked by its documentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from headprune import Adapter, Generation

Vanilla = Callable[[Adapter, Sequence[Image.Image], Generation], "tuple[list[str], Tensor]"]


@dataclass(frozen=True)
class Tiny:
    """A family in the suite.

    Attributes:
        family: its model type.
        build: writes a tiny model with its processor into a folder.
        vanilla: what the model says of pictures by its documentation's own lines, the adapter's model and processor
            and nothing else of it: captions, and the logits [steps, B, V] on the way to them.
        layers, heads, width, cls, dead: of its tower.
        tokens: of one picture of `SIZES[0]`.
        slices: whether heads can be taken out; else a word of the refusal's reason.
        sizes: of the pictures it is shown, in pixels.
        labels: what a model chooses from that has no words of its own.
        remark: on its tower, for the table.
        model_class: in transformers, where it is another than the family's first.
    """

    family: str
    build: Callable[[Path], Any]
    vanilla: Vanilla
    layers: int
    heads: int
    width: int
    cls: bool
    tokens: int
    dead: int = 0
    slices: bool | str = True
    sizes: Sequence[tuple[int, int]] = ((40, 40),)
    labels: tuple[str, ...] = ()
    remark: str = ""
    model_class: str = ""

    def generation(self, generation: Generation) -> Generation:
        """How it is asked to speak."""
        return replace(generation, labels=self.labels) if self.labels else generation

    def pictures(self) -> list[Image.Image]:
        """Six pictures of noise, of all the sizes in turn."""
        rng = np.random.default_rng(0)
        shapes = [self.sizes[number % len(self.sizes)] for number in range(6)]
        return [Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)) for width, height in shapes]


def querying(adapter: Any, pictures: Sequence[Image.Image], generation: Generation) -> tuple[list[str], Tensor]:
    """BLIP-2 and InstructBLIP."""
    from tests.support import slow

    return slow.vanilla_answers(adapter, adapter.prepare(pictures), generation)


def generated(
    adapter: Any, inputs: dict[str, Any], generation: Generation, skipped: int = 0
) -> tuple[list[str], Tensor]:
    """What `generate` says to `inputs`, the first `skipped` tokens left out."""
    with torch.no_grad():
        made = adapter.model.generate(
            **inputs,
            num_beams=generation.num_beams,
            max_new_tokens=generation.max_new_tokens,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
    said = adapter.processor.batch_decode(made.sequences[:, skipped:], skip_special_tokens=True)
    return [caption.strip() for caption in said], torch.stack(made.logits)


def _zoo() -> dict[str, Tiny]:
    from tests.support import tiny, zoo_chat, zoo_choosing, zoo_crossing, zoo_packed

    def build(name: str) -> Callable[[Path], Any]:
        return lambda folder: tiny.build(name, folder)

    return {
        "blip2-t5": Tiny("blip-2", build("blip2-t5"), querying, 3, 4, 32, True, 17),
        "blip2-opt": Tiny("blip-2", build("blip2-opt"), querying, 3, 4, 32, True, 17),
        "instructblip": Tiny("instructblip", build("instructblip"), querying, 3, 4, 32, True, 17),
        **zoo_crossing.ZOO,
        **zoo_chat.ZOO,
        **zoo_packed.ZOO,
        **zoo_choosing.ZOO,
    }


ZOO = _zoo()
