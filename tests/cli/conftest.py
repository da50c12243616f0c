"""A folder to run commands in: a tiny model, pictures with captions and a local scorer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import transformers
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from headprune.cli.app import app

OVERLAP = """
from pathlib import Path

import headprune

class Options(headprune.Settings):
    power: float = 1.0

class Overlap(headprune.Scorer):
    '''Words two captions share, of all their words.'''
    Settings = Options

    def score(self, batch):
        pairs = [(set(item.caption.split()), set(item.reference.split())) for item in batch]
        return [(len(a & b) / len(a | b) if a | b else 1.0) ** self.settings.power for a, b in pairs]

class Mute(headprune.Scorer):
    pass

class Faulty(Overlap):
    '''Fails as long as there is a file called `fault` in the current folder.'''

    def score(self, batch):
        if Path("fault").is_file():
            raise ZeroDivisionError("no such luck")
        return super().score(batch)
"""
CAPTIONS = ("word24 word14", "word12 word36 word4")


class Place:
    """The current folder of a test, and the command line in it.

    It holds `model`, a tiny BLIP-2, `data`, five pictures with captions, and `overlap.py`, scorers.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def run(self, *words: object) -> Result:
        """Run a command in this process."""
        return CliRunner().invoke(app, [str(word) for word in words])

    def document(self, *words: object) -> dict[str, Any]:
        """The JSON document that a command prints, which must be all that it prints."""
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.stderr
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def refuses(self, code: int, *words: object) -> str:
        """Run a command that must end with `code`, say why in one line, give a next step, and leave nothing behind.

        Returns what it said.
        """
        before = self.tree()
        result = self.run(*words)
        said = result.stderr
        assert (result.exit_code, result.stdout) == (code, ""), said
        assert len(lines_with("error: ", said)) == 1, said
        assert len(lines_with("  next: ", said)) == 1, said
        assert "Traceback" not in said and "bug in headprune" not in said
        assert self.tree() == before
        return said

    def tree(self) -> dict[str, int]:
        """Every file and folder here, with the files' sizes."""
        return {
            str(path.relative_to(self.folder)): path.stat().st_size if path.is_file() else -1
            for path in self.folder.rglob("*")
            if "__pycache__" not in path.parts
        }


def lines_with(start: str, text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def furnish(folder: Path, model: Path, pictures: Sequence[Image.Image]) -> Place:
    (folder / "model").symlink_to(model)
    (folder / "data").mkdir()
    rows = []
    for number, picture in enumerate(pictures):
        picture.save(folder / "data" / f"p{number}.png")
        rows.append(json.dumps({"file_name": f"p{number}.png", "captions": CAPTIONS}) + "\n")
    (folder / "data" / "metadata.jsonl").write_text("".join(rows))
    (folder / "overlap.py").write_text(OVERLAP)
    return Place(folder)


SCORE = ("score", "model", "--data", "data", "--scorer", "./overlap.py:Overlap", "--max-new-tokens", 5)


@pytest.fixture(scope="session", autouse=True)
def calm() -> None:
    """No progress bars of libraries: a process of our own switches them off by environment before it imports any."""
    transformers.utils.logging.disable_progress_bar()


@pytest.fixture
def score() -> tuple[object, ...]:
    """A cheap `score` command, but for its samples and its output folder."""
    return SCORE


@pytest.fixture
def place(
    tmp_path: Path, tiny_folders: dict[str, Path], pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> Place:
    """A fresh place."""
    monkeypatch.chdir(tmp_path)
    return furnish(tmp_path, tiny_folders["blip2-t5"], pictures)


@pytest.fixture(scope="session")
def scored_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_folders: dict[str, Path], pictures: list[Image.Image]
) -> Path:
    """A finished run on two samples."""
    folder = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patching:
        patching.chdir(folder)
        place = furnish(folder, tiny_folders["blip2-t5"], pictures)
        place.document(*SCORE, "--samples", 2, "--out", "run")
    return folder / "run"


@pytest.fixture
def scored(place: Place, scored_folder: Path) -> Place:
    """A place with a finished run on two samples in `run`."""
    shutil.copytree(scored_folder, place / "run")
    return place
