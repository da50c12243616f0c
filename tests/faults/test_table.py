"""README's table of faults has the form that `make faults` gives it, and tells of faults that were all survived."""

from __future__ import annotations

import json

from tests.support.fault_table import BEGIN, COLUMNS, END, KINDS, PROPERTY, README, add, block, table

AT_LEAST = {"kill": 100, "hostile": 500}


def figures_in(text: str) -> dict[str, dict[str, int]]:
    """What a table tells of each kind."""
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines()[2:]]
    kinds = {title: kind for kind, title in KINDS.items()}
    return {kinds[title]: dict(zip(COLUMNS, map(int, numbers), strict=True)) for title, *numbers in cells}


def test_readme_tells_of_faults_that_were_all_survived():
    text = README.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    found = figures_in(block(text))
    assert block(text) == table(found), "make faults writes it"
    assert found.keys() == KINDS.keys()
    for kind, counted in found.items():
        assert counted["tried"] >= AT_LEAST.get(kind, 1), kind
        assert counted == {"tried": counted["tried"], "survived": counted["tried"], "lost": 0, "wrong": 0}, kind


def test_what_was_counted_of_a_kind_is_added_up_and_what_was_not_tried_has_no_figures():
    figures: dict[str, dict[str, int]] = {}
    one = {"tried": 3, "survived": 2, "lost": 1, "wrong": 0}
    for properties in (
        [(PROPERTY, json.dumps(["kill", one, {}]))],
        [["other", "x"], [PROPERTY, json.dumps(["kill", one, {}])]],
    ):
        add(figures, properties)
    assert figures == {"kill": {"tried": 6, "survived": 4, "lost": 2, "wrong": 0}}
    lines = table(figures).splitlines()
    assert lines[2] == f"| {KINDS['kill']} | 6 | 4 | 2 | 0 |"
    assert len(lines) == 2 + len(KINDS) and lines[3] == f"| {KINDS['kill at file']} |  |  |  |  |"
