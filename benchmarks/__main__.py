"""`python -m benchmarks`: measure, show, and write JSON with a Markdown table beside it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.results import Section

SECTIONS = {
    "demo": "demo",
    "vit-g": "vit_g",
    "cuda": "cuda",
    "memory": "memory",
    "bertscore": "bertscore",
    "sliced": "sliced",
    "start-up": "start_up",
    "store": "store",
    "workers": "workers",
}
ROUNDS = 5
RESULTS = Path(__file__).parent / "results"


def parser() -> argparse.ArgumentParser:
    """The options; there are no others."""
    found = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    found.add_argument("--quick", action="store_true", help="one round of tiny numbers: does it run, do all agree?")
    found.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    found.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of every contest (default: %(default)s)")
    found.add_argument("--out", type=Path, help="the JSON (default: benchmarks/results/results.json, or quick.json)")
    return found


def main(words: Sequence[str]) -> int:
    """Run the sections asked for; what is finished is on disk before the next begins."""
    asked = parser().parse_args(words)
    # Nothing here is on a hub; asking for it costs seconds.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from rich.console import Console
    from transformers.utils import logging

    from benchmarks import machine, table
    from benchmarks.effort import Effort
    from benchmarks.results import RATIOS
    from benchmarks.task import DisagreementError

    logging.disable_progress_bar()
    console = Console()
    effort = Effort(1 if asked.quick else asked.rounds, asked.quick)
    out = asked.out or RESULTS / ("quick.json" if asked.quick else "results.json")
    how = shlex.join(["python", "-m", "benchmarks", *words])
    described = machine.describe()
    console.print(", ".join(f"{name} {value}" for name, value in described.items()), highlight=False)
    finished: list[Section] = []
    for name in asked.only or SECTIONS:
        console.print(f"measuring: {name}", style="dim")
        try:
            section = import_module(f"benchmarks.sections.{SECTIONS[name]}").run(effort)
        except DisagreementError as difference:
            console.print(f"{name}: no times, the results differ: {difference}", style="bold red", highlight=False)
            return 1
        finished.append(section)
        table.show(console, section)
        _write(out, how, described, finished)
    console.print(f"\n{RATIOS}", highlight=False)
    console.print(f"wrote {out} and {out.with_suffix('.md')}")
    return 0


def _write(out: Path, how: str, machine: Mapping[str, Any], finished: Sequence[Section]) -> None:
    """The JSON, and the Markdown beside it."""
    from benchmarks import table
    from benchmarks.results import RATIOS

    sections = [section.document() for section in finished]
    document = {"command": how, "machine": machine, "ratios": RATIOS, "sections": sections}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(table.markdown(machine, finished, how), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
