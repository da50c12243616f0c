"""Registers the `cider` scorer."""

from __future__ import annotations

from headprune import ScorerSpec, hookimpl


@hookimpl
def headprune_scorers() -> list[ScorerSpec]:
    """The one scorer of this package."""
    return [
        ScorerSpec(
            name="cider",
            target="headprune_cider.scorer:Cider",
            summary="CIDEr-D against the gold captions, 0 to 10; document frequencies from all gold captions or a file",
        )
    ]
