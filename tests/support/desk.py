"""A place to type commands as a reader of the docs would: a folder, a home and an environment of their own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
import venv
from pathlib import Path


class Desk:
    """The current folder, and a shell.

    The environment has what that of the tests has, headprune among it, and takes packages of its own; pip is not asked
    to fetch anything.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "desk"
        ours = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_THEIRS)}
        self._environment = {**ours, **_ENVIRONMENT, "HOME": str(root / "home")}
        for folder in (self.folder, root / "home"):
            folder.mkdir()
        bin_folder = _environment_like_ours(root / "env")
        self._environment["PATH"] = f"{bin_folder}:{os.environ['PATH']}"

    def type(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command; `cd`, `export` and `unset` hold for those that follow."""
        word, *rest = shlex.split(command)
        if word in ("cd", "export", "unset"):
            self._keep(word, rest[0])
            command = ":"
        shell = ["bash", "-c", command]
        kept = {"cwd": self.folder, "env": self._environment}
        return subprocess.run(shell, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, **kept)

    def _keep(self, word: str, what: str) -> None:
        name, _, value = what.partition("=")
        if word == "cd":
            self.folder = (self.folder / what).resolve(strict=True)
        elif word == "export":
            self._environment[name] = value.replace("$PWD", str(self.folder))
        else:
            del self._environment[name]


# What a setting of ours would change.
_NOT_THEIRS = ("HEADPRUNE_", "XDG_", "PYTEST_", "PYTHON")
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "COLUMNS": "100",
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say: no isolation
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


def _environment_like_ours(folder: Path) -> Path:
    """A virtual environment that sees every package of this one; its folder of commands."""
    venv.create(folder, symlinks=True)
    ours, theirs = (sysconfig.get_path("purelib", vars=given) for given in ({}, _bases(folder)))
    # Whatever editable packages have written there counts, too.
    Path(theirs, "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n", encoding="utf-8")
    for command, module in (("pip", "pip"), ("pytest", "pytest")):
        _script(folder / "bin" / command, f'exec "{folder}/bin/python" -m {module} "$@"')
    code = "import sys; sys.argv[0] = 'headprune'; from headprune.cli.app import main; main()"
    _script(folder / "bin" / "headprune", f'exec "{folder}/bin/python" -c "{code}" "$@"')
    return folder / "bin"


def _bases(folder: Path) -> dict[str, str]:
    return {"base": str(folder), "platbase": str(folder)}


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)
