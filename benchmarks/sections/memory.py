"""Section 4: peak memory of `headprune score`, which must not grow with the number of samples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.effort import Effort
from benchmarks.results import Section, Target, compared
from headprune.demo.dataset import held_out

FEW, MANY = 100, 1000
QUICK_FEW, QUICK_MANY = 4, 12
LAYERS = "last:2"
MIB = 2**20


def run(effort: Effort) -> Section:
    """Both sample counts on one picture folder, each in a process of its own, taking turns."""
    few, many = (QUICK_FEW, QUICK_MANY) if effort.quick else (FEW, MANY)
    names = {f"{few} samples": few, f"{many} samples": many}
    peaks: dict[str, list[float]] = {name: [] for name in names}
    with TemporaryDirectory() as scratch:
        folder = write_pictures(Path(scratch) / "pictures", many)
        for number in range(effort.rounds):
            for name, count in names.items():
                peaks[name].append(_peak(folder, count, Path(scratch) / f"run-{number}-{count}") / MIB)
    first, last = names
    rows = compared(f"headprune score demo --layers {LAYERS}", peaks, "MiB", {last: (first, Target(1.1))})
    notes = (
        f"a picture folder of {many} scenes, both counts drawn from it; scorer bertscore with the bundled encoder",
        "peak resident memory (ru_maxrss) of a process of its own",
    )
    return Section("memory", "peak memory of headprune score", tuple(rows), notes)


def write_pictures(folder: Path, count: int) -> Path:
    """A picture folder of `count` rendered scenes with their gold captions."""
    folder.mkdir()
    lines = []
    for entry in held_out(count):
        entry.picture().save(folder / f"{entry.id}.png")
        lines.append(json.dumps({"file_name": f"{entry.id}.png", "captions": entry.captions}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _peak(folder: Path, samples: int, out: Path) -> int:
    """Peak resident memory of one `headprune score`, in bytes."""
    headprune = Path(sys.executable).with_name("headprune")
    command = [headprune, "score", "demo", "--data", folder, "--samples", samples, "--layers", LAYERS]
    command += ["--device", "cpu", "--out", out, "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peak", *map(str, command)], check=True, stdout=subprocess.PIPE, text=True
    )
    return int(done.stdout)
