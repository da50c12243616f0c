"""The heatmap perspective (Eq. 7-8): where in the picture each layer and each head looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headprune.scoring.statistics import Floats
from headprune.types import Grid

Reader = Literal["cls", "mean"]


@dataclass(frozen=True, slots=True)
class Outlier:
    """A patch that stores something other than what is seen there: its output's norm at layer `layer` (0-based) lies
    far above those of the other patches."""

    layer: int
    row: int
    column: int
    norm: float


@dataclass(frozen=True, slots=True)
class PictureMaps:
    """Where a tower looks in one picture; N layers, H heads. Attention is a share of all that the reader gives, 0..1.

    Attributes:
        sample: its id.
        grid: where the maps lie on the picture. Of a picture in tiles it is the one that shows the whole.
        maps: [N, rows, columns], A[l][i] (Eq. 7); NaN where an outlier was left out, and in a layer without heads.
        heads: [N, H, rows, columns], a[h][cls,i]; NaN, too, where a layer has no such head.
        outliers: patches that were left out, layer by layer, row by row.
    """

    sample: str
    grid: Grid
    maps: Floats
    heads: Floats
    outliers: tuple[Outlier, ...]


@dataclass(frozen=True, slots=True)
class Heatmaps:
    """Where a tower looks; n pictures, N layers.

    Attributes:
        layers: 0-based, in order.
        reader: whose attention it is: the CLS token's, or without one the mean over all patches'.
        k: patches whose norm lies above median + k * MAD are outliers; 0: none are.
        attention: [n, N], A[l] (Eq. 7): the share of its attention that the reader gives the patches, outliers too.
        change: [n, N], dA[l] = A[l] - A[l-1] (Eq. 8). NaN at layer 0, which has none before it.
        l1: [n, N], sum_i |A[l][i] - A[l-1][i]|, over the patches that are in both maps. NaN at layer 0.
        cosine: [n, N], 1 - cos of the maps of layer l and l-1 over the same patches. NaN at layer 0.
        pictures: the maps of each picture.
    """

    layers: tuple[int, ...]
    reader: Reader
    k: float
    attention: Floats
    change: Floats
    l1: Floats
    cosine: Floats
    pictures: tuple[PictureMaps, ...]
