"""The control: the same patch with its heads drawn at random."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from headprune.patch.patch import Array


def random_controls(
    kept: Array,
    pruned: NDArray[np.bool_],
    there: NDArray[np.bool_],
    layers: list[int],
    across: bool,
    draws: int,
    seed: int,
) -> Iterator[Array]:
    """Coefficients [L, H] of `draws` random head sets of the patch's size.

    With pruned heads, as many others are silenced at random and the rest keep the patch's coefficients; without,
    each layer's coefficients are dealt to its heads at random.

    Args:
        kept: [L, H], the patch's coefficients before pruning.
        pruned: [L, H], the heads it silences.
        there: [L, H], the heads that the tower has.
        layers: the scored layers.
        across: the patch chose over all scored heads, so the control draws over all of them; else layer by layer.
        draws, seed: how many sets, and from where.
    """
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        if not pruned.any():
            s = kept.copy()
            for layer in layers:
                s[layer, there[layer]] = rng.permutation(kept[layer, there[layer]])
            yield s
            continue
        silent = np.zeros_like(pruned)
        if across:
            scored = there & np.isin(np.arange(len(there)), layers)[:, None]
            silent[scored] = rng.permutation(pruned[scored])
        else:
            for layer in layers:
                silent[layer, there[layer]] = rng.permutation(pruned[layer, there[layer]])
        yield np.where(silent, 0, kept).astype(np.float32)
