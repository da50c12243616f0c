"""Patches without a run behind them."""

from __future__ import annotations

import numpy as np

from headprune import Adapter, Patch
from headprune.patch.fit import fingerprint
from headprune.patch.patch import ModelRecord, PatchInfo


def patch_of(importance, layers=None, comparable="within-layer", model: ModelRecord | None = None) -> Patch:
    """A patch with the given importance [L, H] and softmax coefficients, scored on 4 samples in `layers`."""
    importance = np.asarray(importance, np.float32)
    total, heads = importance.shape
    scored = list(range(total)) if layers is None else layers
    alpha = np.full_like(importance, np.nan)
    alpha[scored] = np.exp(importance[scored]) / np.exp(importance[scored]).sum(-1, keepdims=True)
    samples = np.zeros(importance.shape, np.int32)
    samples[scored] = 4
    kept = np.where(samples > 0, importance, np.nan).astype(np.float32)
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
    return Patch(kept, alpha, (heads * alpha).astype(np.float32), samples, info)


def patch_for(adapter: Adapter, importance) -> Patch:
    """A patch that fits `adapter`."""
    geometry = adapter.geometry
    record = ModelRecord(
        name=adapter.ref.name,
        backend=adapter.ref.backend,
        revision=None,
        layers=geometry.layers,
        heads=geometry.heads,
        width=geometry.width,
        head_width=geometry.head_width,
        cls=geometry.cls,
        ragged=geometry.ragged,
        fingerprint=fingerprint(adapter),
    )
    return patch_of(importance, model=record)
