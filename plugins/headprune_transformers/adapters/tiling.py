"""Pictures cut into n tiles, each of which goes through the tower by itself: T = n*t tokens, tile behind tile."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.image_processing_utils import select_best_resolution
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import (
    GotOcr2ImageProcessorPil,
    get_optimal_tiled_canvas,
)
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches, unpad_image

from headprune import Form, Grid, ModelError
from headprune_transformers.adapters.chatting import ChatAdapter
from headprune_transformers.grids import WHOLE, Box, straight
from headprune_transformers.towers import pair, patch_grid, patches

if TYPE_CHECKING:
    from PIL.Image import Image

_USUAL = (480, 640)


@dataclass(frozen=True, slots=True)
class Tiles:
    """The form of a tiled picture.

    Attributes:
        count: n, its tiles.
        kept: what else of its size the connector heeds: pictures that differ in it are not of one form.
        size: (height, width) of one such picture.
    """

    count: int
    kept: Hashable
    size: tuple[int, int] = field(compare=False)


class TilingAdapter(ChatAdapter):
    """A picture's tiles are rows of the tower, [B*n, t, d], where headprune sees [B, n*t, d]."""

    @abstractmethod
    def cut(self, size: tuple[int, int]) -> Tiles:
        """The form of a picture of this size, (height, width)."""

    @abstractmethod
    def boxes(self, size: tuple[int, int]) -> list[Box]:
        """Which part of a picture of this size, (height, width), each of its tiles shows."""

    @property
    def tokens(self) -> int:
        return self.tokens_of(self.cut(_USUAL))

    def tokens_of(self, form: Form) -> int:
        return _tiles(form).count * (patches(self.config.vision_config) + self.geometry.cls)

    def form(self, picture: Image) -> Form:
        return self.cut((picture.height, picture.width))

    def grids(self, picture: Image) -> tuple[Grid, ...]:
        vision, cls = self.config.vision_config, self.geometry.cls
        rows, columns = patch_grid(vision, *pair(vision.image_size))
        each = rows * columns + cls
        boxes = self.boxes((picture.height, picture.width))
        made = [straight(rows, columns, int(cls), cls, box, tile * each) for tile, box in enumerate(boxes)]
        return tuple(sorted(made, key=lambda grid: grid.box != WHOLE))

    def blank(self, form: Form) -> Image:
        from PIL import Image

        height, width = _tiles(form).size
        return Image.new("RGB", (width, height))

    def encode(self, pixels: Tensor, form: Form = None) -> None:
        self.tower(pixels.flatten(0, 1))

    def laid_out(self, states: Tensor, form: Form) -> Tensor:
        return states.reshape(len(states) * _tiles(form).count, -1, states.shape[-1])


class GridAdapter(TilingAdapter):
    """LLaVA-NeXT: the whole picture, and a grid of tiles whose padding the model cuts off again."""

    def cut(self, size: tuple[int, int]) -> Tiles:
        vision = self.config.vision_config
        scale = vision.image_size // vision.patch_size
        high, wide = (
            length // vision.image_size * scale
            for length in select_best_resolution(size, self.config.image_grid_pinpoints)
        )
        unpadded = unpad_image(torch.empty(1, high, wide, device="meta"), size).shape[1:]
        return Tiles(grid_tiles(self.config, size), (high, wide, *unpadded), size)

    def boxes(self, size: tuple[int, int]) -> list[Box]:
        (height, width), side = size, self.config.vision_config.image_size
        high, wide = select_best_resolution(size, self.config.image_grid_pinpoints)
        scale = min(wide / width, high / height)
        # The picture's size on the canvas, in the midst of which it stands.
        full_high, full_wide = min(math.ceil(height * scale), high), min(math.ceil(width * scale), wide)
        top, left = (high - full_high) // 2, (wide - full_wide) // 2
        return [
            WHOLE,
            *(
                (
                    (x - left) / full_wide,
                    (y - top) / full_high,
                    (x + side - left) / full_wide,
                    (y + side - top) / full_high,
                )
                for y in range(0, high, side)
                for x in range(0, wide, side)
            ),
        ]

    def seen(self, states: Tensor, form: Form) -> dict[str, Tensor]:
        tiles = _tiles(form)
        sizes = torch.tensor([tiles.size] * len(states), device=states.device)
        return {"pixel_values": states.new_empty(len(states), tiles.count, 0, 0, 0), "image_sizes": sizes}


class ThumbnailAdapter(TilingAdapter):
    """InternVL: tiles, and behind two or more of them the whole picture."""

    def cut(self, size: tuple[int, int]) -> Tiles:
        # The processor's settings say how many; nothing public tells it that reads them all.
        (count,) = self.processor._get_num_multimodal_tokens(image_sizes=[size])["num_image_patches"]
        return Tiles(count, None, size)

    def boxes(self, size: tuple[int, int]) -> list[Box]:
        count, settings = self.cut(size).count, self.image_processor
        if count == 1:
            return [WHOLE]
        tile = (settings.size["height"], settings.size["width"])
        columns, rows = get_optimal_tiled_canvas(size, tile, settings.min_patches, settings.max_patches)
        if columns * rows + 1 != count:
            raise ModelError(
                f"the processor cuts a picture into {count} tiles, where {columns} x {rows} and the whole were due",
                "this processor needs grids of its own",
            )
        tiles = [
            (column / columns, row / rows, (column + 1) / columns, (row + 1) / rows)
            for row in range(rows)
            for column in range(columns)
        ]
        return [*tiles, WHOLE]

    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        tiles = super().prepare(pictures)
        return tiles.reshape(len(pictures), -1, *tiles.shape[1:])


def grid_tiles(config: Any, size: tuple[int, int] = _USUAL) -> int:
    """n of a picture of this size, (height, width), in LLaVA-NeXT."""
    return int(image_size_to_num_patches(size, config.image_grid_pinpoints, config.vision_config.image_size))


def thumbnail_tiles(config: Any, size: tuple[int, int] = _USUAL) -> int:
    """n of a picture of this size, (height, width), in InternVL with its processor's default settings."""
    height, width = config.vision_config.image_size
    processor = GotOcr2ImageProcessorPil(size={"height": height, "width": width})
    return int(processor.get_number_of_image_patches(*size, {"crop_to_patches": True}))


def _tiles(form: Form) -> Tiles:
    if not isinstance(form, Tiles):
        raise TypeError(f"{form!r} is not a form that this adapter gave")
    return form
