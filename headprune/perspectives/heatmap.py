"""The heatmap perspective (Eq. 7-8): where in the picture each layer and each head looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headprune.errors import ModelError
from headprune.scoring.statistics import Floats, mean_intervals
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, Pictures, picture_batches
from headprune.towers.memory import Room
from headprune.towers.passes import Passes
from headprune.types import Grid, Interval, Sample

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


Means = tuple[Interval | None, ...]
"""Of each layer the mean over pictures; None where the layer has no such number."""


@dataclass(frozen=True, slots=True)
class Heatmap:
    """Where a tower looks (Eq. 7-8); n pictures, N layers.

    Attributes:
        layers: 0-based, in order.
        reader: whose attention it is: the CLS token's, or without one the mean over all patches'.
        k: patches whose norm lies above median + k * MAD are outliers; 0: none are.
        attention: [n, N], A[l] (Eq. 7): the share of its attention that the reader gives the patches, outliers too.
        change: [n, N], dA[l] = A[l] - A[l-1] (Eq. 8). NaN at layer 0, which has none before it.
        l1: [n, N], sum_i |A[l][i] - A[l-1][i]|, over the patches that are in both maps. NaN at layer 0.
        cosine: [n, N], 1 - cos of the maps of layer l and l-1 over the same patches. NaN at layer 0.
            All four are NaN, too, where a layer, or the one before it, lost all its heads.
        mean_attention, mean_change, mean_l1, mean_cosine: the same by layer.
        pictures: the maps of each picture.
    """

    layers: tuple[int, ...]
    reader: Reader
    k: float
    attention: Floats
    change: Floats
    l1: Floats
    cosine: Floats
    mean_attention: Means
    mean_change: Means
    mean_l1: Means
    mean_cosine: Means
    pictures: tuple[PictureMaps, ...]


@dataclass(frozen=True, slots=True)
class _Look:
    """How one layer looks at one picture of P patches: a, [H, P], and the norms of its output there, [P]."""

    heads: Floats
    norms: Floats

    @property
    def map(self) -> Floats:
        """A[l][i], [P]: the mean over the heads; NaN where there is none."""
        return self.heads.mean(axis=0) if len(self.heads) else np.full(self.heads.shape[1], np.nan)

    def outliers(self, k: float) -> NDArray[np.bool_]:
        """[P], which patches' norms lie above median + k * MAD."""
        if not k:
            return np.zeros(self.norms.shape, bool)
        median = np.median(self.norms)
        found: NDArray[np.bool_] = self.norms > median + k * np.median(np.abs(self.norms - median))
        return found


def where_layers_look(
    adapter: Adapter, samples: Sequence[Sample], layers: Sequence[int], batch: Batch, k: float = 5.0, seed: int = 0
) -> Heatmap:
    """Where each of `layers` and each of its heads looks in each picture (Eq. 7-8).

    One tower pass a picture; more where the attention of all layers does not fit in memory together. The model goes on
    attending as it does.

    Args:
        adapter: the model.
        samples: the pictures.
        layers: 0-based. The one before each is read as well, for dA.
        batch: how many pictures go through the tower together, at most.
        k: patches whose output norm lies above median + k * MAD of the grid's are left out of the maps; 0: none.
        seed: of the bootstrap over pictures.

    Raises:
        ModelError: the adapter's grids do not fit its tower.
    """
    read = sorted({*layers, *(layer - 1 for layer in layers if layer)})
    numbers = np.full((4, len(samples), len(layers)), np.nan)
    pictures: dict[str, PictureMaps] = {}
    row_of = {sample.id: row for row, sample in enumerate(samples)}
    for sample, grid, looks in _looks(adapter, samples, read, batch):
        numbers[:, row_of[sample.id]] = np.transpose([_numbers(looks, layer, k) for layer in layers])
        pictures[sample.id] = _maps(sample, grid, looks, layers, adapter.geometry.heads, k)
    attention, change, l1, cosine = numbers
    return Heatmap(
        layers=tuple(layers),
        reader="cls" if adapter.geometry.cls else "mean",
        k=k,
        attention=attention,
        change=change,
        l1=l1,
        cosine=cosine,
        mean_attention=_means(attention, seed),
        mean_change=_means(change, seed),
        mean_l1=_means(l1, seed),
        mean_cosine=_means(cosine, seed),
        pictures=tuple(pictures[sample.id] for sample in samples),
    )


