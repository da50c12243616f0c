"""Registers the `wandb` listener."""

from __future__ import annotations

from headprune import ListenerSpec, hookimpl


@hookimpl
def headprune_listeners() -> list[ListenerSpec]:
    """The one listener of this package."""
    return [
        ListenerSpec(
            name="wandb",
            target="headprune_wandb.listener:Wandb",
            summary="a Weights & Biases run: settings, importance and coefficient of each head by layer, the patch",
            requires=("wandb>=0.31",),
            advice="pip install 'headprune[wandb]'",
            personal=("dir",),
        )
    ]
