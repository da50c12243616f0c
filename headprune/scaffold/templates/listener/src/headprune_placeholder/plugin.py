"""Tells headprune of the listener. It is imported at every start: keep it light."""

from __future__ import annotations

import headprune


@headprune.hookimpl
def headprune_listeners() -> list[headprune.ListenerSpec]:
    """The listeners of this package."""
    return [
        headprune.ListenerSpec(
            name="placeholder",
            target="headprune_placeholder.listener:Placeholder",
            summary="says on stderr which heads of each layer count most",
        )
    ]
