"""headprune report: runs of real commands in a page, figures and tables; what it refuses."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from headprune import load_patch
from headprune.perspectives.run import load_run

LOOK = ("--data", "data", "--samples", 2, "--max-new-tokens", 5)


@pytest.fixture
def looked(scored):
    """A place with a score run, and with runs of layers, heat maps and heads."""
    for kind in ("layers", "heatmap", "heads"):
        scored.document(kind, "model", *LOOK, *SCORER.get(kind, ()), "--out", kind)
    return scored


OVERLAP = ("--scorer", "./overlap.py:Overlap")
# Of those that score.
SCORER = {
    "layers": OVERLAP,
    "lesion": (*OVERLAP, "--together", "0-1"),
    "convergence": (*OVERLAP, "--convergence-scorer", "exact"),
    "concreteness": OVERLAP,
}
ALL = ("layers", "heatmap", "heads", "run")


def test_a_page_of_all_runs(looked):
    done = looked.document("report", *ALL, "--out", "out/report.html", "--prune", "count=1")
    assert (done["out"], done["format"], done["shown"], done["pictures"]) == ("out/report.html", "html", 2, 2)
    html = (looked / "out" / "report.html").read_text(encoding="utf-8")
    assert done["bytes"] == len(html.encode())
    assert html.count('class="strip"') == 2
    assert "heads pruned by count=1" in html and "Heads of layer" in html


# The table that has a row for each layer, and a part of its heading that only this perspective has.
SUMS = {
    "dataflow": ("dataflow", "share of each layer"),
    "lesion": ("lesion", "caption with the lesion against the one without"),
    "convergence": ("curve", "by layer, mean of 2 pictures"),
    "concreteness": ("concreteness", "concreteness by layer"),
}


@pytest.mark.parametrize("kind", SUMS)
def test_a_perspective_alone_is_a_page_and_tables(place, kind):
    place.document(kind, "model", *LOOK, *SCORER.get(kind, ()), "--out", kind)
    name, title = SUMS[kind]
    place.document("report", kind, "--out", "report.html")
    html = (place / "report.html").read_text(encoding="utf-8")
    assert html.count('<img src="data:image/svg+xml') == 1
    assert title in html.partition('alt="')[2].partition('"')[0].replace("&#39;", "'")
    place.document("report", kind, "--format", "csv", "--out", "out")
    with (place / "out" / kind / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) >= len(load_run(place / kind).info.layers)
    files = sorted(path.name for path in (place / "out" / kind).iterdir())
    assert len(files) >= 2 and all((place / "out" / kind / file).stat().st_size > 50 for file in files)


def test_the_page_is_made_anew_and_said_on_stderr(looked):
    looked.run("report", "layers", "--out", "report.html")
    (looked / "other.html").write_text("<!doctype html><p>mine</p>")
    assert "is no report" in looked.refuses(2, "report", "layers", "--out", "other.html")
    result = looked.run("report", "layers", "--out", "report.html")
    assert result.exit_code == 0, result.stderr
    assert "2 of 2" in result.stdout
    assert "wrote page: report.html" in result.stderr
    assert (looked / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("form", ["png", "svg"])
def test_figures_one_by_one(looked, form):
    done = looked.document("report", *ALL, "--format", form, "--out", "out")
    names = {path.relative_to(looked / "out").as_posix() for path in (looked / "out").rglob("*.*")}
    assert {f"layers/layers.{form}", f"heatmap/heatmap.{form}", f"run/importance.{form}"} <= names
    assert {f"out/{name}" for name in names} == set(done["files"])
    if form == "png":
        with Image.open(looked / "out" / "run" / "importance.png") as picture:
            assert picture.format == "PNG" and len(picture.convert("RGB").getcolors(1 << 20)) > 4
    else:
        assert "<svg" in (looked / "out" / "run" / "importance.svg").read_text()


def test_tables_as_csv(looked):
    looked.document("report", *ALL, "--format", "csv", "--out", "out", "--prune", "count=1")
    with (looked / "out" / "run" / "importance.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [*csv.DictReader(file)]
    importance = load_patch(looked / "run" / "patch.safetensors").importance
    assert [float(row["importance"]) for row in rows] == [float(one) for one in importance[np.isfinite(importance)]]
    assert all(float(row["low"]) <= float(row["importance"]) <= float(row["high"]) for row in rows)
    assert {row["count=1"] for row in rows} == {"pruned", "kept"}
    with (looked / "out" / "layers" / "captions.csv").open(encoding="utf-8-sig", newline="") as file:
        assert {row["sample"] for row in csv.DictReader(file)} <= {f"p{number}.png" for number in range(5)}


def test_runs_of_one_name_go_to_folders_of_their_own(scored):
    shutil.copytree(scored / "run", scored / "other" / "RUN")
    scored.document("report", "run", "other/RUN", "--format", "csv", "--out", "out")
    assert sorted(path.name for path in (scored / "out").iterdir()) == ["RUN-2", "run"]


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (2, ("run",), "needs a place"),
        (2, ("--out", "r.html"), "needs a run folder"),
        (2, ("run", "run/.", "--out", "r.html"), "named twice"),
        (2, ("run", "--out", "r.html", "--prune", "best"), "is no rule"),
        (2, ("run", "--out", "r.html", "--prune", "count=999"), "more heads"),
        (2, ("run", "--out", "data", "--format", "csv"), "not empty"),
        (2, ("run", "--out", "data"), "is not a file"),
        (1, ("data", "--out", "r.html"), "holds no run"),
        (1, ("gone", "--out", "r.html"), "no run folder gone"),
    ],
)
def test_refusals(scored, code, words, said):
    assert said in scored.refuses(code, "report", *words)


def test_an_unknown_format_is_a_usage_error(scored):
    result = scored.run("report", "run", "--out", "r", "--format", "pdf")
    assert result.exit_code == 2 and "pdf" in result.stderr


def test_a_run_that_is_not_finished(scored):
    (scored / "run" / "patch.safetensors").unlink()
    assert "not finished" in scored.refuses(1, "report", "run", "--out", "r.html")


def test_a_damaged_result(looked):
    (looked / "layers" / "result.json").write_text('{"info": {}}')
    assert "layers" in looked.refuses(1, "report", "layers", "--out", "r.html")


def test_help_starts_without_templates_and_figures():
    watched = (
        "import sys; sys.argv = ['headprune', *sys.argv[1:]]\n"
        "from headprune.cli.app import main\n"
        "try: main()\n"
        "finally: print('loaded', *({'jinja2', 'matplotlib', 'torch', 'numpy'} & {*sys.modules}), file=sys.stderr)"
    )
    for words in (["--help"], ["report", "--help"]):
        done = subprocess.run([sys.executable, "-c", watched, *words], capture_output=True, text=True, check=True)
        assert "report" in done.stdout and done.stderr.splitlines()[-1] == "loaded"
