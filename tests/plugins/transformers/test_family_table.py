"""README's table of families tells what the suite finds."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.plugins.transformers import test_families as suite
from tests.support import family_table
from tests.support.family_table import ALL_PASSED, COLUMNS, README, block, read_outcomes, table


def test_readme_shows_what_a_green_run_finds():
    assert block(README.read_text(encoding="utf-8")) == table(ALL_PASSED), "make families writes it"


def test_every_test_of_the_suite_stands_in_a_column():
    named = [test for tests in COLUMNS.values() for test in tests]
    assert sorted(named) == [name for name in dir(suite.TestFamily) if name.startswith("test_")]


@dataclass
class Report:
    nodeid: str
    passed: bool
    when: str = "call"


@pytest.mark.parametrize("when", ["setup", "call"])
def test_a_test_that_failed_or_did_not_run_is_told(when):
    made = []
    for name in family_table.ZOO:
        for tests in COLUMNS.values():
            made += [Report(f"tests/{family_table.SUITE}::TestFamily::{test}[{name}]", True) for test in tests]
    assert table(read_outcomes(iter(made))) == table(ALL_PASSED)
    spoilt = next(report for report in made if report.nodeid.endswith("test_sliced_equals_hooks[llava]"))
    others = [report for report in made if report is not spoilt]
    lines = table(read_outcomes(iter([*others, Report(spoilt.nodeid, False, when)]))).splitlines()
    changed = [line for line, before in zip(lines, table(ALL_PASSED).splitlines(), strict=True) if line != before]
    assert len(changed) == 1 and "| llava |" in changed[0] and changed[0].count("| no |") == 1
    missing = table(read_outcomes(iter(others))).splitlines()
    assert [line for line in missing if line in changed] == changed
