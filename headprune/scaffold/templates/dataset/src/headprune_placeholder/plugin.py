"""Tells headprune of the dataset. It is imported at every start: keep it light."""

from __future__ import annotations

import headprune


@headprune.hookimpl
def headprune_datasets() -> list[headprune.DatasetSpec]:
    """The dataset readers of this package."""
    return [
        headprune.DatasetSpec(
            name="placeholder",
            target="headprune_placeholder.dataset:Placeholder",
            summary="a text file, a picture's path and a caption a line",
        )
    ]
