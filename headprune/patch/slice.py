"""Heads that are gone: a smaller tower in place of silent heads."""

from __future__ import annotations

import numpy as np

from headprune.patch.apply import applied
from headprune.patch.patch import Array, present
from headprune.patch.prune import silent
from headprune.towers.adapter import Adapter


def sliced(adapter: Adapter, coefficients: Array) -> Adapter:
    """The model without the heads whose coefficient is 0, and the others' coefficients folded in.

    It says what `applied(adapter, coefficients)` says: a silent head adds nothing to its layer, and the output
    projection's bias belongs to no head.

    Args:
        adapter: the model; it stays as it is, and shares all weights that are not the tower's projections.
        coefficients: s, [L, H].

    Raises:
        PatchError: the coefficients are not [L, H] finite numbers. ModelError: this family cannot be sliced.
    """
    with applied(adapter, coefficients):
        kept = present(adapter.geometry) & ~silent(adapter.geometry, coefficients)
        return adapter.without_heads([np.flatnonzero(row).tolist() for row in kept])
