"""A pruned model as a folder: a checkpoint that loads like any other, and a record of what was done to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headprune.files import writing_folder
from headprune.patch.apply import applied
from headprune.patch.patch import Array
from headprune.towers.adapter import Adapter

RECORD = "headprune.json"


def export_folded(adapter: Adapter, coefficients: Array, out: str | Path, record: dict[str, Any]) -> None:
    """Write the model with `coefficients` folded in to `out`; the model in memory is left unchanged.

    Args:
        adapter: the model.
        coefficients: s, [L, H].
        out: a folder that does not exist yet, or an empty one; it appears whole or not at all.
        record: what was done, written to `headprune.json` beside the weights.
    """
    with writing_folder(out) as beside:
        with applied(adapter, coefficients):
            adapter.save(beside)
        (beside / RECORD).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