def _means(values: Floats, seed: int) -> Means:
    return tuple(mean if np.isfinite(mean.mean) else None for mean in mean_intervals(values, seed))


def _numbers(looks: dict[int, _Look], layer: int, k: float) -> tuple[float, float, float, float]:
    """A[l], dA[l], and how far the map is from that of the layer before: L1 and cosine distance."""
    here, before = looks[layer], looks.get(layer - 1)
    # Of a layer without heads it is NaN, and not the sum of nothing.
    attention = float(here.map.sum())
    if before is None:
        return attention, np.nan, np.nan, np.nan
    both = ~(here.outliers(k) | before.outliers(k))
    one, other = here.map[both], before.map[both]
    cosine = 1 - one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    return attention, attention - float(before.map.sum()), float(np.abs(one - other).sum()), float(cosine)


def _maps(
    sample: Sample, grid: Grid, looks: dict[int, _Look], layers: Sequence[int], most_heads: int, k: float
) -> PictureMaps:
    shape = (grid.rows, grid.columns)
    maps = np.full((len(layers), *shape), np.nan)
    heads = np.full((len(layers), most_heads, *shape), np.nan)
    outliers: list[Outlier] = []
    for place, layer in enumerate(layers):
        look = looks[layer]
        left_out = look.outliers(k)
        maps[place] = np.where(left_out, np.nan, look.map).reshape(shape)
        heads[place, : len(look.heads)] = np.where(left_out, np.nan, look.heads).reshape(-1, *shape)
        outliers += [
            Outlier(layer, *divmod(int(patch), grid.columns), float(look.norms[patch]))
            for patch in np.flatnonzero(left_out)
        ]
    return PictureMaps(sample.id, grid, maps, heads, tuple(outliers))


def _looks(
    adapter: Adapter, samples: Sequence[Sample], layers: Sequence[int], batch: Batch
) -> Iterator[tuple[Sample, Grid, dict[int, _Look]]]:
    """Each sample with its first grid and how `layers` look at it; samples of one form together."""
    passes = Passes(adapter, layers, batch)
    room = Room(passes.pictures, "pictures")
    for pictures in picture_batches(adapter, samples, room.size):
        grids = [adapter.grids(picture) for picture in pictures.opened]
        look = partial(_look, passes, pictures, grids[0])
        for start, stop, found in room.pieces(len(pictures.samples), look):
            for row in range(start, stop):
                looks = {layer: _Look(heads[row - start], norms[row - start]) for layer, heads, norms in found}
                yield pictures.samples[row], grids[row][0], looks


@torch.no_grad()
def _look(
    passes: Passes, pictures: Pictures, grids: tuple[Grid, ...], start: int, stop: int
) -> list[tuple[int, Floats, Floats]]:
    """(layer, a [B, H, P], norms [B, P]) of pictures start..stop, whose tokens all stand as `grids` say."""
    due = 1 + max(token for grid in grids for token in grid.tokens)
    looks = []
    for seen in passes.seen(pictures.pixels[start:stop], pictures.form):
        norms = seen.capture.output.float().norm(dim=-1)
        if norms.shape[1] != due:
            raise ModelError(
                f"the tower has {norms.shape[1]} tokens, where its grids name {due}", "the adapter's grids do not fit"
            )
        tokens = torch.tensor(grids[0].tokens, device=norms.device)
        given = given_to_patches(seen.attention.weights, grids[0])
        looks.append((seen.capture.layer, _floats(given), _floats(norms.index_select(1, tokens))))
    return looks


def given_to_patches(weights: Tensor, grid: Grid) -> Tensor:
    """a[h][cls,i] for the patches i of a grid; without CLS the mean over its patches j of a[h][j,i] (Eq. 7).

    Args:
        weights: a, [B, H, T, T].
        grid: of P patches.

    Returns:
        [B, H, P].
    """
    tokens = torch.tensor(grid.tokens, device=weights.device)
    readers = tokens if grid.cls is None else tokens.new_tensor([grid.cls])
    return weights.index_select(2, readers).mean(dim=2).index_select(2, tokens)


def _floats(tensor: Tensor) -> Floats:
    # On the CPU: not every device has float64.
    return tensor.cpu().double().numpy()
