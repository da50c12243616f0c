"""A map laid over its picture: where a layer or a head looks."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headprune.perspectives.heatmap import Outlier, PictureMaps, Reader
from headprune.report.canvas import MAP, plain
from headprune.scoring.statistics import Floats
from headprune.types import Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

_OPACITY = 0.62
_LINES = 4


def filled(values: Floats) -> Floats:
    """A map [rows, columns] without holes, for display only: each becomes the mean of those of its eight neighbours
    that have a number, again and again until all have one. A map without any number stays as it is."""
    made: Floats = values.copy()
    while np.isnan(made).any() and not np.isnan(made).all():
        rows, columns = made.shape
        wide = np.pad(made, 1, constant_values=np.nan)
        around = np.stack(
            [wide[down : down + rows, right : right + columns] for down in range(3) for right in range(3)]
        )
        counts = (~np.isnan(around)).sum(axis=0)
        holes = np.isnan(made) & (counts > 0)
        made[holes] = (np.nansum(around, axis=0)[holes]) / counts[holes]
    return made


def read_grey(path: Path) -> NDArray[np.uint8]:
    """A picture in grey, [height, width]: the colours are the map's."""
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


def lay_within(
    axes: Axes,
    grey: NDArray[np.uint8],
    grid: Grid,
    values: Floats,
    limits: tuple[float, float],
    opacity: float = _OPACITY,
) -> AxesImage:
    """Draw a picture in grey, [height, width], and `values`, [rows, columns], over it within the grid's box; colours
    go from the first limit to the second."""
    height, width = grey.shape
    left, up, right, down = _corners(grid, grey)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
    drawn = axes.imshow(
        values,
        cmap=MAP,
        vmin=limits[0],
        vmax=limits[1],
        alpha=opacity,
        extent=(left, right, down, up),
        interpolation="nearest",
    )
    # Where a processor pads, the map is larger than the picture.
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    return drawn


def _corners(grid: Grid, grey: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """The grid's box in pixels of the picture: left, top, right, bottom."""
    height, width = grey.shape
    left, top, right, bottom = grid.box
    return left * width, top * height, right * width, bottom * height


def lay_over(
    axes: Axes, grey: NDArray[np.uint8], maps: PictureMaps, values: Floats, outliers: Iterable[Outlier], top: float
) -> AxesImage:
    """Draw a map over its picture: colours from 0 to `top` within the grid's box, a cross on each outlier.

    Args:
        grey: the picture, [height, width].
        maps: of this picture.
        values: [rows, columns], of these maps, a layer's or a head's; shares, 0..1.
        outliers: those of the layer.
        top: the share that the last colour stands for.
    """
    drawn = lay_within(axes, grey, maps.grid, 100 * filled(values), (0, 100 * top))
    left, up, right, down = _corners(maps.grid, grey)
    high, wide = (down - up) / maps.grid.rows, (right - left) / maps.grid.columns
    for one in outliers:
        x, y = left + (one.column + 0.5) * wide, up + (one.row + 0.5) * high
        axes.plot([x], [y], marker="x", color="white", markersize=7, markeredgewidth=3.2)
        axes.plot([x], [y], marker="x", color="#c4510a", markersize=6, markeredgewidth=1.6)
    return drawn


def add_bar(figure: Figure, drawn: AxesImage, axes: Sequence[Axes], reader: Reader) -> None:
    """A colour bar that says what the maps count, below `axes`."""
    from matplotlib.cm import ScalarMappable

    # The colours as they are, not as they look upon a picture.
    colours = ScalarMappable(drawn.norm, drawn.cmap)
    bar = figure.colorbar(colours, ax=list(axes), location="bottom", shrink=0.6, pad=0.02, aspect=45, extend="max")
    label = "share of CLS's attention, %" if reader == "cls" else "share of attention, mean over patches, %"
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def top_of(values: Sequence[Floats]) -> float:
    """What the last colour of several maps stands for: the largest share in all but the strongest half per cent."""
    shares = np.concatenate([one[~np.isnan(one)] for one in values])
    return float(np.quantile(shares, 0.995)) if len(shares) else 1.0


def wrapped(text: str, letters: int) -> str:
    """Text that someone else wrote, in lines of so many letters, four at most; an empty one says so."""
    lines = textwrap.wrap(plain(text), letters, max_lines=_LINES, placeholder=" \N{HORIZONTAL ELLIPSIS}")
    return "\n".join(lines) or "(nothing)"
