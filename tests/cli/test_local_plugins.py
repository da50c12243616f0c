"""Single-file plugins of every kind on the command line, in recipes and in the user's folder."""

from __future__ import annotations

import hashlib

import pytest

from headprune import load_patch
from headprune.hooks.catalogue import NO_PLUGINS, catalogue
from headprune.hooks.folder import FOLDER

MINE = """
import json
from pathlib import Path

import headprune
from headprune.hooks.catalogue import catalogue

class Whisper(headprune.Edit):
    '''Head h says a third of what it says.'''
    comparable = headprune.Comparable.ACROSS
    removes = True

    def variants(self, capture, heads, context):
        rows = catalogue().load("edit", "scale")(ScaleBy()).variants(capture, heads, context)
        return rows

class ScaleBy:
    factor = 1 / 3

class Plain(headprune.Backend):
    '''As the transformers back end.'''
    def load(self, request):
        return catalogue().load("adapter", "transformers")().load(request)

    def outline(self, request):
        return catalogue().load("adapter", "transformers")().outline(request)

class Lines(headprune.DatasetReader):
    '''A text file: a picture and its caption a line.'''
    def open(self, ref):
        home = Path(ref).resolve().parent
        rows = [line.split("|") for line in Path(ref).read_text().splitlines()]
        samples = tuple(
            headprune.Sample(name, (said,), lambda path=home / name: headprune.read_picture(path, str(path)))
            for name, said in rows
        )
        return headprune.Dataset(ref, samples)
"""


@pytest.fixture
def mine(place, monkeypatch):
    monkeypatch.setenv(NO_PLUGINS, "")  # the flag sets it: it shall not outlive the test
    (place / "mine.py").write_text(MINE)
    (place / "rows.txt").write_text(
        "".join(f"data/{path.name}|a thing\n" for path in sorted((place / "data").glob("*.png")))
    )
    catalogue.cache_clear()
    yield place
    catalogue.cache_clear()


WORDS = (
    *("score", "model", "--data", "rows.txt", "--samples", 3, "--layers", 0, "--max-new-tokens", 4),
    *("--adapter", "./mine.py:Plain", "--dataset", "./mine.py:Lines", "--edit", "./mine.py:Whisper"),
    *("--scorer", "./overlap.py:Overlap"),
)


def test_a_file_of_every_kind(mine):
    assert mine.document(*WORDS, "--out", "run")["samples"] == 3
    info = load_patch(mine / "run" / "patch.safetensors").info
    assert info.model.backend == "mine.py:Plain" and info.sample_ids[0].startswith("data/")
    digest = hashlib.sha256((mine / "overlap.py").read_bytes()).hexdigest()
    assert info.scorer["sha256"] == digest and info.edit["name"] == "mine.py:Whisper"
    # The run's own recipe names the files by their whole paths: they are the same files.
    before = (mine / "run" / "patch.safetensors").read_bytes()
    assert mine.document("runs", "resume", "run", "--allow-local-plugins")["decoded"] == 0
    assert (mine / "run" / "patch.safetensors").read_bytes() == before
    for command in (
        ("apply", "model", "run/patch.safetensors", "--prune", "count=1", "--out", "out"),
        ("caption", "model", "data/" + next((mine / "data").glob("*.png")).name),
        ("layers", "model", "--data", "rows.txt", "--dataset", "./mine.py:Lines", "--samples", 2, "--out", "layers"),
    ):
        scorer = ("--scorer", "./overlap.py:Overlap") if command[0] == "layers" else ()
        done = mine.run(*command, *scorer, "--adapter", "./mine.py:Plain")
        assert done.exit_code == 0, done.stderr


