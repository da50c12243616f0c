"""README's commands and code, run as they stand there, in the order they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.snippets import blocks, not_said

ROOT = Path(__file__).parent.parent
BLOCKS = blocks(ROOT / "README.md")
# Made by other targets of the Makefile, which CI calls on a clean checkout.
BY_CI = ("make demo", "make test", "make check", "git clone", "cd headprune", "pip install")


def commands() -> list[tuple[str, str]]:
    """(command, what README shows of its output) of every console."""
    return [command for block in BLOCKS if block.language == "console" for command in block.commands()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run in, with the recipes of the repository and the files that README shows."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    for block in BLOCKS:
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    bin_folder = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
    return subprocess.run(
        words, check=False, cwd=folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def test_every_command_does_what_readme_shows(folder: Path):
    shown = commands()
    assert len(shown) >= 6
    for command, output in shown:
        if command.startswith(BY_CI):
            continue
        done = run(command, folder)
        assert done.returncode == 0, (command, done.stderr)
        said = done.stdout + done.stderr
        assert not not_said(output, said), (command, not_said(output, said), said)


def test_make_targets_exist():
    targets = re.findall(r"make (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets and all(re.search(rf"^{target}:", makefile, flags=re.M) for target in targets)


def test_commands_for_a_gpu_get_as_far_as_the_hub(folder: Path):
    shown = [line for block in BLOCKS if block.language == "shell" for line in block.text.splitlines() if line]
    assert shown
    for command in shown:
        if command.startswith(BY_CI):
            continue
        done = run(command, folder)
        if "convert lavis:" in command:
            assert done.returncode == 3 and "needs salesforce-lavis==1.0.2" in done.stderr
            continue
        # The hub is out of reach here: everything up to it is in order, and what is missing is said.
        assert done.returncode == 1 and "Traceback" not in done.stderr, (command, done.stderr)
        assert "cannot load the BERTScore model roberta-large" in done.stderr and "next:" in done.stderr


def test_python_runs(folder: Path):
    scripts = [block.text for block in BLOCKS if block.language == "python"]
    assert len(scripts) >= 2
    for number, text in enumerate(scripts):
        script = folder / f"block{number}.py"
        script.write_text(text, encoding="utf-8")
        done = run(f"{sys.executable} {script}", folder)
        assert done.returncode == 0, (text, done.stderr)
