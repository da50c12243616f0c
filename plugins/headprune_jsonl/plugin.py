"""Registers the `jsonl` listener."""

from __future__ import annotations

from headprune import ListenerSpec, hookimpl


@hookimpl
def headprune_listeners() -> list[ListenerSpec]:
    """The one listener of this package."""
    return [
        ListenerSpec(
            name="jsonl",
            target="headprune_jsonl.listener:JsonLines",
            summary="one JSON object a line for all that happens, in RUN.events.jsonl or the file that path names",
            personal=("path",),
        )
    ]
