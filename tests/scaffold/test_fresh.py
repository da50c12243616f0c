"""A plugin of each kind from nothing to a run, as a newcomer gets there: in an environment that holds nothing else.

`make test-scaffold` runs this. It installs headprune from a wheel into a new environment, which takes minutes and
packages from PyPI, so without HEADPRUNE_SCAFFOLD it is left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from headprune.hooks.catalogue import KINDS

ROOT = Path(__file__).parent.parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
CHECKED_ON = {"adapter": ("--model", "tiny"), "dataset": ("--data", "example/captions.txt")}

pytestmark = pytest.mark.skipif(
    not os.environ.get("HEADPRUNE_SCAFFOLD"), reason="makes an environment of its own: `make test-scaffold`"
)


class Environment:
    """A virtual environment with headprune, as installed from a wheel, and nothing of this checkout on its path."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self._bin = folder / "bin"

    def run(self, program: str, *words: object, cwd: Path) -> str:
        """Run one of its programs and give what it printed; it must end well."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "VIRTUAL"))
        }
        command = [str(self._bin / program), *map(str, words)]
        ran = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{program} {words}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def install(self, *what: object, cwd: Path) -> None:
        self.run(
            "pip", "--disable-pip-version-check", "install", "--quiet", "--constraint", CONSTRAINTS, *what, cwd=cwd
        )


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One for all kinds, made once."""
    root = tmp_path_factory.mktemp("fresh")
    # setuptools builds where the sources lie, with what an earlier build left there.
    source = root / "source"
    for name in ("headprune", "plugins"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    environment = Environment(root / "environment")
    # torch goes in by itself and first, as in the Makefile.
    (torch,) = (line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))
    environment.install(torch, cwd=root)
    environment.run("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", root, source, cwd=root)
    environment.install(*root.glob("headprune-*.whl"), cwd=root)
    return environment


@pytest.mark.parametrize("kind", KINDS)
def test_from_nothing_to_a_run(fresh: Environment, tmp_path: Path, kind: str) -> None:
    name = f"first-{kind}"
    fresh.run("headprune", "plugins", "new", kind, name, cwd=tmp_path)
    folder = tmp_path / f"headprune-{name}"
    fresh.install(f"{folder}[test]", cwd=tmp_path)
    listed = json.loads(fresh.run("headprune", "plugins", "list", "--json", cwd=folder))
    assert [offer["kind"] for offer in listed["offers"] if offer["name"] == name] == [kind]
    assert " passed" in fresh.run("pytest", "-q", cwd=folder)
    checked = json.loads(
        fresh.run("headprune", "plugins", "check", name, *CHECKED_ON.get(kind, ()), "--json", cwd=folder)
    )
    assert {promise["outcome"] for promise in checked["promises"]} <= {"kept", "left out"}
    scored = json.loads(
        fresh.run("headprune", "score", "--recipe", "recipe.toml", "--out", "run", "--json", cwd=folder)
    )
    assert (folder / scored["patch"]).is_file()
    importance = [mean for layer in scored["layers"] for mean in layer["importance"]["mean"]]
    assert len({*importance}) > 1, "no two heads are told apart"
