"""The demo's twins of the paper's figures and tables: every command that stands in such a recipe, run as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headprune.cli.app import app

RECIPES = Path(__file__).parents[2] / "recipes"
TWINS = sorted(RECIPES.glob("demo-*.toml"))


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.stem)
def test_the_commands_of_a_twin_run(twin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(RECIPES)
    commands = re.findall(r"^#     headprune (.+)$", twin.read_text(), re.M)
    assert len(commands) >= 2 and commands[-1].startswith("report ")
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command))
        assert result.exit_code == 0, (command, result.stderr)
    page = commands[-1].rpartition(" ")[2]
    assert (tmp_path / page).stat().st_size > 10_000
