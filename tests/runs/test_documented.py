"""docs/store.md describes the store as it is."""

from __future__ import annotations

import re
from pathlib import Path

from headprune.runs import RunStore
from headprune.runs.rows import importances, results
from headprune.runs.schema import VERSION

PAGE = (Path(__file__).parents[2] / "docs" / "store.md").read_text(encoding="utf-8")


def _rows() -> dict[str, list[str]]:
    """Of every table on the page: the names in its first column -> those in its second."""
    cells = (re.findall(r"(?<=\|)[^|]*", line) for line in PAGE.splitlines() if line.startswith("| `"))
    return {re.findall(r"`([\w.-]+)`", row[0])[0]: re.findall(r"`(\w+)`", row[1]) for row in cells}


def test_every_table_and_view_is_described_with_its_columns(tmp_path: Path) -> None:
    described = _rows()
    with RunStore.open(tmp_path) as store:
        for (name,) in store.all("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"):
            columns = [column[1] for column in store.all(f"PRAGMA table_info({name})")]
            assert described[name] == columns, name
    assert f"Version {VERSION}." in PAGE


def test_every_column_of_an_export_is_described(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        for name, _ in (*results(store).columns, *importances(store).columns):
            assert f"`{name}`" in PAGE, name
