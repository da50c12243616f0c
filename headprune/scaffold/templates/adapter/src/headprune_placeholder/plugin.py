"""Tells headprune of the adapter. It is imported at every start: keep it light."""

from __future__ import annotations

import headprune


@headprune.hookimpl
def headprune_adapters() -> list[headprune.AdapterSpec]:
    """The model back ends of this package."""
    return [
        headprune.AdapterSpec(
            name="placeholder",
            target="headprune_placeholder.adapter:PlaceholderBackend",
            summary="a small captioner of our own: a folder, or tiny, made of chance",
            # A folder that holds this file is loaded by this back end.
            marker="placeholder.json",
        )
    ]
