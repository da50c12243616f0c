"""`jsonl`: every line of a run, whole, in the place where it is looked for, whatever becomes of the run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from headprune_jsonl.listener import JsonLines

import headprune
from headprune import HeadpruneError, Interval, LayerScored, Listener, Progress, UsageError
from headprune.runs import RunStore
from headprune.testing import ListenerContract
from tests.cli.conftest import Place
from tests.support.listening import FAILS, LAYERS, STARTED, STOPS, WELL, furnished, heads_of, heard_by, patch_in


class TestJsonLines(ListenerContract):
    @pytest.fixture
    def listener(self, tmp_path: Path) -> Listener:
        return JsonLines.configured({"path": str(tmp_path / "events.jsonl")})


class TestJsonLinesBesideTheRun(ListenerContract):
    @pytest.fixture
    def listener(self) -> Listener:
        return JsonLines()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return furnished(tmp_path)


def lines_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_is_in_its_lines(place: Place) -> None:
    document = place.document(*WELL, *heard_by("jsonl"))
    lines = lines_in(place / "run.events.jsonl")
    (started, *_, finished), patch = lines, patch_in(place)
    assert [line["event"] for line in lines] == [
        "started",
        *["progressed"] * sum(line["event"] == "progressed" for line in lines),
        *["layer_scored"] * len(LAYERS),
        "finished",
    ]
    assert started["settings"]["samples"] == 4 and started["model"]["name"] == "demo" and not started["resumed"]
    assert started["folder"] == "run" and started["sample_ids"] == list(patch.info.sample_ids)
    layers = [line for line in lines if line["event"] == "layer_scored"]
    for layer, told in zip(layers, document["layers"], strict=True):
        for name, means in heads_of(patch, layer["layer"]).items():
            np.testing.assert_allclose([head["mean"] for head in layer[name]], means, rtol=1e-6)
            assert [head["low"] for head in layer[name]] == told[name]["low"]
    assert finished["patch"] == "run/patch.safetensors" and finished["decoded"] == document["decoded"]


def test_times_are_utc_and_go_forward(place: Place) -> None:
    before = datetime.now(timezone.utc)
    place.document(*WELL, *heard_by("jsonl"))
    times = [datetime.fromisoformat(line["time"]) for line in lines_in(place / "run.events.jsonl")]
    assert all(time.utcoffset() == timezone.utc.utcoffset(None) for time in times)
    assert times == sorted(times)
    assert abs((times[0] - before).total_seconds()) < 600 and times[-1] <= datetime.now(timezone.utc)


def test_a_run_that_goes_on_adds_its_lines(place: Place) -> None:
    place.document(*WELL, *heard_by("jsonl"))
    first = (place / "run.events.jsonl").read_bytes()
    place.document(*WELL, *heard_by("jsonl"))
    assert (place / "run.events.jsonl").read_bytes().startswith(first)
    assert [line["resumed"] for line in lines_in(place / "run.events.jsonl") if "resumed" in line] == [False, True]


def test_a_run_that_made_nothing_leaves_why_it_failed_and_no_folder(place: Place) -> None:
    assert place.run(*WELL, "--edit", "./plugins.py:Odd", *heard_by("jsonl")).exit_code == 3
    started, *_, failed = lines_in(place / "run.events.jsonl")
    assert (started["event"], failed["event"], failed["kind"]) == ("started", "failed", "PluginError")
    assert "no such luck" in failed["reason"] and not (place / "run").exists()


@pytest.mark.parametrize(("words", "kind"), [(FAILS, "PluginError"), (STOPS, "KeyboardInterrupt")])
def test_it_tells_how_a_run_ended(place: Place, words: tuple[object, ...], kind: str) -> None:
    assert place.run(*words, *heard_by("jsonl")).exit_code in (3, 130)
    assert lines_in(place / "run.events.jsonl")[-1]["kind"] == kind


def test_a_killed_run_keeps_its_lines(place: Place) -> None:
    words = [*map(str, (*WELL, *heard_by("jsonl"))), "--samples", "40"]
    command = [sys.executable, "-c", "from headprune.cli.app import main; main()", *words]
    process = subprocess.Popen([*command, "--batch-size", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = place / "run.events.jsonl"
    try:
        while process.poll() is None and not (log.is_file() and log.read_text().count("progressed") > 2):
            time.sleep(0.02)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    before = log.read_text(encoding="utf-8")
    assert {line["event"] for line in lines_in(log)} == {"started", "progressed"} and before.endswith("\n")
    # All of them: a caption is told of as soon as it is kept.
    with RunStore.open(place / "run", create=False) as store:
        kept = sum(len(store.captions(context)) for context in store.contexts())
    assert kept - 1 <= lines_in(log)[-1]["done"] <= kept
    place.document(*words)
    lines = lines_in(log)[before.count("\n") :]
    assert lines[0]["resumed"] is True and lines[-1]["event"] == "finished" and lines[-1]["reused"] > 0


@pytest.mark.parametrize(
    ("out", "log"),
    [("run", "run.events.jsonl"), ("runs/b/../a", "runs/a.events.jsonl"), ("runs/v1.0", "runs/v1.0.events.jsonl")],
)
def test_the_file_lies_beside_the_run(place: Place, out: str, log: str) -> None:
    (place / "runs" / "b").mkdir(parents=True)
    place.document(*WELL, *heard_by("jsonl", out=out))
    assert lines_in(place / log)


def test_the_current_folder_as_run_folder_has_it_beside_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "here").mkdir()
    monkeypatch.chdir(place / "here")
    place.document(*WELL, *heard_by("jsonl", out="."))
    assert lines_in(place / "here.events.jsonl")


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    log.write_text('{"event": "finished"}\n{"event": "fini')
    headprune.score(*demo(), listener="jsonl", listener_options={"path": str(log)}, **CHEAP)
    whole, cut, started, *_ = log.read_text().splitlines()
    assert (whole, cut) == ('{"event": "finished"}', '{"event": "fini')
    assert json.loads(started)["event"] == "started"


CHEAP: dict[str, Any] = {"samples": 1, "layers": "7", "scorer": "exact", "scorer_options": {"against": "reference"}}


def demo() -> tuple[headprune.Adapter, headprune.Dataset]:
    return headprune.load_model("demo"), headprune.open_dataset("demo")


def test_a_library_call_names_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run folder") as caught:
        headprune.score(*demo(), listener="jsonl", **CHEAP)
    assert "path=events.jsonl" in caught.value.hint
    headprune.score(*demo(), listener="jsonl", listener_options={"path": str(tmp_path / "log")}, **CHEAP)
    started, *_, finished = lines_in(tmp_path / "log")
    assert started["folder"] is None and finished["patch"] is None


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert JsonLines.configured({"path": "~/log"}).settings.path == tmp_path / "log"


@pytest.fixture
def listening(tmp_path: Path) -> JsonLines:
    """A listener whose run has begun."""
    listener: JsonLines = JsonLines.configured({"path": str(tmp_path / "log")})
    listener.started(STARTED)
    return listener


def test_what_is_no_number_is_null(listening: JsonLines, tmp_path: Path) -> None:
    nan, inf = Interval(float("nan"), -1.0, 1.0), Interval(0.0, float("-inf"), float("inf"))
    listening.layer_scored(LayerScored(3, (nan,), (inf,)))
    last = lines_in(tmp_path / "log")[-1]
    assert last["importance"] == [{"mean": None, "low": -1.0, "high": 1.0}]
    assert last["alpha"] == [{"mean": 0.0, "low": None, "high": None}]


def test_a_line_is_a_line_to_any_reader(listening: JsonLines, tmp_path: Path) -> None:
    stage = "one\ntwo\u2028three\x85four\rfive"
    listening.progressed(Progress(stage, 1, 2, 3))
    text = (tmp_path / "log").read_bytes().decode("ascii")
    assert json.loads(text.splitlines()[-1])["stage"] == stage


@pytest.mark.parametrize(("path", "why"), [("nowhere/log", "No such file"), ("folder", "Is a directory")])
def test_a_file_that_cannot_be_written_ends_the_run_at_once(place: Place, path: str, why: str) -> None:
    (place / "folder").mkdir()
    said = place.refuses(1, *WELL, *heard_by("jsonl", f"path={path}"))
    assert f"listener 'jsonl' cannot write {path}: {why}" in said and "path=FILE" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_said() -> None:
    with pytest.raises(HeadpruneError, match="cannot write /dev/full: No space left"):
        JsonLines.configured({"path": "/dev/full"}).started(STARTED)
