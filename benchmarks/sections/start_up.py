"""Section 7: how long a user waits for `headprune --help`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.effort import Effort
from benchmarks.results import Section, Target, compared
from benchmarks.rounds import interleaved

HELP, TYPER = "headprune --help", 'python -c "import typer"'
ROUNDS = 11


def run(effort: Effort) -> Section:
    """Whole processes, from start to end."""
    commands = {
        HELP: [str(Path(sys.executable).with_name("headprune")), "--help"],
        TYPER: [sys.executable, "-c", "import typer"],
    }
    rounds = effort.rounds if effort.quick else max(ROUNDS, effort.rounds)
    if not effort.quick:
        # Once off the clock: the first start reads everything from disk.
        interleaved({name: _starting(command) for name, command in commands.items()}, 1, _unlike)
    seconds = interleaved({name: _starting(command) for name, command in commands.items()}, rounds, _unlike)
    rows = compared(f"a whole process, {rounds} times", seconds, "s", {HELP: (TYPER, Target(1.5))})
    return Section("start-up", "start-up", tuple(rows))


def _starting(command: list[str]) -> Callable[[], int]:
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL).returncode


def _unlike(first: str, wanted: int, other: str, found: int) -> None:
    """Two commands that do different things: nothing to hold against each other."""
