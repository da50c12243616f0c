"""Whose a run folder is, and what is left of it when a run fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headprune.errors import ExitCode, HeadpruneError, Notice, UsageError
from headprune.runs import RunFolder, RunStore

IDENTITY = {"model": "demo", "samples": 40, "scorer_options": {"num_layers": 6}}
RECIPE = 'model = "demo"\n'


def _write_caption(run: RunFolder) -> None:
    run.store.add_captions(run.store.context({}), {("a", 0, 0): "a cat"})


def test_a_claimed_folder_holds_its_recipe_and_identity(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "deep" / "run", IDENTITY, RECIPE) as run:
        assert not run.resumed
    with RunFolder.open(tmp_path / "deep" / "run") as run:
        assert run.identity() == IDENTITY
        assert run.recipe.read_text() == RECIPE
        assert run.patch == tmp_path / "deep" / "run" / "patch.safetensors"


def test_the_same_run_goes_on_and_keeps_its_first_recipe(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE) as run:
        _write_caption(run)
    reordered = dict(reversed(list(IDENTITY.items())))
    with RunFolder.claim(tmp_path / "run", reordered, 'model = "demo"\nbatch_size = 3\n') as run:
        assert run.resumed
        assert run.store.captions(run.store.context({})) == {("a", 0, 0): "a cat"}
        assert run.recipe.read_text() == RECIPE


@pytest.mark.parametrize("left", [None, b"", b"model = "])
def test_a_recipe_that_is_gone_or_damaged_is_written_again(tmp_path: Path, left: bytes | None) -> None:
    with RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE) as run:
        _write_caption(run)
    if left is None:
        run.recipe.unlink()
    else:
        run.recipe.write_bytes(left)
    with RunFolder.claim(tmp_path / "run", IDENTITY, 'model = "demo"\nbatch_size = 3\n'):
        assert run.recipe.read_text() == RECIPE


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE) as run:
        _write_caption(run)
    left = [run.path / ".patch.0123abcd.safetensors", run.path / ".recipe.89abcdef.toml"]
    mine = [run.path / ".patch.mine.safetensors", run.path / "patch.0123abcd.safetensors", run.path / ".notes"]
    for file in (*left, *mine):
        file.write_bytes(b"")
    with RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE):
        assert not any(file.exists() for file in left) and all(file.exists() for file in mine)


def test_a_store_that_was_emptied_is_said(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE) as run:
        _write_caption(run)
    (tmp_path / "run" / "run.sqlite").write_bytes(b"")
    with (
        pytest.warns(Notice, match=r"run.sqlite was empty: nothing of it could be kept, all is made again"),
        RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE) as run,
    ):
        assert run.store.is_empty()


def test_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE) as run:
        _write_caption(run)
    other = {"model": "demo", "samples": 100, "scorer_options": {}}
    with pytest.raises(
        UsageError, match=r'holds another run: samples 40, not 100; scorer_options {"num_layers":6}, not {}'
    ) as caught:
        RunFolder.claim(tmp_path / "run", other, RECIPE)
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.hint == "use another folder, or the settings that it was begun with"
    with RunFolder.open(tmp_path / "run") as run:
        assert run.identity() == IDENTITY


def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("my thesis")
    with pytest.raises(UsageError, match="is not empty"):
        RunFolder.claim(tmp_path, IDENTITY, RECIPE)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE)


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_before_the_first_caption_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    with pytest.raises(failure), RunFolder.claim(tmp_path / "deep" / "run", IDENTITY, RECIPE) as run:
        run.store.context({})
        raise failure
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_that_was_there_stays(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), RunFolder.claim(tmp_path, IDENTITY, RECIPE):
        raise ValueError("no")
    assert tmp_path.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_captions_survive_a_failure(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE) as run:
        _write_caption(run)
        raise KeyboardInterrupt
    with RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE) as run:
        assert run.resumed
        assert not run.store.is_empty()


def test_a_further_file_survives_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE) as run:
        (run.path / "dataflow.json").write_text("{}")
        raise ValueError("no")
    assert (tmp_path / "run" / "dataflow.json").exists()


def test_a_resumed_run_that_fails_is_left_as_it_was(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE):
        pass
    with pytest.raises(ValueError, match="no"), RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE):
        raise ValueError("no")
    with RunFolder.open(tmp_path / "run") as run:
        assert run.identity() == IDENTITY


CUT = """
import os, signal, sys
import headprune.runs.folder as folder
def kill(*arguments): os.kill(os.getpid(), signal.SIGKILL)
setattr(folder, sys.argv[2], kill)
folder.RunFolder.claim(sys.argv[1], {"model": "demo"}, 'model = "demo"\\n')
"""


@pytest.mark.parametrize("at", ["_opened", "_settle", "writing"])
def test_a_claim_that_was_killed_can_be_claimed_again(tmp_path: Path, at: str) -> None:
    done = subprocess.run([sys.executable, "-c", CUT, str(tmp_path / "run"), at], check=False, timeout=60)
    assert done.returncode == -9
    with RunFolder.claim(tmp_path / "run", {"model": "demo"}, RECIPE) as run:
        assert run.identity() == {"model": "demo"}
        assert run.recipe.read_text() == RECIPE


def test_a_damaged_run_is_put_aside_and_goes_on(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE) as run:
        _write_caption(run)
    (tmp_path / "run" / "run.sqlite").write_bytes(b"not a database at all")
    with (
        pytest.warns(Notice, match=r"run.sqlite was damaged: nothing could be kept.* now run.sqlite.damaged-1"),
        RunFolder.claim(tmp_path / "run", IDENTITY, RECIPE) as run,
    ):
        assert run.resumed
        assert run.store.is_empty()
    assert (tmp_path / "run" / "run.sqlite.damaged-1").read_bytes() == b"not a database at all"


def test_a_place_that_cannot_hold_a_folder_is_named(tmp_path: Path) -> None:
    out = tmp_path / ("n" * 300)
    with pytest.raises(HeadpruneError, match="cannot write") as caught:
        RunFolder.claim(out, IDENTITY, RECIPE)
    assert "shorter" in caught.value.hint


def test_open_wants_a_run(tmp_path: Path) -> None:
    with pytest.raises(HeadpruneError, match="holds no run"):
        RunFolder.open(tmp_path)
    with RunStore.open(tmp_path), RunFolder.open(tmp_path) as run:
        assert run.identity() == {}
