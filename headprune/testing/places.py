"""Which tokens answer to which part of a picture, found by painting that part over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from headprune.towers.adapter import Adapter
from headprune.types import Grid

# Broad and high: a grid that is turned, or a crop that is misplaced, shows.
SIZES = ((200, 120), (90, 160))
_TOGETHER = 32
Box = tuple[float, float, float, float]


def check_grids(adapter: Adapter, size: tuple[int, int]) -> None:
    """Paint over one patch's part of a picture at a time. Of each grid that shows the place, the token that it names
    for it is the one whose Z[0] changes most; other grids, and tokens of no grid, do not change.

    Patches are those of the first grid and of the last, but for those that the picture holds only a part of.
    """
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    grids, plain = adapter.grids(picture), _embedded(adapter, [picture])[0]
    tokens = [token for grid in grids for token in grid.tokens]
    others = sorted({*range(len(plain))} - {*tokens})
    assert len(tokens) == len({*tokens}) and max(tokens) == len(plain) - 1
    assert len({grid.cls for grid in grids}) == len(grids)
    for grid in grids:
        assert len(grid.tokens) == grid.rows * grid.columns
        assert grid.cls in others if adapter.geometry.cls else grid.cls is None
    boxes = [
        box
        for grid in {grids[0], grids[-1]}
        for box in (_part(grid, row, column) for row in range(grid.rows) for column in range(grid.columns))
        if min(box) > -1e-9 and max(box) < 1 + 1e-9
    ]
    assert len(boxes) >= 8
    for start in range(0, len(boxes), _TOGETHER):
        some = boxes[start : start + _TOGETHER]
        for box, states in zip(some, _embedded(adapter, [_painted(picture, box) for box in some]), strict=True):
            change = (states - plain).norm(dim=-1)
            assert not change[others].any(), "tokens of no grid change with the picture"
            for grid in grids:
                _check_place(grid, change, box)


def _check_place(grid: Grid, change: Tensor, box: Box) -> None:
    covered, mine = _covered(grid, box), change[list(grid.tokens)]
    first, second = covered.topk(2).values
    if first < 1e-6:
        # Next to it, resizing may have mixed something in; a grid that is out of place has the largest change itself.
        assert mine.max() < 0.5 * change.max()
    elif first > 1.5 * second:
        assert mine.argmax() == covered.argmax()


def _covered(grid: Grid, box: Box) -> Tensor:
    """[rows*columns], which share of each patch the box covers."""
    left, top, right, bottom = grid.box
    wide = _overlap(torch.linspace(left, right, grid.columns + 1, dtype=torch.float64), box[0], box[2])
    high = _overlap(torch.linspace(top, bottom, grid.rows + 1, dtype=torch.float64), box[1], box[3])
    return (high[:, None] * wide).flatten()


def _overlap(edges: Tensor, start: float, stop: float) -> Tensor:
    """Which share of each piece between two edges lies between start and stop."""
    return (edges[1:].clamp(max=stop) - edges[:-1].clamp(min=start)).clamp(min=0) / edges.diff()


def _part(grid: Grid, row: int, column: int) -> Box:
    """Which part of the picture a patch covers, as fractions of it."""
    left, top, right, bottom = grid.box
    wide, high = (right - left) / grid.columns, (bottom - top) / grid.rows
    return left + column * wide, top + row * high, left + (column + 1) * wide, top + (row + 1) * high


def _painted(picture: Image.Image, box: Box) -> Image.Image:
    """The picture with a part of it black and white, turned from what it was."""
    made = picture.copy()
    left, top, right, bottom = (round(end * picture.size[place % 2]) for place, end in enumerate(box))
    made.paste(picture.crop((left, top, right, bottom)).point(lambda value: 255 if value < 128 else 0), (left, top))
    return made


def _embedded(adapter: Adapter, pictures: Sequence[Image.Image]) -> Tensor:
    """[B, T, width], Z[0] of pictures of one size."""
    return adapter.trace(adapter.prepare(pictures), depths=[0], form=adapter.form(pictures[0])).states[0]
