"""headprune apply --prune auto: from a run to a pruned model, a stored curve and its figure."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from headprune import load_patch
from headprune.jobs.auto import CURVE
from headprune.patch.prune import PruneRule, choose_pruned, head_list
from headprune.runs import RunStore
from tests.cli.conftest import SCORE, Place, furnish

PATCH = "run/patch.safetensors"
AUTO = ("apply", "model", PATCH, "--prune", "auto", "--scorer", "rouge", "--out")


@pytest.fixture(scope="session")
def searched_folder(tmp_path_factory, tiny_folders):
    """A run on 22 of 24 pictures, by ablation."""
    folder = tmp_path_factory.mktemp("searched")
    rng = np.random.default_rng(1)
    pictures = [Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)) for _ in range(24)]
    with pytest.MonkeyPatch.context() as patching:
        patching.chdir(folder)
        furnish(folder, tiny_folders["blip2-t5"], pictures).document(
            *SCORE, "--samples", 22, "--edit", "ablate", "--out", "run"
        )
    return folder


@pytest.fixture
def run(searched_folder, tmp_path, monkeypatch) -> Place:
    """A place of its own with that run in it."""
    shutil.copytree(searched_folder, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    return Place(tmp_path / "here")


def test_the_document_the_store_and_the_figure(run):
    document = run.document(*AUTO, "out", "--max-drop", 0.3)
    auto = document["auto"]
    assert (auto["scorer"], auto["scale"], auto["max_drop"]) == ("rouge", "mean-one", 0.3)
    assert (auto["ranking"], auto["validation"]) == (12, 10)
    # Ablation compares over all twelve heads.
    assert [point["heads"] for point in auto["curve"]] == list(range(13))
    for point in auto["curve"]:
        assert point.keys() == {"fraction", "heads", "score", "difference"}
        for interval in (point["score"], point["difference"]):
            assert interval.keys() == {"mean", "low", "high"}
            assert interval["low"] <= interval["mean"] + 1e-12 and interval["mean"] <= interval["high"] + 1e-12
    bound = 0.7 * auto["curve"][0]["score"]["mean"]
    stays = [point["score"]["mean"] >= bound - 1e-9 for point in auto["curve"]]
    chosen = auto["curve"][[*stays, False].index(False) - 1]
    assert auto["fraction"] == chosen["fraction"] and chosen["heads"] == len(document["pruned"])
    assert 0 < chosen["heads"] < 12
    with RunStore.open("run", create=False) as store:
        stored = json.loads(store.meta(CURVE))
    assert stored.pop("patch") == load_patch(PATCH).digest()
    assert {**stored, "figure": "run/prune-auto.png"} == auto
    with Image.open("run/prune-auto.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (800, 500))


def test_the_fraction_is_applied_with_the_whole_patch(run):
    auto = run.document(*AUTO, "out", "--max-drop", 0.3)
    rule = f"fraction={auto['auto']['fraction']:g}"
    by_hand = run.document("apply", "model", PATCH, "--prune", rule, "--out", "by-hand")
    assert "auto" not in by_hand and by_hand["pruned"] == auto["pruned"]
    patch = load_patch(PATCH)
    assert auto["pruned"] == [list(head) for head in head_list(choose_pruned(patch, PruneRule.parse(rule)))]
    assert (run / "out/model.safetensors").read_bytes() == (run / "by-hand/model.safetensors").read_bytes()
    record = json.loads((run / "out/headprune.json").read_text())
    assert record["prune"] == f"auto: {rule}, max_drop=0.3" and record["pruned"] == auto["pruned"]


def test_the_curve_is_what_evaluate_measures(run):
    """The ranking part's patch, saved as a patch of its own and evaluated on the validation samples."""
    from headprune import save_patch
    from headprune.scoring.kept import kept_importances, patch_of_first

    auto = run.document(*AUTO, "out")["auto"]
    patch = load_patch(PATCH)
    with RunStore.open("run", create=False) as store:
        save_patch(patch_of_first(patch, kept_importances(store, patch), 12), "ranked")
    validation = set(patch.info.sample_ids[12:])
    rows = (run / "data/metadata.jsonl").read_text().splitlines()
    kept = [row for row in rows if json.loads(row)["file_name"] in validation]
    (run / "data/metadata.jsonl").write_text("\n".join(kept))
    for number in (0, 4, 9):
        point = auto["curve"][number]
        table = run.document(
            "evaluate", "model", "--data", "data", "--scorer", "rouge", "--max-new-tokens", 5, "--random", 0,
            "--patch", "ranked", "--prune", f"fraction={point['fraction']:g}",
        )  # fmt: skip
        assert table["samples"] == 10
        assert table["after"]["score"]["mean"] == pytest.approx(point["score"]["mean"], abs=1e-12)
        assert table["before"]["score"]["mean"] == pytest.approx(auto["unchanged"]["mean"], abs=1e-12)


