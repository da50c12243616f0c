"""headprune.files: a result is there whole or not at all. Here because the run folder is its first user."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from headprune.errors import HeadpruneError, UsageError
from headprune.files import cannot_write, writing, writing_folder


def test_a_file_appears_when_all_is_well(tmp_path: Path) -> None:
    with writing(tmp_path / "a" / "b" / "patch.safetensors") as part:
        part.write_bytes(b"whole")
        assert part.suffix == ".safetensors"
        assert not (tmp_path / "a" / "b" / "patch.safetensors").exists()
    assert [file.name for file in (tmp_path / "a" / "b").iterdir()] == ["patch.safetensors"]
    assert (tmp_path / "a" / "b" / "patch.safetensors").read_bytes() == b"whole"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(failure), writing(tmp_path / "report.html") as part:
        part.write_text("half")
        raise failure
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("report.html", "old")]


def test_folders_made_on_the_way_go_with_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), writing(tmp_path / "a" / "b" / "c") as part:
        part.write_text("half")
        raise ValueError("no")
    with pytest.raises(ValueError, match="no"), writing_folder(tmp_path / "a" / "b" / "c") as part:
        (part / "d").write_text("half")
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with writing(tmp_path / "written") as part:
        part.write_text("")
    assert (tmp_path / "written").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    with writing(tmp_path / "link") as part:
        part.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_text() == "new"


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a file"), writing(tmp_path):
        pass


def test_a_folder_appears_when_all_is_well(tmp_path: Path) -> None:
    with writing_folder(tmp_path / "runs" / "pruned") as part:
        (part / "config.json").write_text("{}")
        (part / "deep").mkdir()
        assert not (tmp_path / "runs" / "pruned").exists()
    assert sorted(file.name for file in (tmp_path / "runs" / "pruned").iterdir()) == ["config.json", "deep"]
    assert [file.name for file in (tmp_path / "runs").iterdir()] == ["pruned"]


def test_an_empty_folder_is_filled_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inode = tmp_path.stat().st_ino
    with writing_folder(".") as part:
        (part / "config.json").write_text("{}")
    assert [file.name for file in Path().iterdir()] == ["config.json"]
    assert tmp_path.stat().st_ino == inode


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("there", [True, False])
def test_a_failure_leaves_the_folder_as_it_was(tmp_path: Path, failure: type[BaseException], there: bool) -> None:
    target = tmp_path / "pruned"
    if there:
        target.mkdir()
    with pytest.raises(failure), writing_folder(target) as part:
        (part / "model.safetensors").write_text("half")
        raise failure
    assert [*tmp_path.rglob("*")] == ([target] if there else [])


def test_a_move_that_fails_half_way_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "b" and self.parent != tmp_path:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(HeadpruneError, match="No space left"), writing_folder(tmp_path) as part:
        (part / "a").write_text("")
        (part / "b").write_text("")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("my thesis")
    with pytest.raises(UsageError, match="is not empty"), writing_folder(tmp_path):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pruned").write_text("")
    with pytest.raises(UsageError, match="is a file"), writing_folder(tmp_path / "pruned"):
        pass


LIMITED = """
import resource, sys
from headprune.errors import HeadpruneError
from headprune.files import writing, writing_folder
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    if sys.argv[2] == "file":
        with writing(sys.argv[1]) as part:
            part.write_bytes(b"x" * 5000)
    else:
        with writing_folder(sys.argv[1]) as part:
            (part / "model.safetensors").write_bytes(b"x" * 5000)
except HeadpruneError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_system_that_takes_no_more_is_named_and_nothing_stays(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "new" / "out"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(target), kind], capture_output=True, text=True, timeout=60, check=True
    )
    assert f"cannot write {target}: File too large" in done.stdout
    assert "raise the limit" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_named_with_the_next_step(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(HeadpruneError, match=r"cannot write .*out: No space left") as caught, writing(tmp_path / "out"):
        raise error
    assert "free some space" in caught.value.hint
    assert caught.value.__cause__ is error


def test_a_place_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, *more: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", denied)  # the tests may run as root, whom no folder refuses
    with (
        pytest.raises(HeadpruneError, match=r"cannot write .*out: Permission denied"),
        writing_folder(tmp_path / "out"),
    ):
        pass


def test_an_error_about_another_file_is_not_taken_for_one_of_writing(tmp_path: Path) -> None:
    other = tmp_path / "model" / "weights"
    with pytest.raises(PermissionError), writing(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "Permission denied", str(other))
    assert cannot_write(tmp_path, FileNotFoundError(errno.ENOENT, "No such file", str(other))) is None
    assert cannot_write(tmp_path, ValueError("no")) is None


def test_the_length_of_a_name(tmp_path: Path) -> None:
    with pytest.raises(HeadpruneError, match="File name too long"), writing(tmp_path / ("n" * 300)):
        pass
    with pytest.raises(HeadpruneError, match="File name too long"), writing_folder(tmp_path / ("n" * 300)):
        pass
    with writing(tmp_path / ("n" * 250)) as part:
        part.write_text("")
    assert [file.name for file in tmp_path.iterdir()] == ["n" * 250]
