"""README's table of families, from what the suite found: `make families` runs it with this file as a pytest plugin."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headprune_transformers.families import FAMILIES

from tests.support.zoo import ZOO, Tiny

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- families: written by `make families` -->", "<!-- end of families -->"
SUITE = "test_families.py"

COLUMNS = {
    "replay = hooks": (
        "test_geometry_and_outline_agree",
        "test_geometry_is_what_is_known",
        "test_contributions_and_bias_add_up_to_the_attentions_answer",
        "test_all_ones_change_nothing",
        "test_replay_equals_hooks",
        "test_an_edit_has_an_effect_where_the_model_reads_it_and_only_there",
        "test_scores_are_those_of_one_hooked_pass_a_head",
    ),
    "early exit": (
        "test_every_layer_says_what_a_model_without_the_later_ones_says",
        "test_batched_equals_one_by_one",
        "test_what_is_no_number_is_not_put_into_words",
    ),
    "attention": ("test_attention_weights_are_those_that_made_the_head_outputs",),
    "data flow": ("test_the_data_flow_is_exact",),
    "lesions": (
        "test_lesions_by_the_mean_of_one_picture_are_none_to_it",
        "test_heads_that_read_another_picture_say_what_they_say_of_it",
    ),
    "patch maps": ("test_grids_name_the_tokens_of_each_place",),
    "`logit`, `gradient`": ("test_teacher_forcing_agrees_with_generation", "test_derivatives_are_the_losses_slopes"),
    "fold": (
        "test_applied_equals_hooks_and_goes_away",
        "test_what_is_saved_loads_as_the_same_model",
        "test_folded_equals_hooks",
        "test_exported_folded_it_has_all_its_weights",
    ),
    "slice": (
        "test_sliced_equals_hooks",
        "test_sliced_in_memory_the_heads_that_are_left_attend_as_before",
        "test_exported_sliced_it_has_the_weights_that_are_left",
    ),
    "loads without headprune": ("test_the_cards_lines_load_a_folder_without_headprune",),
}
Outcomes = Mapping[tuple[str, str], list[bool]]
"""(name in the zoo, test) -> whether each of its runs passed."""


def table(outcomes: Outcomes) -> str:
    """The Markdown table. A column is `yes` where all of its tests passed, `no` where one failed or did not run."""
    titles = ["family", "as tested", "tower", *COLUMNS]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for name, tiny in ZOO.items():
        cells = [_cell(outcomes, name, tiny, column) for column in COLUMNS]
        model_class = tiny.model_class or FAMILIES[tiny.family].model_class
        lines.append("| " + " | ".join([f"`{model_class}`", name, _tower(tiny), *cells]) + " |")
    return "\n".join(lines)


def _tower(tiny: Tiny) -> str:
    dead = [f"{tiny.dead} dead layer"] if tiny.dead else []
    return ", ".join(["CLS" if tiny.cls else "no CLS", *([tiny.remark] if tiny.remark else []), *dead])


def _cell(outcomes: Outcomes, name: str, tiny: Tiny, column: str) -> str:
    runs = [outcomes.get((name, test), []) for test in COLUMNS[column]]
    if not all(run and all(run) for run in runs):
        return "no"
    return f"refused: {tiny.slices}" if column == "slice" and tiny.slices is not True else "yes"


class _Everything(dict[tuple[str, str], list[bool]]):
    def get(self, key: object, default: Any = None) -> list[bool]:
        return [True]


ALL_PASSED: Outcomes = _Everything()
"""What a green run finds."""


def block(text: str) -> str:
    """The table that stands in README's text."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def read_outcomes(reports: Iterator[Any]) -> dict[tuple[str, str], list[bool]]:
    """Of a run's reports, those of the suite."""
    found: dict[tuple[str, str], list[bool]] = {}
    for report in reports:
        match = re.search(rf"{SUITE}::\w+::(\w+)\[(.+)\]$", report.nodeid)
        if match is None or (report.when != "call" and report.passed):
            continue
        test, parameters = match.groups()
        name = max(
            (name for name in ZOO if re.search(rf"(^|-){re.escape(name)}(-|$)", parameters)), key=len, default=""
        )
        found.setdefault((name, test), []).append(report.passed)
    return found


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write the table into README."""
    reports = (report for kind in ("passed", "failed", "error") for report in terminalreporter.stats.get(kind, []))
    written = table(read_outcomes(reports))
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n\n{written}\n\n{END}{after}", encoding="utf-8")
    terminalreporter.write_line(f"wrote the table of families: {README}")