@pytest.mark.parametrize("columns", [100, 48])
def test_the_table_marks_the_chosen_fraction(run, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    result = run.run(*AUTO, "out", "--max-drop", 0.3)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert all(len(line) <= columns for line in lines)
    text = " ".join(result.stdout.split())
    assert "10 validation samples, heads ranked by the other 12" in text
    (marked,) = (line for line in lines if line.startswith(">"))
    fraction = marked.split()[1]
    assert f"chosen: fraction={fraction}, the largest within 30 %" in text
    assert "the model as it is scores" in text and "(mean-one)" in text
    assert (
        len([line for line in lines if line.strip()[:2] in ("0 ", "1 ", "> ") or line.strip().startswith("0.")]) >= 13
    )
    told = result.stderr.splitlines()
    assert told[-2:] == ["wrote figure: run/prune-auto.png", "wrote model: out"]
    assert "validation captions: 140 of 140, sample 10/10" in told


def test_nothing_may_be_lost_so_nothing_is_pruned(run):
    # Five words that are never gold's: the metric of the unchanged captions is 1, and any other caption is less.
    result = run.run(*AUTO[:5], "--scorer", "./overlap.py:Overlap", "--scale", "none", "--max-drop", 0, "--out", "out")
    assert result.exit_code == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "chosen: fraction=0, no head is pruned: 0.08333 is not within 0 % of 1.000" in text
    assert "pruned heads (layer.head, 0-based): none" in text and "the model as it is" not in text


def test_a_second_search_replaces_the_curve(run):
    run.document(*AUTO, "one", "--max-drop", 0.3)
    first = (run / "run/prune-auto.png").read_bytes()
    run.document(*AUTO, "two", "--max-drop", 0.9)
    with RunStore.open("run", create=False) as store:
        assert json.loads(store.meta(CURVE))["max_drop"] == 0.9
    assert (run / "run/prune-auto.png").read_bytes() != first


def test_the_run_goes_on_as_before_and_its_patch_is_the_same(run):
    run.document(*AUTO, "out")
    before = (run / PATCH).read_bytes()
    again = run.document(*SCORE, "--samples", 22, "--edit", "ablate", "--out", "run")
    assert again["decoded"] == 0 and (run / PATCH).read_bytes() == before


# Refusals: before the model is loaded, with nothing left behind.


def test_a_patch_away_from_its_run(run):
    shutil.copy(run / PATCH, run / "alone.safetensors")
    said = run.refuses(2, "apply", "model", "alone.safetensors", "--prune", "auto", "--out", "out")
    assert "needs the run that made the patch" in said and "fraction=F" in said


def test_another_runs_store(run):
    run.document(*SCORE, "--samples", 20, "--out", "other")
    shutil.copy(run / PATCH, run / "other/patch.safetensors")
    said = run.refuses(2, "apply", "model", "other/patch.safetensors", "--prune", "auto", "--out", "out")
    assert "no importances" in said


def test_too_few_samples(scored):
    said = scored.refuses(2, "apply", "model", PATCH, "--prune", "auto", "--out", "out")
    assert "20 samples or more, this one has 2" in said


def test_a_composed_patch(run):
    run.document("patch", "blend", PATCH, "--weight", 0.5, "--out", "run/blended")
    said = run.refuses(2, "apply", "model", "run/blended", "--prune", "auto", "--out", "out")
    assert "composed" in said


def test_no_gold_captions(run):
    (run / "data/metadata.jsonl").unlink()
    assert "needs gold captions" in run.refuses(2, *AUTO, "out")


def test_data_that_is_gone(run):
    (run / "data").rename(run / "elsewhere")
    said = run.refuses(1, *AUTO, "out")
    assert (
        "the data that the patch was scored on: data data is not there" in said
        and "where headprune score was given" in said
    )


def test_a_sample_that_is_gone(run):
    lost = load_patch(PATCH).info.sample_ids[-1]
    rows = (run / "data/metadata.jsonl").read_text().splitlines()
    (run / "data/metadata.jsonl").write_text("\n".join(row for row in rows if lost not in row))
    (run / "data" / lost).unlink()
    assert f"sample {lost}, which the patch was scored on, is not in data" in run.refuses(1, *AUTO, "out")


@pytest.mark.parametrize("drop", [-0.1, 1.5, "nan"])
def test_a_drop_that_makes_no_sense(run, drop):
    assert "max_drop" in run.refuses(2, *AUTO, "out", "--max-drop", drop)


@pytest.mark.parametrize("words", [("--max-drop", 0.1), ("--scorer", "rouge"), ("--scorer-option", "a=b")])
def test_its_options_without_it(scored, words):
    said = scored.refuses(2, "apply", "model", PATCH, "--prune", "count=1", "--out", "out", *words)
    assert "are for --prune auto" in said


def test_elsewhere_it_is_refused_with_the_next_step(scored):
    for words in (
        ("evaluate", "model", "--data", "data", "--scorer", "rouge", "--patch", PATCH),
        ("caption", "model", "data/p0.png", "--patch", PATCH),
    ):
        said = scored.refuses(2, *words, "--prune", "auto")
        assert "--prune auto is for headprune apply" in said and "fraction=F" in said


def test_a_sequential_patch_is_searched_with_a_doubt(run):
    run.document(*SCORE, "--samples", 20, "--schedule", "sequential", "--layers", "0,1", "--out", "sequential")
    result = run.run("apply", "model", "sequential/patch.safetensors", *AUTO[3:], "out", "--json")
    assert result.exit_code == 0
    assert "note: the patch was scored sequentially" in result.stderr
    # Isolation compares within a layer only: as many heads of each.
    assert [point["heads"] for point in json.loads(result.stdout)["auto"]["curve"]] == [0, 2, 4, 6, 8]
