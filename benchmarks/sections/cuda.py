"""Section 3: sections 1 and 2 again on a CUDA device, where there is one."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.effort import Effort
from benchmarks.results import Section
from benchmarks.sections import demo, vit_g

TITLE = "the same on a CUDA device"


def run(effort: Effort) -> Section:
    """On the current CUDA device; without one, nothing but a note that says so."""
    if not torch.cuda.is_available():
        return Section("cuda", TITLE, (), ("no CUDA device here: nothing was measured",))
    device = torch.device("cuda", torch.cuda.current_device())
    rows, notes = [], [f"on {torch.cuda.get_device_name(device)}"]
    for name, measure in (("demo", demo.measure), ("ViT-g", vit_g.measure)):
        measured, said = measure(effort, device)
        rows += [replace(row, setting=f"{name}, {row.setting}") for row in measured]
        notes += [f"{name}: {note}" for note in said]
    return Section("cuda", TITLE, tuple(rows), tuple(notes))
