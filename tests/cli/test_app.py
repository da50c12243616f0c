"""headprune itself: help, version, and what no command takes."""

from __future__ import annotations

import pytest

import headprune

COMMANDS = ("score", "apply", "evaluate", "caption", "patch", "plugins", "recipe")


def test_help_names_the_commands(place):
    result = place.run("--help")
    assert result.exit_code == 0 and all(command in result.stdout for command in COMMANDS)
    assert "0-based" in result.stdout


@pytest.mark.parametrize("command", [*COMMANDS[:4], "patch show", "patch diff", "patch stack", "patch blend"])
def test_every_command_takes_json_quiet_and_debug(place, command):
    result = place.run(*command.split(), "--help")
    assert result.exit_code == 0
    assert all(option in result.stdout for option in ("--json", "--quiet", "--debug"))


def test_version(place):
    assert place.run("--version").stdout == f"headprune {headprune.__version__}\n"


@pytest.mark.parametrize(
    "words", [("scor",), ("score", "model", "--sample", "3"), ("apply", "model"), ("patch", "show")]
)
def test_misspelt_commands_and_missing_arguments_are_usage_errors(place, words):
    result = place.run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr and result.stderr


def test_a_square_bracket_is_not_markup(place):
    said = place.refuses(1, "caption", "model", "data/[bold]p9[/bold].png")
    assert "data/[bold]p9[/bold].png" in said
