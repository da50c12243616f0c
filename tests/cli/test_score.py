"""headprune score: what it prints, what it writes, and what it does when it is asked twice."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from headprune import load_patch
from headprune.recipes import read
from headprune.runs import RunStore


def test_the_document_agrees_with_the_patch(place, score):
    document = place.document(*score, "--samples", 3, "--seed", 4, "--layers", "last:2", "--out", "run")
    assert document.keys() == {"patch", "run", "samples", "left_out", "layers", "seconds", "decoded", "reused"}
    assert (document["patch"], document["run"]) == ("run/patch.safetensors", "run")
    assert (document["samples"], document["left_out"]) == (3, [])
    assert document["seconds"] > 0
    # Two layers: four heads and one reference each.
    assert (document["decoded"], document["reused"]) == (3 * 2 * (4 + 1), 0)
    patch = load_patch(place / "run/patch.safetensors")
    assert [entry["layer"] for entry in document["layers"]] == [1, 2] == patch.scored
    assert len(patch.info.sample_ids) == 3 and (patch.samples[1:] == 3).all()
    for entry in document["layers"]:
        assert entry.keys() == {"layer", "importance", "alpha"}
        for name in ("importance", "alpha"):
            np.testing.assert_allclose(entry[name]["mean"], getattr(patch, name)[entry["layer"]], rtol=1e-6)
            low, mean, high = (np.array(entry[name][part]) for part in ("low", "mean", "high"))
            assert ((low <= mean + 1e-6) & (mean <= high + 1e-6)).all()
        np.testing.assert_allclose(sum(entry["alpha"]["mean"]), 1, rtol=1e-6)
        expected = np.exp(entry["importance"]["mean"])
        np.testing.assert_allclose(entry["alpha"]["mean"], expected / expected.sum(), rtol=1e-5)


def test_a_dry_run_counts_what_the_run_then_does_and_writes_nothing(place, score):
    words = (*score, "--samples", 3, "--layers", "0,2", "--decode-at", "last", "--edit", "ablate", "--out", "run")
    before = place.tree()
    planned = place.document(*words, "--dry-run")
    assert place.tree() == before
    assert (planned["samples"], planned["available"]) == (3, 5)
    assert planned["geometry"] == {
        "layers": 3,
        "heads": 4,
        "width": 32,
        "head_width": 8,
        "cls": True,
        "ragged": [],
        "dead": 0,
    }
    assert (planned["decodes"], planned["tower_passes"]) == (3 * (4 * 2 + 1), 3)
    assert planned["download_bytes"] == 0
    done = place.document(*words)
    assert done["decoded"] == planned["decodes"]
    assert planned.keys() >= {"layer_replays", "weight_bytes", "working_bytes"}


def test_a_dry_run_needs_no_run_folder_and_shows_a_table(place, score):
    result = place.run(*score, "--samples", 3, "--dry-run")
    assert result.exit_code == 0
    assert "captions to generate" in result.stdout and "3 of 5" in result.stdout


def test_the_same_command_again_reuses_everything(place, score):
    first = place.document(*score, "--samples", 2, "--out", "run")
    bytes_before = (place / "run/patch.safetensors").read_bytes()
    again = place.document(*score, "--samples", 2, "--out", "run")
    assert (again["decoded"], again["reused"]) == (0, first["decoded"])
    assert again["layers"] == first["layers"]
    assert (place / "run/patch.safetensors").read_bytes() == bytes_before


def test_a_smaller_batch_goes_on_in_the_same_run(place, score):
    first = place.document(*score, "--samples", 2, "--out", "run")
    again = place.document(*score, "--samples", 2, "--out", "run", "--batch-size", 1)
    assert (again["decoded"], again["reused"]) == (0, first["decoded"])


@pytest.mark.parametrize("other", [("--temperature", 2), ("--seed", 5), ("--scorer-option", "power=2")])
def test_another_setting_into_the_same_run_is_refused(scored, score, other):
    patch = (scored / "run/patch.safetensors").read_bytes()
    said = scored.refuses(2, *score, "--samples", 2, "--out", "run", *other)
    assert "holds another run" in said
    assert (scored / "run/patch.safetensors").read_bytes() == patch


def test_options_are_compared_as_the_plugin_reads_them(place, score):
    first = place.document(*score, "--samples", 2, "--out", "run", "--scorer-option", "power=2")
    again = place.document(*score, "--samples", 2, "--out", "run", "--scorer-option", "power=2.0")
    assert (again["decoded"], again["reused"]) == (0, first["decoded"])
    assert load_patch(place / "run/patch.safetensors").info.scorer["power"] == 2


def test_the_run_folder_holds_the_recipe_and_the_captions(scored):
    recipe = (scored / "run/recipe.toml").read_text(encoding="utf-8")
    assert '/overlap.py:Overlap"\n' in recipe and "samples = 2" in recipe
    with RunStore.open(scored / "run", create=False) as store:
        (captions,) = filter(None, map(store.captions, store.contexts()))
    patch = load_patch(scored / "run/patch.safetensors")
    assert {sample for sample, _, _ in captions} == set(patch.info.sample_ids)
    assert len(captions) == 2 * 3 * (4 + 1)
    assert len(set(captions.values())) > 5


def test_a_recipe_gives_what_the_command_line_leaves_out(place):
    (place / "recipe.toml").write_text(
        'model = "./model"\ndata = "./data"\nsamples = 2\nlayers = "-1"\nscorer = "rouge"\n'
        'edit = "scale"\n[edit_options]\nfactor = 0.0\n[generation]\nmax_new_tokens = 5\n'
    )
    document = place.document("score", "--recipe", "recipe.toml", "--samples", 3, "--out", "run")
    info = load_patch(place / "run/patch.safetensors").info
    assert [entry["layer"] for entry in document["layers"]] == [2]
    assert (len(info.sample_ids), info.scorer["name"], info.edit["name"]) == (3, "rouge", "scale")
    assert info.edit["factor"] == 0 and info.generation["max_new_tokens"] == 5
    assert read(place / "run/recipe.toml").samples == 3


def test_the_last_layer_is_minus_one(place, score):
    for name, layers in {"a": "-1", "b": "2"}.items():
        place.document(*score, "--samples", 2, "--layers", layers, "--out", name)
    a, b = (load_patch(place / name / "patch.safetensors") for name in "ab")
    assert a.scored == b.scored == [2] and a.digest() == b.digest()


def test_results_on_stdout_and_everything_else_on_stderr(place, score):
    result = place.run(*score, "--samples", 2, "--out", "run")
    assert result.exit_code == 0
    assert "layers and heads are 0-based" in " ".join(result.stdout.split())
    assert [line.split()[0] for line in result.stdout.splitlines() if line[:6].strip().isdigit()] == ["0", "1", "2"]
    assert "wrote" not in result.stdout and "captions:" not in result.stdout
    told = result.stderr.splitlines()
    assert "wrote patch: run/patch.safetensors" in told and "wrote run: run" in told
    assert "captions: 30 of 30, sample 2/2" in told


def test_quiet_prints_nothing_but_the_result(place, score):
    words = [*score, "--samples", 2, "--layers", "0", "--out", "run", "--quiet", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", "from headprune.cli.app import main; main()", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["decoded"] == 10


def test_pictures_that_do_not_open_are_left_out_and_named(place, score):
    (place / "data/p1.png").write_bytes(b"no picture")
    (place / "data/p3.png").unlink()
    result = place.run(*score, "--samples", 3, "--layers", "0", "--out", "run", "--json")
    document = json.loads(result.stdout)
    assert document["samples"] == 3
    assert set(load_patch(place / "run/patch.safetensors").info.sample_ids) == {"p0.png", "p2.png", "p4.png"}
    assert "note: 1 samples left out (p3.png: metadata.jsonl line 4: there is no picture p3.png)" in result.stderr
    assert [entry["id"] for entry in document["left_out"]] == ["p1.png"]


def test_heads_that_the_scorer_does_not_tell_apart_are_said_to_be(place, score):
    """To the power of 0 any overlap is 1."""
    told = place.run(*score, "--samples", 2, "--scorer-option", "power=0", "--out", "a")
    assert told.exit_code == 0 and "all heads of a layer score the same" in told.stderr
    assert "all heads" not in place.run(*score, "--samples", 2, "--out", "b").stderr
