"""A hub's cache, made by hand: what a download would have left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def downloaded(folder: Path, name: str, home: Path) -> None:
    """Put `folder` into the cache below `home` as the main branch of `name`, at COMMIT."""
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, repository / "snapshots" / COMMIT)


def offline(code: str, home: Path) -> str:
    """What Python code prints in a process of its own, which has the cache below `home` and no hub."""
    env = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    env = {name: value for name, value in env.items() if name not in ("HF_HUB_CACHE", "TRANSFORMERS_CACHE")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
