"""headprune runs: list, show, resume, export."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from headprune import demo
from headprune.runs import RunFolder, RunStore
from headprune.runs.lock import lock
from tests.cli.conftest import lines_with

FAULTY = ("--scorer", "./overlap.py:Faulty")


@pytest.fixture
def failed(place, score):
    """A place with a run in `run` that failed when it had captions, and its cause gone; the command it was made by."""
    words = [
        *(word for word in score if word != "./overlap.py:Overlap" and word != "--scorer"),
        *FAULTY,
        "--samples",
        2,
    ]
    (place / "fault").touch()
    assert place.run(*words, "--out", "run").exit_code == 3
    (place / "fault").unlink()
    place.words = words
    return place


def listed(place, *words):
    return {run.pop("run"): run for run in place.document("runs", "list", *words)["runs"]}


def test_every_run_is_listed_with_how_it_stands(failed):
    place = failed
    place.document(
        "layers", "model", "--data", "data", "--samples", 2, "--out", "looks/layers", "--scorer", "./overlap.py:Overlap"
    )
    (place / "foreign").mkdir()
    (place / "foreign/run.sqlite").write_bytes(b"SQLite format 3\0 but not quite" * 200)
    (place / "broken").mkdir()
    (place / "broken/result.json").write_text("{")
    (place / "early").mkdir()
    (place / "early/run.lock").touch()
    (place / "link").symlink_to(place / "run")
    (place / "looks/up").symlink_to(place.folder)
    found = listed(place)
    assert {name: (run["kind"], run["state"]) for name, run in found.items()} == {
        "run": ("score", "failed"),
        "link": ("score", "failed"),
        "early": ("score", "stopped"),
        "foreign": ("score", "damaged"),
        "looks/layers": ("layers", "finished"),
        "broken": ("", "unreadable"),
    }
    run = found["run"]
    assert "no such luck" in run["why"]
    assert (run["model"], run["data"], run["edit"], run["samples"]) == ("model", "data", "isolate", 2)
    assert run["scorer"].endswith("overlap.py:Faulty")
    assert 0 < run["done"] < run["total"]
    assert run["started"] <= run["last"]
    assert found["looks/layers"]["samples"] == 2
    assert "is damaged" in found["foreign"]["why"] and "cannot be read" in found["broken"]["why"]
    assert set(listed(place, "looks")) == {"looks/layers"}

    held = lock(place / "run")
    try:
        assert listed(place, "run")["run"]["state"] == "running"
    finally:
        held.release()


@pytest.mark.parametrize("columns", ["60", "140"])
def test_a_list_reads_well_on_any_terminal(failed, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    result = failed.run("runs", "list")
    assert result.exit_code == 0
    assert (
        "failed" in result.stdout
        and "no such luck" in result.stdout
        and "2 samples" in result.stdout.replace("      2", "2 samples")
    )
    assert all(len(line) <= int(columns) for line in result.stdout.splitlines())


def test_no_run_is_no_error_and_is_said(place):
    result = place.run("runs", "list", "data")
    assert (result.exit_code, result.stdout) == (0, "")
    assert lines_with("note: no run in data", result.stderr)
    assert place.document("runs", "list", "data") == {"folder": "data", "runs": []}
    assert "is not a folder" in place.refuses(2, "runs", "list", "nowhere")


def test_a_folder_that_may_not_be_read_is_listed_with_the_reason(monkeypatch):
    from headprune.jobs.runs import list_runs

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "barred").mkdir()
        (folder / "barred").chmod(0)
        folder.chmod(0o755)
        before = os.geteuid()
        if before == 0:  # whom no folder refuses
            os.seteuid(65534)
        try:
            (found,) = list_runs(folder)
        finally:
            os.seteuid(before)
            (folder / "barred").chmod(0o755)
    assert (found.folder.name, found.state.value, found.why) == ("barred", "unreadable", "Permission denied")


def test_a_run_is_shown_with_all_that_went_on(failed):
    document = failed.document("runs", "show", "run")
    assert (document["kind"], document["state"]) == ("score", "failed")
    assert document["identity"]["model"] == "model" and document["identity"]["samples"] == 2
    (session,) = document["sessions"]
    assert session["folder"] == str(failed.folder) and session["process"] == os.getpid()
    assert session["environment"]["versions"]["torch"]
    first = session["stages"][0]
    assert first["stage"] == "captions" and first["made"] == first["total"] == 2 * 3 * 5
    assert first["per_second"] == pytest.approx(first["made"] / first["seconds"])
    assert session["errors"][0]["kind"] == "PluginError" and session["errors"][0]["hint"]
    (context,) = document["contexts"]
    assert (context["captions"], context["scores"], context["present"]) == (30, 0, True)
    for columns in ("60", "120"):
        os.environ["COLUMNS"] = columns
        try:
            said = failed.run("runs", "show", "run").stdout
        finally:
            del os.environ["COLUMNS"]
        assert all(part in said for part in ("30 captions, 0 scores", "what went wrong", "captions", "/s", "torch"))
        assert all(len(line) <= int(columns) for line in said.splitlines())


LENGTH = """
import headprune

