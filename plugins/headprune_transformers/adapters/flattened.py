"""Pix2Struct: pictures keep their shape, and are cut into as many patches as fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from headprune import Form, Grid, ModelError, ModelRef
from headprune_transformers.adapters.crossing import CrossingAdapter
from headprune_transformers.family import Family
from headprune_transformers.grids import WHOLE, straight

if TYPE_CHECKING:
    from PIL.Image import Image


RENDERS = "it answers questions that its image processor draws into the picture"


class FlattenedAdapter(CrossingAdapter):
    """The form of a picture is its grid of patches, (rows, columns).

    The image processor fills pictures up with empty patches, which the model's masks then hide. Pictures of one grid
    need neither: they go in with their own patches alone, so all T tokens are the picture's.
    """

    def __init__(self, model: nn.Module, processor: Any, family: Family, ref: ModelRef) -> None:
        super().__init__(model, processor, family, ref)
        if processor.image_processor.is_vqa:
            raise ModelError(f"{ref} is not supported: {RENDERS}", "README lists the models that are")

    def form(self, picture: Image) -> tuple[int, int]:
        return grid(self.processor.image_processor, *picture.size)

    def grids(self, picture: Image) -> tuple[Grid, ...]:
        return (straight(*self.form(picture), 0, False, WHOLE),)

    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        made = self.processor.image_processor(images=list(pictures), return_tensors="pt")
        patches: Tensor = made["flattened_patches"]
        # Each patch begins with its row and its column, counted from 1.
        found = {(int(rows), int(columns)) for rows, columns in patches[:, :, :2].amax(dim=1)}
        rows, columns = form = self.form(pictures[0])
        if found != {form}:
            raise ModelError(
                f"the image processor cuts pictures into {sorted(found)} patches, where {form} were reckoned with",
                "this image processor needs a form of its own",
            )
        # Rows and columns are numbers among the pixels, and have to stay whole ones.
        if max(form) > 2 / torch.finfo(self.dtype).eps:
            raise ModelError(f"{self.dtype} cannot count the patches of a grid of {form}", "use --dtype float32")
        return patches[:, : rows * columns].to(self.device, self.dtype)

    def seen(self, states: Tensor, form: Form) -> dict[str, Tensor]:
        return {"flattened_patches": states, "attention_mask": states.new_ones(states.shape[:2])}


def tokens(image_processor: Any) -> int:
    """T of a picture of 640 x 480 pixels."""
    rows, columns = grid(image_processor, 640, 480)
    return rows * columns


def grid(image_processor: Any, width: int, height: int) -> tuple[int, int]:
    """(rows, columns) of patches that a picture is cut into; the image processor's own reckoning."""
    most, size = image_processor.max_patches, image_processor.patch_size
    scale = (most * (size["height"] / height) * (size["width"] / width)) ** 0.5
    return (
        max(min(int(scale * height / size["height"]), most), 1),
        max(min(int(scale * width / size["width"]), most), 1),
    )
