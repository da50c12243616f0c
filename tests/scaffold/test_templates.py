"""Every scaffold as it stands: well written by its author's tools, and it keeps its own contract and tests.

They run here on their sources; `test_fresh.py` installs them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import headprune
from headprune.hooks.catalogue import KINDS
from headprune.scaffold.names import Names, named
from headprune.scaffold.write import write_package

ROOT = Path(headprune.__file__).parent.parent
# Line ends and imports move with a name: the shortest, and one as long as anybody would type.
NAMES = ("x", "words-of-all-colours")
RULES = "E4,E7,E9,F,W,I,UP,B,C4,SIM,RUF,PTH,PLE,PLW,RET"


def run(module: str, *words: str, cwd: Path, **environment: str) -> None:
    command = [sys.executable, "-m", module, *words]
    ran = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Callable[[str], list[Path]]:
    """Packages of all kinds, whose names begin alike."""

    @cache
    def written(name: str) -> list[Path]:
        root = tmp_path_factory.mktemp("scaffold")
        return [write_package(kind, f"{name}-{kind[0]}", root / kind) for kind in KINDS]

    return written


@pytest.fixture
def folders(packages) -> list[Path]:
    return packages(NAMES[0])


@pytest.mark.skipif(not importlib.util.find_spec("ruff"), reason="needs ruff, of headprune[dev]")
@pytest.mark.parametrize("name", NAMES)
def test_format_and_lint(packages, name):
    for folder in packages(name):
        run("ruff", "format", "--isolated", "--check", ".", cwd=folder)
        run("ruff", "check", "--isolated", "--no-cache", "--select", RULES, ".", cwd=folder)


@pytest.mark.skipif(not importlib.util.find_spec("mypy"), reason="needs mypy, of headprune[dev]")
def test_types(folders, tmp_path):
    sources = [f"{folder.name}/{part}" for folder in folders for part in ("src", "tests")]
    options = ("--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}")
    run("mypy", *options, *sources, cwd=folders[0].parent, MYPYPATH=str(ROOT))


def test_contract_and_tests(folders):
    sources = os.pathsep.join(str(folder / "src") for folder in folders)
    alone = ("-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir=.", "-c", os.devnull)
    run("pytest", *alone, *(f"{folder.name}/tests" for folder in folders), cwd=folders[0].parent, PYTHONPATH=sources)


def test_plugin_modules_are_light(folders):
    """What is imported at every start is hooks alone."""
    code = "import sys, json; import {}; print(json.dumps(sorted(sys.modules)))"
    for folder in folders:
        (package,) = (folder / "src").iterdir()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "src"), str(ROOT)])}
        command = [sys.executable, "-c", code.format(f"{package.name}.plugin")]
        loaded = json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
        assert not {"torch", "numpy", "pydantic", "PIL"} & {*loaded}


@pytest.mark.parametrize("name", ["x", "colour-words", "x2-3d", "a-b-c"])
def test_names(name):
    names = named(name)
    assert names == Names(name)
    assert names.package == f"headprune-{name}" and names.module.isidentifier() and names.cls.isidentifier()
    assert (Names("colour-words").module, Names("colour-words").cls) == ("headprune_colour_words", "ColourWords")
