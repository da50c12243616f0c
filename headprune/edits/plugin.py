"""Registers the edits of METHOD.md as any plugin registers its own."""

from __future__ import annotations

from headprune.hooks.specs import EditSpec, hookimpl

_HOME = "headprune.edits.heads"


@hookimpl
def headprune_edits() -> list[EditSpec]:
    """The five edits of one layer's heads."""
    return [
        EditSpec("isolate", f"{_HOME}:Isolate", "only head h speaks, the residual stream stays"),
        EditSpec("isolate-direct", f"{_HOME}:IsolateDirect", "only head h speaks, without the residual stream"),
        EditSpec("ablate", f"{_HOME}:Ablate", "head h is silent"),
        EditSpec("mean-ablate", f"{_HOME}:MeanAblate", "head h says its mean over the samples"),
        EditSpec("scale", f"{_HOME}:Scale", "head h is multiplied by a factor (option: factor=0.5)"),
    ]
