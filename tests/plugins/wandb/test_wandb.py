"""`wandb`: what W&B itself keeps of a run without a network, and what is said where it cannot be reached."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from headprune_wandb.listener import Wandb

from headprune import Listener, Notice, RunFinished, UsageError
from headprune.testing import ListenerContract
from tests.cli.conftest import Place
from tests.support.listening import FAILS, LAYERS, STARTED, STOPS, WELL, furnished, heads_of, heard_by, patch_in
from tests.support.wandb_records import Kept


@pytest.fixture(scope="module", autouse=True)
def _service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """W&B as if nobody had set it up, with its files in a folder of the test's; its service ends with the tests."""
    home = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patching:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patching.delenv(name)
        for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "NETRC"):
            patching.setenv(name, str(home / name.lower()))
        wandb.teardown()
        yield
        wandb.teardown()


@pytest.mark.filterwarnings("ignore:W&B keeps this run")
class TestWandb(ListenerContract):
    @pytest.fixture
    def listener(self, tmp_path: Path) -> Listener:
        return Wandb.configured({"mode": "offline", "dir": str(tmp_path)})


class TestWandbDisabled(ListenerContract):
    @pytest.fixture
    def listener(self, tmp_path: Path) -> Listener:
        return Wandb.configured({"mode": "disabled", "dir": str(tmp_path)})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)
    # What W&B takes from the current folder and the environment it takes once a process.
    wandb.teardown()
    yield furnished(tmp_path)
    wandb.teardown()


def the_folder(place: Place) -> Path:
    """The folder of the one run."""
    (folder,) = (place / "wandb").glob("offline-run-*")
    return folder


def kept_in(place: Place) -> Kept:
    (file,) = the_folder(place).glob("*.wandb")
    return Kept(file)


def test_a_run_is_in_the_file_that_wandb_sync_sends(place: Place) -> None:
    document = place.document(*WELL, *heard_by("wandb", "mode=offline"))
    kept, patch = kept_in(place), patch_in(place)
    assert (kept.run.project, kept.run.display_name, kept.run.job_type) == ("headprune", "run", "score")
    assert kept.config["recipe"]["samples"] == 4 and kept.config["scorer"]["name"] == "exact"
    assert kept.config["model"]["name"] == "demo" and kept.config["geometry"]["heads"] == patch.info.model.heads
    assert kept.config["layers"] == list(LAYERS) and kept.config["resumed"] is False
    assert kept.steps == {"importance/*": "layer", "alpha/*": "layer"}
    layers = {row["layer"]: row for row in kept.history if "layer" in row}
    assert list(layers) == list(LAYERS)
    for layer, row in layers.items():
        for name, means in heads_of(patch, layer).items():
            assert [row[f"{name}/head_{head}"] for head in range(len(means))] == pytest.approx(means, rel=1e-6)
    progress = [row["progress"] for row in kept.history if "progress" in row]
    assert progress == sorted(progress) and progress[-1] == 1
    assert kept.summary["decoded"] == document["decoded"] and kept.summary["seconds"] > 0
    assert kept.exit_code == 0


def test_its_table_has_every_head_with_its_intervals(place: Place) -> None:
    document = place.document(*WELL, *heard_by("wandb", "mode=offline"))
    (file,) = (the_folder(place) / "files" / "media" / "table").glob("heads_*.table.json")
    table = json.loads(file.read_text())
    assert table["columns"][:5] == ["layer", "head", "importance", "importance_low", "importance_high"]
    wanted = [
        [
            layer["layer"],
            head,
            *(layer[name][limit][head] for name in ("importance", "alpha") for limit in ("mean", "low", "high")),
        ]
        for layer in document["layers"]
        for head in range(len(layer["alpha"]["mean"]))
    ]
    assert [row[:2] for row in table["data"]] == [row[:2] for row in wanted]
    for row, told in zip(table["data"], wanted, strict=True):
        assert row == pytest.approx(told, rel=1e-5)


