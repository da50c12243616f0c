"""`mlflow`: what MLflow's own stores hold of a run, and what is said where they do not take it."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from headprune_mlflow.listener import Mlflow
from headprune_mlflow.params import params_of
from mlflow import MlflowClient
from mlflow.entities import Run

from headprune import HeadpruneError, Interval, LayerScored, Listener, Notice, Progress, RunFinished, UsageError
from headprune.testing import ListenerContract
from tests.cli.conftest import Place
from tests.support.listening import FAILS, LAYERS, STARTED, STOPS, WELL, furnished, heads_of, heard_by, patch_in


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow as if nobody had set it up, but for its file store, which it keeps and no longer recommends."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


@pytest.mark.filterwarnings("ignore:MLflow takes names")
class TestMlflow(ListenerContract):
    @pytest.fixture
    def listener(self, tmp_path: Path) -> Listener:
        return Mlflow.configured({"tracking_uri": (tmp_path / "mlruns").as_uri()})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return furnished(tmp_path)


@pytest.fixture
def store(place: Place) -> str:
    """The option that names a file store. MLflow remembers stores by what they are called, wherever they are."""
    return f"tracking_uri={place / 'mlruns'}"


def the_run(uri: object, experiment: str = "headprune") -> tuple[MlflowClient, Run]:
    """The one run in a store."""
    client = MlflowClient(str(uri))
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    (run,) = client.search_runs([found.experiment_id])
    return client, run


def by_layer(client: MlflowClient, run: Run, metric: str) -> dict[int, float]:
    return {logged.step: logged.value for logged in client.get_metric_history(run.info.run_id, metric)}


def check_run(place: Place, uri: object) -> None:
    """A run of MLflow has all of the run that is in the current folder."""
    client, run = the_run(uri)
    patch = patch_in(place)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert run.data.params["samples"] == "4" and run.data.params["scorer_options.against"] == "reference"
    assert run.data.params["generation.max_new_tokens"] == "8"
    told = {name: run.data.tags[name] for name in ("model", "scorer", "edit", "tower", "resumed", "stage")}
    assert told == {
        "model": "demo",
        "scorer": "exact",
        "edit": "isolate",
        "tower": str(patch.info.model.geometry),
        "resumed": "false",
        "stage": "captions",
    }
    for name in ("importance", "alpha"):
        for head in range(patch.info.model.heads):
            wanted = {layer: heads_of(patch, layer)[name][head] for layer in LAYERS}
            assert by_layer(client, run, f"{name}/head_{head}") == pytest.approx(wanted, rel=1e-6)
    assert run.data.metrics["progress"] == 1 and run.data.metrics["seconds"] > 0
    assert run.data.metrics["decoded"] > 0 and run.data.metrics["reused"] == 0
    (artifact,) = client.list_artifacts(run.info.run_id)
    stored = Path(client.download_artifacts(run.info.run_id, artifact.path))
    assert artifact.path == "patch.safetensors"
    assert stored.read_bytes() == (place / "run" / "patch.safetensors").read_bytes()


def test_a_run_is_in_the_file_store(place: Place, store: str) -> None:
    done = place.run(*WELL, *heard_by("mlflow", store))
    assert done.exit_code == 0 and "mlflow" not in done.stderr.lower()
    check_run(place, place / "mlruns")


def test_the_files_of_the_store_hold_it(place: Place, store: str) -> None:
    """As MLflow documents them, without its client."""
    place.document(*WELL, *heard_by("mlflow", store, "experiment_name=sweeps"))
    (files,) = (path.parent for path in (place / "mlruns").glob("*/*/params"))
    assert "name: sweeps" in (files.parent / "meta.yaml").read_text()
    # 3: FINISHED
    assert "status: 3" in (files / "meta.yaml").read_text()
    assert (files / "params" / "scorer").read_text() == "exact"
    assert (files / "tags" / "mlflow.runName").read_text() == "run"
    patch = patch_in(place)
    logged = [line.split() for line in (files / "metrics" / "importance" / "head_2").read_text().splitlines()]
    assert [int(step) for _, _, step in logged] == list(LAYERS)
    np.testing.assert_allclose([float(value) for _, value, _ in logged], patch.importance[list(LAYERS), 2], rtol=1e-6)
    artifact = files / "artifacts" / "patch.safetensors"
    assert artifact.read_bytes() == (place / "run" / "patch.safetensors").read_bytes()


def test_a_run_is_in_mlflows_default_store(place: Place) -> None:
    done = place.run(*WELL, *heard_by("mlflow"))
    assert done.exit_code == 0 and "mlflow" not in done.stderr.lower() and "alembic" not in done.stderr.lower()
    check_run(place, f"sqlite:///{place / 'mlflow.db'}")


def test_without_sqlalchemy_it_says_what_brings_a_database(place: Place) -> None:
    # mlflow-skinny alone, as far as MLflow can see.
    alone = "import sys; sys.modules['sqlalchemy'] = None; from headprune.cli.app import main; main()"
    words = [*map(str, WELL), *heard_by("mlflow")]
    done = subprocess.run(
        [sys.executable, "-c", alone, *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1 and "error: MLflow: " in done.stderr and "Traceback" not in done.stderr
    assert "next: pip install 'headprune[mlflow]' for a database" in done.stderr


def test_a_file_store_is_mlflows_to_allow(place: Place, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    said = place.refuses(1, *WELL, *heard_by("mlflow", store))
    assert "maintenance mode" in said and "export MLFLOW_ALLOW_FILE_STORE=true" in said


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [(FAILS, "FAILED", "PluginError: "), (STOPS, "KILLED", "KeyboardInterrupt")],
    ids=["fails", "stops"],
)
def test_how_a_run_ended_is_its_status(
    place: Place, store: str, words: tuple[object, ...], status: str, error: str
) -> None:
    assert place.run(*words, *heard_by("mlflow", store)).exit_code in (3, 130)
    _, run = the_run(place / "mlruns")
    assert run.info.status == status and run.info.end_time
    assert run.data.tags["error"].startswith(error) and run.data.metrics["seconds"] > 0
    assert ("no such luck" in run.data.tags["error"]) is (status == "FAILED")


def test_a_run_that_goes_on_is_another_of_the_same_folder(place: Place, store: str) -> None:
    for _ in range(2):
        place.document(*WELL, *heard_by("mlflow", store, "run_name=again"))
    client = MlflowClient(str(place / "mlruns"))
    runs = client.search_runs([client.get_experiment_by_name("headprune").experiment_id])
    assert sorted(run.data.tags["resumed"] for run in runs) == ["false", "true"]
    assert {run.data.tags["run_folder"] for run in runs} == {str((place / "run").resolve())}
    assert {run.info.run_name for run in runs} == {"again"}


def test_what_is_left_out_is_as_the_environment_says(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = str(place / "elsewhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "named")
    place.document(*WELL, *heard_by("mlflow"))
    assert the_run(elsewhere, "named")[1].info.status == "FINISHED"
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    known = MlflowClient(elsewhere).create_experiment("by its number")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", known)
    place.document(*WELL, *heard_by("mlflow"))
    assert the_run(elsewhere, "by its number")[1].info.status == "FINISHED"


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}", "http://me:s3cret@127.0.0.1:{}"])
def test_a_server_that_is_down_ends_the_run_before_any_work(
    place: Place, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(unused_tcp_port))
    said = place.refuses(1, *WELL, *heard_by("mlflow"))
    assert f"MLflow: API request to http://127.0.0.1:{unused_tcp_port}/" in said and "Connection refused" in said
    assert "s3cret" not in said


@pytest.mark.parametrize("handled", [KeyboardInterrupt(), FileNotFoundError("no such picture")])
def test_why_the_run_failed_is_not_taken_for_why_it_is_not_told(
    unused_tcp_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handled: BaseException
) -> None:
    def said(uri: str) -> str:
        with pytest.raises(HeadpruneError) as caught:
            Mlflow.configured({"tracking_uri": uri}).started(STARTED)
        return caught.value.message

    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    try:
        raise handled
    except BaseException:
        assert said(f"http://127.0.0.1:{unused_tcp_port}").endswith("Connection refused")
        refused = said(str(tmp_path / "mlruns"))
    assert "77" in refused and "no such picture" not in refused


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_password_is_no_setting(place: Place) -> None:
    said = place.refuses(2, *WELL, *heard_by("mlflow", "tracking_uri=http://me:s3cret@somewhere"))
    assert "MLFLOW_TRACKING_PASSWORD" in said and "s3cret" not in said


@pytest.fixture
def listening(tmp_path: Path) -> Mlflow:
    """A listener whose run has begun."""
    listener: Mlflow = Mlflow.configured({"tracking_uri": str(tmp_path / "mlruns")})
    listener.started(STARTED)
    return listener


def test_a_store_that_goes_away_is_an_error_of_one_line(listening: Mlflow, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "mlruns")
    with pytest.raises(HeadpruneError, match=r"^MLflow: .* does not exist") as caught:
        listening.layer_scored(LayerScored(0, (Interval(1, 1, 1),), (Interval(1, 1, 1),)))
    assert "\n" not in str(caught.value)


def test_a_store_that_goes_away_is_said_and_the_run_goes_on(place: Place, store: str) -> None:
    (place / "plugins.py").write_text(
        "import shutil, headprune\n"
        "class Vandal(headprune.Scorer):\n"
        "    def score(self, batch):\n"
        "        shutil.rmtree('mlruns', ignore_errors=True)\n"
        "        return [1.0 for _ in batch]\n"
    )
    done = place.run(*WELL[:-4], "--scorer", "./plugins.py:Vandal", *heard_by("mlflow", store))
    assert done.exit_code == 0 and patch_in(place)
    assert done.stderr.count("the run goes on without it") == 1 and "note: MLflow: " in done.stderr


def test_progress_is_logged_now_and_then_and_where_a_stage_ends(listening: Mlflow, tmp_path: Path) -> None:
    for done in range(101):
        listening.progressed(Progress("captions", done, 100, 4))
    listening.progressed(Progress("likelihoods", 0, 100, 4))
    listening.progressed(Progress("likelihoods", 100, 100, 4))
    listening.finished(RunFinished(None, 1.0, 0, 0))
    client, run = the_run(tmp_path / "mlruns")
    shares = [logged.value for logged in client.get_metric_history(run.info.run_id, "progress")]
    assert len(shares) < 50 and shares[0] == 0 and shares.count(1) == 2
    assert run.data.tags["stage"] == "likelihoods"


def test_the_environment_and_loggers_are_as_they_were(tmp_path: Path) -> None:
    def outside() -> tuple[dict[str, str], list[int]]:
        names = ("mlflow", "alembic", "urllib3.connectionpool")
        return dict(os.environ), [logging.getLogger(name).level for name in names]

    before = outside()
    listener: Mlflow = Mlflow.configured({"tracking_uri": str(tmp_path / "mlruns")})
    listener.started(STARTED)
    assert outside() == before
    listener.finished(RunFinished(None, 1.0, 0, 0))
    assert outside() == before


ALONE = """
import os, sys
import headprune
from headprune_mlflow.listener import Mlflow
from tests.support.listening import STARTED
listener = Mlflow.configured({"tracking_uri": "mlruns"})
assert "mlflow" not in sys.modules
listener.started(STARTED)
listener.finished(headprune.RunFinished(None, 1.0, 0, 0))
print(os.environ.get("MLFLOW_DISABLE_TELEMETRY"))
"""


@pytest.mark.parametrize(("said", "silent"), [(None, True), ("false", False)], ids=["unset", "allowed"])
def test_its_makers_are_told_of_no_run_unless_the_user_allows_it(place: Place, said: str | None, silent: bool) -> None:
    # MLflow keeps silent by itself where it sees CI or pytest.
    kept = {name: os.environ[name] for name in ("PATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH") if name in os.environ}
    environment = {**kept, "HOME": str(place / "home"), "MLFLOW_ALLOW_FILE_STORE": "true"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    if said:
        environment["MLFLOW_DISABLE_TELEMETRY"] = said
    done = subprocess.run(
        [sys.executable, "-c", ALONE], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == str(said)
    # Where it introduces itself it gives the user a number, and keeps that.
    assert (place / "home" / ".config" / "mlflow" / "telemetry.json").exists() is not silent


def test_long_and_odd_settings_are_made_to_fit_and_said(tmp_path: Path) -> None:
    options = {"long": "x" * 7000, "n" * 300: "v", "odd\nname": "one\ntwo", "words": ["一", 2, None]}
    listener: Mlflow = Mlflow.configured({"tracking_uri": str(tmp_path / "mlruns")})
    settings: dict[str, Any] = {"model": "demo", "scorer_options": options}
    with pytest.warns(Notice, match="MLflow takes names and values of limited length") as said:
        listener.started(replace(STARTED, settings=settings))
    (notice,) = (str(warning.message) for warning in said if issubclass(warning.category, Notice))
    assert "'scorer_options.long' is cut to 6000 characters" in notice and len(notice) < 600
    assert "is called 'scorer_options.odd_name'" in notice.replace("\\n", "")
    params = the_run(tmp_path / "mlruns")[1].data.params
    assert params == {
        "model": "demo",
        "scorer_options.long": "x" * 6000,
        f"scorer_options.{'n' * (250 - len('scorer_options.'))}": "v",
        "scorer_options.odd_name": "one\ntwo",
        "scorer_options.words": '["一", 2, null]',
    }


def test_of_two_settings_that_come_to_one_name_the_first_is_kept() -> None:
    params, changes = params_of({"scorer_options": {"a/b": 1, "a?b": 2, "a_b": 3}})
    assert params == {"scorer_options.a_b": "1"}
    assert sum("is left out: another is called so" in change for change in changes) == 2


def test_ordinary_settings_are_kept_as_they_are() -> None:
    params, changes = params_of({"samples": 4, "layers": "all", "apply": {"prune": None, "deep": {"x": True}}})
    assert params == {"samples": "4", "layers": "all", "apply.prune": "null", "apply.deep.x": "true"} and not changes


def test_an_option_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(UsageError, match="run_name"):
        Mlflow.configured({"run_name": 3})
