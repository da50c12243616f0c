"""Importances of each sample, kept in the run's store: a patch holds their means only, and a part of the samples may
have to rank heads without the others."""

from __future__ import annotations

import numpy as np

from headprune.errors import UsageError
from headprune.patch.patch import Patch
from headprune.runs.store import RunStore
from headprune.scoring.coefficients import patch_from
from headprune.scoring.statistics import Floats


def keep_importances(store: RunStore, patch: Patch, per_sample: Floats, layers: tuple[int, ...]) -> None:
    """Store the importances that `patch` was made of, under its digest.

    Args:
        store: of the run.
        patch: made of them.
        per_sample: [m, len(layers), H], in the order of the patch's samples; NaN where a layer has no such head.
        layers: the scored layers, 0-based.
    """
    values = per_sample.astype(object)
    values[np.isnan(per_sample)] = None
    rows = {
        (sample, layer): by_head
        for sample, of_sample in zip(patch.info.sample_ids, values.tolist(), strict=True)
        for layer, by_head in zip(layers, of_sample, strict=True)
    }
    # Reading them makes room for those that are damaged: what is there already would stay as it is.
    store.importances(patch.digest())
    store.add_importances(patch.digest(), rows)


def kept_importances(store: RunStore, patch: Patch) -> Floats:
    """The stored importances of a patch, [m, L, H], in the order of its samples; NaN where nothing was scored.

    Raises:
        UsageError: the store has none of this patch.
    """
    per_sample = np.full((len(patch.info.sample_ids), *patch.importance.shape), np.nan)
    kept = store.importances(patch.digest())
    if not kept:
        raise UsageError(
            f"{store.path.name} beside the patch has no importances of it, sample by sample",
            "give the run's headprune score command again: it makes no caption twice",
        )
    row_of = {sample: row for row, sample in enumerate(patch.info.sample_ids)}
    for (sample, layer), by_head in kept.items():
        per_sample[row_of[sample], layer, : len(by_head)] = np.array(by_head, float)
    return per_sample


def patch_of_first(patch: Patch, per_sample: Floats, count: int) -> Patch:
    """The patch that the first `count` samples alone would have given; of all samples it is `patch` itself.

    What was measured is taken as it is: with schedule `sequential` later layers were scored on a model scaled by
    coefficients from all samples, and `mean-ablate` put the mean over all samples in a head's place.

    Args:
        patch: of all m samples.
        per_sample: [m, L, H], its importances.
        count: how many samples, in the order they were drawn.
    """
    info = patch.info.model_copy(update={"sample_ids": patch.info.sample_ids[:count]})
    return patch_from(per_sample[:count, patch.scored], patch.scored, info)