def test_the_patch_is_an_artifact(place: Place) -> None:
    place.document(*WELL, *heard_by("wandb", "mode=offline"))
    kept = kept_in(place)
    assert (f"run-{kept.run.run_id}-patch.safetensors", "patch") in kept.artifacts


def test_it_says_where_the_run_is_and_nothing_else(place: Place) -> None:
    done = place.run(*WELL, *heard_by("wandb", "mode=offline"))
    assert done.exit_code == 0 and "wandb: " not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if "W&B" in line)
    assert str(the_folder(place)) in line and "`wandb sync`" in line


@pytest.mark.parametrize(
    ("words", "code", "error"), [(FAILS, 1, "PluginError: "), (STOPS, 255, "KeyboardInterrupt")], ids=["fails", "stops"]
)
def test_how_a_run_ended_is_its_exit_code(place: Place, words: tuple[object, ...], code: int, error: str) -> None:
    assert place.run(*words, *heard_by("wandb", "mode=offline")).exit_code in (3, 130)
    kept = kept_in(place)
    assert kept.exit_code == code and kept.summary["error"].startswith(error)
    assert ("no such luck" in kept.summary["error"]) is (code == 1)


def test_settings_come_before_the_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_DIR", "nowhere")
    (place / "elsewhere").mkdir()
    named = ("mode=offline", "project=mine", "name=first", "dir=elsewhere")
    place.document(*WELL, *heard_by("wandb", *named))
    (file,) = (place / "elsewhere").glob("wandb/offline-run-*/*.wandb")
    assert (Kept(file).run.project, Kept(file).run.display_name) == ("mine", "first")


def test_what_is_left_out_is_as_the_environment_says(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MODE", "offline"), ("PROJECT", "theirs"), ("DIR", str(place / "there"))):
        monkeypatch.setenv(f"WANDB_{name}", value)
    (place / "there").mkdir()
    place.document(*WELL, *heard_by("wandb"))
    (file,) = (place / "there").glob("wandb/offline-run-*/*.wandb")
    assert Kept(file).run.project == "theirs"


def test_without_a_key_it_says_so(place: Place) -> None:
    said = place.refuses(1, *WELL, *heard_by("wandb", "mode=online"))
    assert "No API key" in said and "wandb login, or mode=offline" in said


def test_on_a_terminal_nobody_is_asked_for_a_key(place: Place) -> None:
    command = [sys.executable, "-c", "from headprune.cli.app import main; main()"]
    words = [*map(str, WELL), *heard_by("wandb", "mode=online")]
    ours, theirs = pty.openpty()
    try:
        # Who is asked does not answer.
        done = subprocess.run([*command, *words], stdin=theirs, stdout=theirs, stderr=theirs, check=False, timeout=120)
        said = os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1 and "No API key" in said


def test_a_server_that_is_down_ends_the_run_before_any_work(
    place: Place, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("WANDB_BASE_URL", address)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    said = place.refuses(1, *WELL, *heard_by("wandb", "mode=online", f"dir={elsewhere}"))
    assert "W&B: " in said and "connection refused" in said and "0" * 40 not in said


def test_the_rest_of_the_process_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_ERROR_REPORTING", raising=False)
    stdin = sys.stdin
    listener: Wandb = Wandb.configured({"mode": "offline", "dir": str(tmp_path)})
    listener.started(STARTED)
    assert sys.stdin is stdin and "WANDB_ERROR_REPORTING" not in os.environ
    print("a result, which is none of W&B's business")
    with pytest.warns(Notice, match="wandb sync"):
        listener.finished(RunFinished(None, 1.0, 0, 0))
    assert not list(tmp_path.rglob("output.log"))


def test_an_option_of_no_such_value_is_refused() -> None:
    with pytest.raises(UsageError, match="mode"):
        Wandb.configured({"mode": "sideways"})
