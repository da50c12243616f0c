"""From importances to a patch: the last lines of Algorithm 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headprune.patch.patch import Array, Patch, PatchInfo
from headprune.scoring.importance import softmax
from headprune.scoring.statistics import Floats


def patch_from(per_sample: Floats, layers: Sequence[int], info: PatchInfo) -> Patch:
    """The patch of these importances: their means, alpha = softmax(mean / temperature) in each layer, H * alpha.

    Args:
        per_sample: [m, len(layers), H], importance of each head on each sample; NaN where a layer has no such head.
        layers: the scored layers, 0-based.
        info: of the patch; its model and temperature are used.
    """
    geometry, scored = info.model.geometry, list(layers)
    mean = per_sample.mean(axis=0)
    alpha = softmax(mean, info.temperature)

    def table(rows: Floats) -> Array:
        made = np.full((geometry.layers, geometry.heads), np.nan, np.float32)
        made[scored] = rows
        return made

    samples = np.zeros((geometry.layers, geometry.heads), np.int32)
    samples[scored] = np.where(np.isfinite(mean), len(per_sample), 0)
    scale = np.array(geometry.heads_in)[scored, None] * alpha
    return Patch(table(mean), table(alpha), table(scale), samples, info)