def test_a_run_goes_on_by_its_own_recipe_when_that_is_trusted(mine):
    assert mine.run(*WORDS, "--out", "run").exit_code == 0
    again = ("score", "--recipe", "run/recipe.toml", "--out", "again")
    assert "--allow-local-plugins" in mine.refuses(2, *again)
    assert mine.run(*again, "--allow-local-plugins").exit_code == 0
    assert mine.run("recipe", "check", "run/recipe.toml", "--allow-local-plugins").exit_code == 0
    assert "names a file" in mine.refuses(2, "recipe", "check", "run/recipe.toml")


def test_a_changed_file_makes_nothing_of_the_old_ones_captions(mine):
    assert mine.document(*WORDS, "--out", "run")["reused"] == 0
    assert mine.document(*WORDS, "--out", "run")["decoded"] == 0
    (mine / "mine.py").write_text(MINE + "\n# another version\n")
    changed = mine.document(*WORDS, "--out", "run")
    assert changed["decoded"] > 0


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--adapter", "adapter './mine.py:Lines' is no subclass of headprune.Backend"),
        ("--dataset", "dataset './mine.py:Plain' is no subclass of headprune.DatasetReader"),
        ("--edit", "edit './mine.py:Lines' is no subclass of headprune.Edit"),
    ],
)
def test_a_class_of_another_kind_is_refused(mine, option, said):
    other = "./mine.py:Plain" if option == "--dataset" else "./mine.py:Lines"
    assert said in mine.refuses(3, *WORDS, option, other, "--out", "run")
    assert not (mine / "run").exists()


def test_the_users_folder_counts_for_every_kind(mine, monkeypatch):
    (mine / "folder").mkdir()
    (mine / "mine.py").rename(mine / "folder" / "mine.py")
    (mine / "overlap.py").rename(mine / "folder" / "overlap.py")
    monkeypatch.setenv(FOLDER, str(mine / "folder"))
    catalogue.cache_clear()
    named = [str(word).replace("./mine.py:", "").replace("./overlap.py:", "").lower() for word in WORDS]
    assert mine.run(*named, "--out", "run").exit_code == 0
    offers = {offer["name"]: offer for offer in mine.document("plugins", "list")["offers"]}
    assert offers["whisper"]["summary"] == "Head h says a third of what it says."
    assert offers["lines"]["package"].startswith(str(mine / "folder" / "mine.py"))
    catalogue.cache_clear()
    assert "no scorer called 'overlap'" in mine.refuses(3, "--no-plugins", *named, "--out", "other")


def test_a_scorer_that_fails_halfway_loses_nothing(mine):
    words = [*WORDS, "--scorer", "./overlap.py:Faulty", "--out", "run"]
    (mine / "fault").touch()
    failed = mine.run(*words)
    said = failed.stderr
    assert failed.exit_code == 3
    assert "scorer Faulty failed at overlap.py line 25: ZeroDivisionError: no such luck" in said
    assert "what was made so far is kept: headprune runs resume" in said and "overlap.py: mend it there" in said
    (mine / "fault").unlink()
    assert mine.document(*words)["reused"] == 3 * 5  # the unchanged model and four heads


def test_an_adapter_that_fails_in_the_middle_is_named(mine):
    broken = """
from headprune.hooks.catalogue import catalogue

class Quiet(catalogue().load("adapter", "transformers")):
    def load(self, request):
        adapter = super().load(request)
        adapter.decode = hush
        return adapter

def hush(*given):
    raise ZeroDivisionError("hush")
"""
    (mine / "quiet.py").write_text(broken)
    said = mine.refuses(3, *WORDS, "--adapter", "./quiet.py:Quiet", "--out", "run")
    line = 1 + broken.splitlines().index('    raise ZeroDivisionError("hush")')
    assert f"plugin code failed at quiet.py line {line}: ZeroDivisionError: hush" in said


def test_a_file_for_other_hooks_is_refused(mine):
    (mine / "mine.py").write_text("HEADPRUNE_HOOKS = 2\n" + MINE)
    assert "pip install --upgrade headprune" in mine.refuses(3, *WORDS, "--out", "run")
