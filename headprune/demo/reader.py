"""The demo's scenes as a dataset."""

from __future__ import annotations

from headprune.demo.dataset import held_out
from headprune.errors import UsageError
from headprune.hooks.kinds import DatasetReader
from headprune.types import Dataset, Sample


class DemoReader(DatasetReader):
    """DATA `demo`: the held-out scenes, rendered when they are looked at."""

    def open(self, ref: str) -> Dataset:
        if ref:
            raise UsageError(f"demo data takes nothing after its name, not {ref!r}", "--data demo")
        return Dataset("demo", tuple(Sample(entry.id, entry.captions, entry.picture) for entry in held_out()))
