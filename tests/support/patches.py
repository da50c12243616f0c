"""Patches without a run behind them."""

from __future__ import annotations

import numpy as np

from headprune import Adapter, Patch
from headprune.patch.fit import model_record
from headprune.patch.patch import ModelRecord, PatchInfo


def patch_of(importance, layers=None, comparable="within-layer", model: ModelRecord | None = None) -> Patch:
    """A patch with the given importance [L, H] and softmax coefficients, scored on 4 samples in `layers`; NaN where a
    ragged `model` has no such head, whatever is given there."""
    importance = np.asarray(importance, np.float32)
    total, heads = importance.shape
    scored = list(range(total)) if layers is None else layers
    record = model or ModelRecord(
        name="m",
        backend="b",
        revision=None,
        layers=total,
        heads=heads,
        width=8,
        head_width=2,
        cls=True,
        ragged=(),
        fingerprint="f",
    )
    there = record.present & np.isin(np.arange(total), scored)[:, None]
    kept = np.where(there, importance, np.nan).astype(np.float32)
    powers = np.exp(kept)
    alpha = powers / np.nansum(powers, axis=-1, keepdims=True)
    scale = np.array(record.geometry.heads_in, np.float32)[:, None] * alpha
    info = PatchInfo(
        model=record,
        scorer={"name": "s"},
        edit={"name": "isolate"},
        comparable=comparable,
        decode_at="layer",
        schedule="oneshot",
        temperature=1.0,
        generation={},
        dataset="d",
        sample_ids=("a", "b", "c", "d"),
        seed=0,
        versions={},
    )
    return Patch(kept, alpha, scale.astype(np.float32), np.where(there, 4, 0).astype(np.int32), info)


def patch_for(adapter: Adapter, importance) -> Patch:
    """A patch that fits `adapter`."""
    return patch_of(importance, model=model_record(adapter))
