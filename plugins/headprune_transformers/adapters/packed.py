"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: pictures keep their proportions, and the tower has them all in one row of patches.

A picture's form is its grid of patches, (rows, columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from headprune import DataError, Form, Grid, ModelError
from headprune_transformers.adapters.chatting import ChatAdapter
from headprune_transformers.grids import WHOLE

if TYPE_CHECKING:
    from PIL.Image import Image


class PackedAdapter(ChatAdapter):
    """The tower and the language model are told each picture's grid."""

    def form(self, picture: Image) -> tuple[int, int]:
        settings = self.processor.image_processor
        limits = settings.size["shortest_edge"], settings.size["longest_edge"]
        try:
            return _cut(picture.height, picture.width, settings.patch_size, settings.merge_size, *limits)
        except ValueError as error:
            raise DataError(
                f"{self.ref} takes no picture of {picture.width} x {picture.height} pixels: {error}", "leave it out"
            ) from error

    def grids(self, picture: Image) -> tuple[Grid, ...]:
        rows, columns = self.form(picture)
        return (Grid(rows, columns, token_order(self.config.vision_config, rows, columns), None, WHOLE),)

    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        made = self.processor.image_processor(images=list(pictures), return_tensors="pt")
        found, grid = made["image_grid_thw"], self.form(pictures[0])
        if not bool((found == torch.tensor([1, *grid])).all()):
            raise ModelError(
                f"the image processor cuts pictures of form {grid} into grids {found[:, 1:].tolist()}",
                "prepare pictures of one form; see the processor's size, patch_size and merge_size",
            )
        pixels: Tensor = made["pixel_values"]
        return pixels.reshape(len(pictures), -1, pixels.shape[-1]).to(self.device, self.dtype)

    def encode(self, pixels: Tensor, form: Form = None) -> None:
        self.tower(self.laid_out(pixels, form), grid_thw=self._grids(len(pixels), form))

    def laid_out(self, states: Tensor, form: Form) -> Tensor:
        return states.flatten(0, 1)

    def seen(self, states: Tensor, form: Form) -> dict[str, Tensor]:
        return {"pixel_values": states, "image_grid_thw": self._grids(len(states), form)}

    def ask(self, prompt: str | None, form: Form) -> dict[str, Tensor]:
        text = super().ask(prompt, form)
        # What tells positions in the picture (1) from words (0).
        return {**text, "mm_token_type_ids": (text["input_ids"] == self.config.image_token_id).long()}

    def blank(self, form: Form) -> Image:
        from PIL import Image

        rows, columns = grid_of(form)
        patch = self.processor.image_processor.patch_size
        picture = Image.new("RGB", (columns * patch, rows * patch))
        if self.form(picture) != form:
            raise ModelError(
                f"no blank picture is cut into {rows} x {columns} patches", "see the size in the processor's settings"
            )
        return picture

    def tokens_of(self, form: Form) -> int:
        rows, columns = grid_of(form)
        return rows * columns

    def _grids(self, pictures: int, form: Form) -> Tensor:
        """[B, 3]: each picture's frames, rows and columns."""
        return torch.tensor([[1, *grid_of(form)]], device=self.device).repeat(pictures, 1)


def grid_of(form: Form) -> tuple[int, int]:
    """The grid in a form that `PackedAdapter.form` gave."""
    if not isinstance(form, tuple):
        raise TypeError(f"{form!r} is not the form of a picture that is cut into a grid")
    rows, columns = form
    return rows, columns


def token_order(vision: Any, rows: int, columns: int) -> tuple[int, ...]:
    """Which token each patch is, row by row: patches that are merged later stand together, and so, in Qwen2.5-VL, do
    the merged ones of a window, whose tower puts them in that order before its first layer."""
    merge = vision.spatial_merge_size
    blocks = [(row, column) for row in range(rows // merge) for column in range(columns // merge)]
    if hasattr(vision, "window_size"):
        side = vision.window_size // merge // vision.patch_size
        # Stable: within a window they stay row by row.
        blocks.sort(key=lambda block: (block[0] // side, block[1] // side))
    places = [
        (row * merge + down, column * merge + right)
        for row, column in blocks
        for down in range(merge)
        for right in range(merge)
    ]
    token_of = {place: token for token, place in enumerate(places)}
    return tuple(token_of[row, column] for row in range(rows) for column in range(columns))


def _cut(height: int, width: int, patch: int, merge: int, *limits: int) -> tuple[int, int]:
    """The grid of patches that a picture is cut into, at a size that keeps its proportions and the limits in pixels."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    height, width = smart_resize(height, width, patch * merge, *limits)
    return height // patch, width // patch


def tokens(config: Any) -> int:
    """T of a picture of 640 x 480 pixels."""
    vision = config.vision_config
    rows, columns = _cut(480, 640, vision.patch_size, vision.spatial_merge_size)
    return rows * columns


def deepstack(config: Any) -> tuple[int, ...]:
    """The depths that Qwen3-VL reads: behind some layers, and behind the last."""
    return (*(layer + 1 for layer in config.vision_config.deepstack_visual_indexes), -1)
