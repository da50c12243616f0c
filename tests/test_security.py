"""SECURITY.md says what is so: its figures are the code's, its tests are there."""

from __future__ import annotations

import re
from pathlib import Path

from headprune import pictures
from headprune.patch import file
from headprune.recipes import toml
from headprune.redact import SHORTEST
from headprune.runs import result

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_its_figures_are_the_codes() -> None:
    from headprune_datasets.files import LARGEST

    figures = {int(figure.replace(",", "")) for figure in re.findall(r"\d[\d,]{6,}", TEXT)}
    bytes_ = {toml.LARGEST, file.LARGEST, file.LONGEST_HEADER, result.LARGEST, pictures.MAX_BYTES, LARGEST}
    assert figures == bytes_ | {pictures.MAX_PIXELS}
    assert f"{toml.DEEPEST} tables and lists in one another" in TEXT and f"from\n{SHORTEST} characters on" in TEXT


def test_the_tests_that_it_names_are_there() -> None:
    named = set(re.findall(r"`(tests/[^`]+)`", TEXT))
    assert len(named) > 15 and not [name for name in named if not (ROOT / name).is_file()]
