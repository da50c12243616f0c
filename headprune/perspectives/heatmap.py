"""The heatmap perspective (Eq. 7-8): where in the picture each layer and each head looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headprune.errors import ModelError
from headprune.scoring.settings import Progress
from headprune.scoring.statistics import Floats
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, Pictures, picture_batches
from headprune.towers.memory import Room, budget
from headprune.types import Grid, Sample

Reader = Literal["cls", "mean"]
# What one layer's attention [H, T, T] costs while it is worked out: scores, weights, and what is read of them.
_COPIES = 3


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
            All four are NaN, too, where a layer, or the one before it, lost all its heads.
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


def heatmap(
    adapter: Adapter,
    samples: Sequence[Sample],
    layers: Sequence[int],
    batch: Batch,
    k: float = 5.0,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Heatmaps:
    """Where each of `layers` and each of its heads looks in each picture (Eq. 7-8).

    The model attends as it always does: weights are read in a pass of their own, two where they would not fit in memory
    at once, or more.

    Args:
        adapter: the model.
        samples: the pictures.
        layers: 0-based. The one before each is read as well, for dA.
        batch: how many pictures go through the tower together, at most.
        k: patches whose output norm lies above median + k * MAD of the grid's are left out of the maps; 0: none.
        progress: told after each batch of pictures.

    Raises:
        ModelError: the adapter's grids do not fit its tower.
    """
    read = sorted({*layers, *(layer - 1 for layer in layers if layer)})
    numbers = np.full((4, len(samples), len(layers)), np.nan)
    pictures: dict[str, PictureMaps] = {}
    place_of = {sample.id: place for place, sample in enumerate(samples)}
    for sample, grid, looks in _looks(adapter, samples, read, batch):
        numbers[:, place_of[sample.id]] = np.transpose([_numbers(looks, layer, k) for layer in layers])
        pictures[sample.id] = _maps(sample, grid, looks, layers, adapter.geometry.heads, k)
        progress(Progress("maps", len(pictures), len(samples), len(samples)))
    reader: Reader = "cls" if adapter.geometry.cls else "mean"
    attention, change, l1, cosine = numbers
    maps = tuple(pictures[sample.id] for sample in samples))


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
    each = _cost(adapter, adapter.tokens) * len(layers)
    room = Room(max(1, min(batch.pictures, budget(adapter.device) // each)), "pictures")
    for pictures in picture_batches(adapter, samples, room.size):
        grids = [adapter.grids(sample.load()) for sample in pictures.samples]
        look = partial(_look, adapter, pictures, grids[0], layers)
        for start, stop, found in room.pieces(len(pictures.samples), look):
            for row in range(start, stop):
                looks = {layer: _Look(heads[row - start], norms[row - start]) for layer, heads, norms in found}
                yield pictures.samples[row], grids[row][0], looks


def _cost(adapter: Adapter, tokens: int) -> int:
    """Bytes of one picture's attention in one layer."""
    return _COPIES * 4 * max(1, adapter.geometry.heads) * tokens**2


@torch.no_grad()
def _look(
    adapter: Adapter, pictures: Pictures, grids: tuple[Grid, ...], layers: Sequence[int], start: int, stop: int
) -> list[tuple[int, Floats, Floats]]:
    """(layer, a [B, H, P], norms [B, P]) of pictures start..stop, whose tokens all stand as `grids` say."""
    pixels, form = pictures.pixels[start:stop], pictures.form
    tokens = torch.tensor(grids[0].tokens, device=adapter.device)
    readers = tokens if grids[0].cls is None else tokens.new_tensor([grids[0].cls])
    captures = adapter.trace(pixels, layers, form=form).captures
    norms = {layer: capture.output.float().norm(dim=-1) for layer, capture in captures.items()}
    del captures
    found, due = len(norms[layers[0]][0]), 1 + max(token for grid in grids for token in grid.tokens)
    if found != due:
        raise ModelError(f"the tower has {found} tokens, where its grids name {due}", "the adapter's grids do not fit")
    at_once = max(1, budget(adapter.device) // (_cost(adapter, found) * len(pixels)))
    looks = []
    for first in range(0, len(layers), at_once):
        some = layers[first : first + at_once]
        attention = adapter.attention(pixels, some, form)
        for layer in some:
            weights = attention.pop(layer).weights.index_select(2, readers).mean(dim=2).index_select(2, tokens)
            looks.append((layer, _floats(weights), _floats(norms[layer].index_select(1, tokens))))
    return looks


def _floats(tensor: Tensor) -> Floats:
    # On the CPU: not every device has float64.
    return tensor.cpu().double().numpy()
