"""Which tokens answer to which part of a picture, found by painting that part over."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from headprune import Adapter, Grid

# Broad and high: a grid that is turned, or a crop that is misplaced, shows.
SIZES = ((200, 120), (90, 160))


def check_grids(adapter: Adapter, size: tuple[int, int]) -> None:
    """Paint over one patch's part of a picture at a time. Of each grid that shows the place, the token that it names
    for it is the one whose Z[0] changes most; other grids, and tokens of no grid, do not change.

    Patches are those of the first grid and of the last, but for those that the picture holds only a part of.
    """
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    grids, plain = adapter.grids(picture), embedded(adapter, picture)
    tokens = [token for grid in grids for token in grid.tokens]
    others = sorted({*range(len(plain))} - {*tokens})
    assert len(tokens) == len({*tokens}) and max(tokens) == len(plain) - 1
    assert len({grid.cls for grid in grids}) == len(grids)
    for grid in grids:
        assert len(grid.tokens) == grid.rows * grid.columns
        assert grid.cls in others if adapter.geometry.cls else grid.cls is None
    tried = 0
    for grid in {grids[0], grids[-1]}:
        for row in range(grid.rows):
            for column in range(grid.columns):
                box = part(grid, row, column)
                if min(box) < -1e-9 or max(box) > 1 + 1e-9:
                    continue
                change = (embedded(adapter, painted(picture, box)) - plain).norm(dim=-1)
                assert not change[others].any()
                for other in grids:
                    _check_place(other, change, box)
                tried += 1
    assert tried >= 8


def _check_place(grid: Grid, change: Tensor, box: tuple[float, ...]) -> None:
    covered = torch.tensor([_covered(grid, box, *divmod(place, grid.columns)) for place in range(len(grid.tokens))])
    mine = change[list(grid.tokens)]
    first, second = covered.topk(2).values
    if first < 1e-6:
        # Next to it, resizing may have mixed something in; a grid that is out of place has the largest change itself.
        assert mine.max() < 0.5 * change.max()
    elif first > 1.5 * second:
        assert mine.argmax() == covered.argmax()


def _covered(grid: Grid, box: tuple[float, ...], row: int, column: int) -> float:
    """Which share of a patch the box covers."""
    left, top, right, bottom = part(grid, row, column)
    wide, high = min(right, box[2]) - max(left, box[0]), min(bottom, box[3]) - max(top, box[1])
    return max(wide, 0) / (right - left) * max(high, 0) / (bottom - top)


def part(grid: Grid, row: int, column: int) -> tuple[float, float, float, float]:
    """Which part of the picture a patch covers, as fractions of it."""
    left, top, right, bottom = grid.box
    wide, high = (right - left) / grid.columns, (bottom - top) / grid.rows
    return left + column * wide, top + row * high, left + (column + 1) * wide, top + (row + 1) * high


def painted(picture: Image.Image, box: tuple[float, ...]) -> Image.Image:
    """The picture with a part of it black and white, turned from what it was."""
    made = picture.copy()
    corners = [round(end * picture.size[place % 2]) for place, end in enumerate(box)]
    made.paste(picture.crop(tuple(corners)).point(lambda value: 255 if value < 128 else 0), corners[:2])
    return made


def embedded(adapter: Adapter, picture: Image.Image) -> Tensor:
    """[T, width], Z[0]."""
    with torch.no_grad():
        return adapter.trace(adapter.prepare([picture]), depths=[0], form=adapter.form(picture)).states[0][0]