class Length(headprune.Scorer):
    compares = False

    def score(self, batch):
        return [len(item.caption) / 100 for item in batch]
"""


def test_scores_of_many_layers_are_shown_as_one(place):
    """Each layer once, also where what is said unchanged there is scored, too."""
    (place / "length.py").write_text(LENGTH)
    words = ("--samples", 2, "--scorer", "./length.py:Length", "--edit", "ablate", "--batch-size", 8)
    place.document("score", "model", "--data", "data", *words, "--out", "run")
    said = place.run("runs", "show", "run").stdout
    # Two pictures, four heads and the unchanged model, three layers.
    assert re.search(r"scores of 3 layers\s+30 of 30 ", said) and "scores of layer" not in said


def test_what_others_wrote_is_shown_as_text(scored):
    with RunStore.open(scored / "run") as store:
        store.write(
            "INSERT INTO errors VALUES (NULL, 1, ?, ?, ?, ?, ?)",
            [("2026", "DataError", "a[red]b\x1b[2J", "[bold]no\x07\nline", "[/]")],
        )
    result = scored.run("runs", "show", "run")
    assert result.exit_code == 0
    assert "a[red]b\N{REPLACEMENT CHARACTER}[2J" in result.stdout.replace("\n", "")
    assert "\x1b" not in result.stdout and "\x07" not in result.stdout
    assert scored.document("runs", "show", "run")["left_out"] == [
        {"id": "a[red]b\x1b[2J", "reason": "[bold]no\x07\nline"}
    ]


def test_a_perspective_is_shown_and_neither_resumed_nor_exported(place):
    place.document("dataflow", "model", "--data", "data", "--samples", 2, "--out", "flow")
    document = place.document("runs", "show", "flow")
    assert (document["kind"], document["state"], len(document["samples"])) == ("dataflow", "finished", 2)
    assert "dataflow" in place.run("runs", "show", "flow").stdout
    assert "begins anew each time" in place.refuses(2, "runs", "resume", "flow")
    assert "headprune report flow --format csv" in place.refuses(2, "runs", "export", "flow", "--out", "flow.csv")


def test_a_folder_without_a_run_is_refused(place):
    for words in (("show", "data"), ("resume", "data"), ("export", "data", "--out", "a.csv"), ("show", "nowhere")):
        assert "holds no run" in place.refuses(1, "runs", *words)


def test_a_run_goes_on_from_anywhere_and_gives_the_same_bytes(failed, monkeypatch, tmp_path_factory):
    whole = failed.document(*failed.words, "--out", "whole")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    run = failed / "run"
    rest = failed.document("runs", "resume", run, "--allow-local-plugins", "--batch-size", 2)
    assert rest["reused"] == whole["decoded"] and rest["decoded"] == 0
    assert rest["layers"] == whole["layers"] and rest["run"] == str(run)
    assert (run / "patch.safetensors").read_bytes() == (failed / "whole/patch.safetensors").read_bytes()
    assert Path.cwd() == elsewhere and list(elsewhere.iterdir()) == []
    assert failed.document("runs", "show", run)["state"] == "finished"


def test_a_file_with_a_plugin_is_run_only_where_it_is_allowed(failed):
    said = failed.refuses(2, "runs", "resume", "run")
    assert "scorer names a file" in said and "headprune runs resume" in said and "--allow-local-plugins" in said


def test_a_finished_run_says_so_and_makes_nothing(scored):
    before = (scored / "run/patch.safetensors").read_bytes()
    result = scored.run("runs", "resume", "run", "--allow-local-plugins")
    assert result.exit_code == 0, result.stderr
    assert lines_with("note: the run is finished", result.stderr)
    assert lines_with("note: 30 results were in the run folder already", result.stderr)
    assert (scored / "run/patch.safetensors").read_bytes() == before


def test_a_run_whose_first_folder_is_gone_says_where_it_looks(scored, scored_folder, monkeypatch):
    with RunStore.open(scored / "run") as store:
        store.write("UPDATE sessions SET folder = ?", [("/no/such/folder",)])
    result = scored.run("runs", "resume", "run", "--allow-local-plugins", "--json")
    assert "note: /no/such/folder, where the run was started, is not there" in result.stderr
    # The scorer's file is named by its whole path, where the session's fixture made it.
    assert json.loads(result.stdout)["decoded"] == 0, result.stderr


def test_a_damaged_run_goes_on(scored):
    file = scored / "run/run.sqlite"
    file.write_bytes(os.urandom(100) + file.read_bytes()[100:])
    assert "runs resume" in scored.refuses(1, "runs", "show", "run")
    before = (scored / "run/patch.safetensors").read_bytes()
    result = scored.run("runs", "resume", "run", "--allow-local-plugins", "--json")
    assert json.loads(result.stdout)["decoded"] == 0, result.stderr
    assert "note: run.sqlite was damaged: 30 captions, 24 scores, 24 importances could be kept" in result.stderr
    assert (scored / "run/patch.safetensors").read_bytes() == before
    # It stays to be seen.
    assert "DamagedStoreError: run.sqlite was damaged: 30 captions" in " ".join(
        scored.run("runs", "show", "run").output.split()
    )


def test_a_store_that_was_emptied_is_no_finished_run(scored):
    (scored / "run/run.sqlite").write_bytes(b"")
    assert "run.sqlite is damaged: it is empty" in scored.refuses(1, "runs", "show", "run")
    assert "run.sqlite is damaged: it is empty" in scored.refuses(1, "runs", "export", "run", "--out", "a.csv")
    assert [run["state"] for run in scored.document("runs", "list")["runs"]] == ["damaged"]
    result = scored.run("runs", "resume", "run", "--allow-local-plugins", "--json")
    assert json.loads(result.stdout)["reused"] == 0 and "was empty" in result.stderr


def test_a_run_of_the_demo_goes_on_in_another_installation(place, monkeypatch):
    """The encoder that comes with headprune lies elsewhere there."""
    words = ("score", "demo", "--data", "demo", "--samples", "2", "--layers", "last:1", "--out", "run")
    place.document(*words)
    assert "bert" not in (place / "run/recipe.toml").read_text().replace("bertscore", "")
    other = place / "elsewhere" / "bert"
    shutil.copytree(demo.bert_path(), other)
    monkeypatch.setattr(demo, "bert_path", lambda: other)
    assert place.document("runs", "resume", "run")["decoded"] == 0
    assert place.document(*words)["decoded"] == 0


def test_a_run_without_a_recipe_says_what_to_do(scored):
    (scored / "run/recipe.toml").unlink()
    assert "give the run's headprune score command" in scored.refuses(1, "runs", "resume", "run")


def test_a_recipe_that_was_changed_is_another_run(scored):
    recipe = scored / "run/recipe.toml"
    recipe.write_text(recipe.read_text().replace("seed = 0", "seed = 1"))
    result = scored.run("runs", "resume", "run", "--allow-local-plugins")
    assert result.exit_code == 2 and "holds another run: seed 0, not 1" in result.stderr


def test_results_as_parquet_and_as_csv(scored):
    document = scored.document("runs", "export", "run", "--out", "new/results.parquet")
    scored.document("runs", "export", "run", "--out", "results.csv")
    found = parquet.read_table(scored / "new/results.parquet")
    assert document == {"run": "run", "out": "new/results.parquet", "table": "results", "rows": 30}
    text, whole, real = pyarrow.string(), pyarrow.int32(), pyarrow.float64()
    assert [(field.name, field.type) for field in found.schema] == [
        *(("sample", text), ("picture", text), ("layer", whole), ("head", whole)),
        *(("edit", text), ("decode_at", text), ("context", text), ("caption", text), ("reference", text)),
        *(("scorer", text), ("score", real)),
    ]
    rows = found.to_pylist()
    with RunStore.open(scored / "run", create=False) as store:
        ((context, _),) = store.contexts().items()
        ((scorer, _),) = store.scorers().items()
        captions, scores = store.captions(context), store.scores(context, scorer)
    assert {(row["sample"], row["layer"], row["head"]): row["caption"] for row in rows} == captions
    assert {(row["sample"], row["layer"], row["head"]): row["score"] for row in rows if row["head"] >= 0} == scores
    assert all(row["reference"] == captions[row["sample"], row["layer"], -1] for row in rows if row["head"] >= 0)
    with (scored / "results.csv").open(encoding="utf-8", newline="") as file:
        plain = list(csv.DictReader(file))
    assert plain == [{name: "" if cell is None else str(cell) for name, cell in row.items()} for row in rows]


def test_importances_are_a_table_of_their_own(scored):
    scored.document("runs", "export", "run", "--table", "importances", "--out", "importances.parquet")
    found = parquet.read_table(scored / "importances.parquet")
    patch = scored.document("patch", "show", "run/patch.safetensors")
    assert found.column("patch").unique().to_pylist() == [patch["digest"]]
    rows = [row for row in found.to_pylist() if (row["layer"], row["head"]) == (1, 2)]
    assert sum(row["importance"] for row in rows) / len(rows) == pytest.approx(patch["importance"][1][2])


def test_any_text_comes_back_from_csv_and_parquet(place):
    texts = ["two\nlines\r\n", 'quo"ted, comma', "naïve 猫 \u2028", "", "=SUM(A1)", "\t-1"]
    with RunFolder.claim("run", {}, "") as run:
        run.store.add_captions(run.store.context({}), {("a,b\n", 0, head): text for head, text in enumerate(texts)})
    place.document("runs", "export", "run", "--out", "a.csv")
    place.document("runs", "export", "run", "--out", "a.parquet")
    with (place / "a.csv").open(encoding="utf-8", newline="") as file:
        # What a spreadsheet would run is led by an apostrophe.
        assert [row["caption"] for row in csv.DictReader(file)] == [*texts[:4], "'=SUM(A1)", "'\t-1"]
    assert parquet.read_table(place / "a.parquet").column("caption").to_pylist() == texts


def test_what_cannot_be_written_is_refused(scored, monkeypatch):
    assert "ends neither in .parquet nor in .csv" in scored.refuses(2, "runs", "export", "run", "--out", "a.xlsx")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    said = scored.refuses(1, "runs", "export", "run", "--out", "a.parquet")
    assert "Parquet needs pyarrow" in said and "pip install 'headprune[parquet]'" in said
    scored.document("runs", "export", "run", "--out", "a.csv")


def test_an_export_replaces_one_of_its_kind_and_nothing_else(scored):
    for ending in ("csv", "parquet"):
        file = scored / f"a.{ending}"
        scored.document("runs", "export", "run", "--out", file.name)
        before = file.read_bytes()
        scored.document("runs", "export", "run", "--out", file.name)
        assert file.read_bytes() == before
        said = scored.refuses(2, "runs", "export", "run", "--table", "importances", "--out", file.name)
        assert f"{file.name} is there, and is no such export" in said and file.read_bytes() == before
        broken = b"PAR1" + b"\xff" * 90 + (90).to_bytes(4, "little") + b"PAR1"
        for other in (b"", b"file_name,caption\na.png,a cat\n", b"\xff\x00\xfe", broken):
            file.write_bytes(other)
            assert "no such export" in scored.refuses(2, "runs", "export", "run", "--out", file.name)
            assert file.read_bytes() == other


def test_damage_is_exported_as_a_gap_that_is_told(scored):
    with RunStore.open(scored / "run") as store:
        store.write("UPDATE captions SET text = ? WHERE id = 1", [("another",)])
    result = scored.run("runs", "export", "run", "--out", "a.csv", "--json")
    assert json.loads(result.stdout)["rows"] == 29
    assert "note: run.sqlite is damaged: of its captions 1 left out" in result.stderr


def test_looking_at_a_run_changes_nothing(scored):
    before = {path.name: path.read_bytes() for path in (scored / "run").iterdir()}
    scored.document("runs", "list")
    scored.document("runs", "show", "run")
    scored.document("runs", "export", "run", "--out", "a.csv")
    assert {path.name: path.read_bytes() for path in (scored / "run").iterdir()} == before
    shutil.rmtree(scored / "run")
    assert scored.document("runs", "list")["runs"] == []
