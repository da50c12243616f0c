"""Tells headprune of the edit. It is imported at every start: keep it light."""

from __future__ import annotations

import headprune


@headprune.hookimpl
def headprune_edits() -> list[headprune.EditSpec]:
    """The edits of this package."""
    return [
        headprune.EditSpec(
            name="placeholder",
            target="headprune_placeholder.edit:Placeholder",
            summary="one head at a time is multiplied by a factor",
        )
    ]
