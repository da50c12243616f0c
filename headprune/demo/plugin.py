"""Registers the demo's scenes as a dataset, as any plugin registers its own."""

from __future__ import annotations

from headprune.hooks.specs import DatasetSpec, hookimpl


@hookimpl
def headprune_datasets() -> list[DatasetSpec]:
    """The bundled scenes."""
    return [DatasetSpec("demo", "headprune.demo.reader:DemoReader", "bundled: rendered scenes, five captions each")]
