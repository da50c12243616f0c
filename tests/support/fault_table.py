"""README's table of faults, from what the harness counts: `make faults` runs it with this file as a pytest plugin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- faults: written by `make faults` -->", "<!-- end of faults -->"
PROPERTY = "faults"
COLUMNS = {"tried": "faults tried", "survived": "survived", "lost": "rows lost", "wrong": "wrong results"}
KINDS = {
    "kill": "the process is killed (SIGKILL) at a random moment",
    "kill at file": "it is killed at one of its file operations",
    "kill fresh": "a whole process is killed, from Python's start on",
    "disk": "the disk is full",
    "store": "a bit of the store, or of its write-ahead log, is turned",
    "cut": "a file of the run is cut short",
    "patch": "a bit of the patch is turned",
    "picture": "pictures break while the run works on them",
    "nan": "the model gives NaN",
    "memory": "memory runs out",
    "service": "the scorer's service or the judge's server is away",
    "shared": "another process is in the run folder, or the clock jumps",
    "worker": "one of Ray's workers is killed",
    "node": "one of two of Ray's nodes is killed",
    "hostile": "a file to read is hostile",
}
"""Every kind of fault, as the harness calls it and as README does."""
Figures = dict[str, dict[str, int]]


def table(figures: Mapping[str, Mapping[str, int]]) -> str:
    """The Markdown table; a kind that was not tried has no figures."""
    lines = ["| fault | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for kind, title in KINDS.items():
        found = figures.get(kind, {})
        lines.append(f"| {title} | " + " | ".join(str(found.get(column, "")) for column in COLUMNS) + " |")
    return "\n".join(lines)


def block(text: str) -> str:
    """The table that stands in README's text."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def add(figures: Figures, properties: list[Any]) -> None:
    """Add what one test counted."""
    for name, value in properties:
        if name == PROPERTY:
            kind, counted, _ = json.loads(value)
            there = figures.setdefault(kind, dict.fromkeys(COLUMNS, 0))
            for column in COLUMNS:
                there[column] += counted[column]


_figures: Figures = {}
_told: list[str] = []


def pytest_runtest_logreport(report: Any) -> None:
    """A test is over: what it counted is with its last report."""
    if report.when != "teardown":
        return
    add(_figures, report.user_properties)
    _told.extend(f"{report.nodeid}: {value}" for name, value in report.user_properties if name == PROPERTY)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write the table into README, and what else was counted onto the screen."""
    for line in _told:
        terminalreporter.write_line(line)
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n\n{table(_figures)}\n\n{END}{after}", encoding="utf-8")
    terminalreporter.write_line(f"wrote the table of faults: {README}")
