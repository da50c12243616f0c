"""What goes wrong ends with the right code, one line that says what, one that says what to do, and nothing left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

from headprune import load_patch, save_patch
from tests.support import tiny
from tests.support.patches import patch_of

PATCH = "run/patch.safetensors"


def copied(source: Path, target: Path) -> Path:
    """A copy of a model folder without its weights."""
    shutil.copytree(source.resolve(), target, ignore=shutil.ignore_patterns("*.safetensors"))
    return target


# Patches.


@pytest.mark.parametrize(
    "words",
    [
        ("apply", "model", "{}", "--out", "out"),
        ("caption", "model", "data/p0.png", "--patch", "{}"),
        ("evaluate", "model", "--data", "data", "--patch", "{}"),
    ],
    ids=lambda words: words[0],
)
class TestPatches:
    def refuses(self, place, code, words, patch="patch") -> str:
        return place.refuses(code, *(word.format(patch) for word in words))

    def test_missing(self, place, words):
        assert "patch patch is not there" in self.refuses(place, 1, words)

    @pytest.mark.parametrize("size", [0, 150, -5])
    def test_truncated(self, scored, words, size):
        (scored / "patch").write_bytes((scored / PATCH).read_bytes()[:size])
        assert "cannot be read as safetensors" in self.refuses(scored, 4, words)

    def test_not_safetensors(self, place, words):
        (place / "patch").write_bytes(b"PK\x03\x04" * 100)
        assert "it is a zip archive, as PyTorch's .pt" in self.refuses(place, 4, words)

    def test_weights_in_place_of_a_patch(self, place, words):
        assert "no patch: it lacks" in self.refuses(place, 4, words, "model/model.safetensors")

    def test_nan_where_it_is_applied(self, scored, words):
        with safe_open(scored / PATCH, "numpy") as file:
            metadata = file.metadata()
        tensors = load_file(scored / PATCH)
        tensors["scale"][0, 1] = np.nan
        save_file(tensors, scored / "patch", metadata)
        assert "scale is not finite" in self.refuses(scored, 4, words)

    def test_of_another_geometry(self, place, words):
        save_patch(patch_of([[0.1, 0.2, 0.3]] * 2), place / "patch")
        said = self.refuses(place, 4, words)
        assert "2 layers x 3 heads of 2, width 8" in said and "3 layers x 4 heads of 8, width 32" in said

    def test_of_another_models_weights(self, scored, words):
        tiny.build("blip2-t5", scored / "other", seed=1)
        (scored / "model").unlink()
        (scored / "other").rename(scored / "model")
        assert "--allow-other-weights" in self.refuses(scored, 4, words, PATCH)
        extra = ["--random", "0", "--scorer", "rouge"] if words[0] == "evaluate" else []
        allowed = scored.run(*(word.format(PATCH) for word in words), *extra, "--allow-other-weights")
        assert allowed.exit_code == 0, allowed.stderr


def test_a_patch_that_does_not_fit_is_not_shown_as_one(place):
    (place / "patch").write_text("{}")
    assert "cannot be read" in place.refuses(4, "patch", "show", "patch")
    assert "not there" in place.refuses(1, "patch", "diff", "patch2", "patch")
    assert "not there" in place.refuses(1, "patch", "blend", "patch2", "--out", "new/blended")


@pytest.mark.parametrize("rule", ["nonsense", "count=5", "count=half", "fraction=1.5", "auto"])
def test_a_pruning_rule_that_makes_no_sense(scored, rule):
    for words in (("apply", "model", PATCH, "--out", "out"), ("caption", "model", "data/p0.png", "--patch", PATCH)):
        assert "--prune" in scored.refuses(2, *words, "--prune", rule)


# Settings.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--samples", 6), "6 samples asked for, data has 5"),
        (("--samples", 0), "samples"),
        (("--samples", 2, "--layers", 3), "the tower has layers 0 to 2"),
        (("--samples", 2, "--layers", "last:4"), "the tower has layers 0 to 2"),
        (("--samples", 2, "--layers", "some"), "layers 'some' cannot be read"),
        (("--samples", 2, "--temperature", 0), "temperature"),
        (("--samples", 2, "--decode-at", "middle"), "decode_at"),
        (("--samples", 2, "--batch-size", "many"), "batch_size"),
        (("--samples", 2, "--engine", "cloud"), "engine: Input should be 'local' or 'ray'"),
        (("--samples", 2, "--scorer-option", "power"), "--scorer-option 'power' is not key=value"),
        (("--samples", 2, "--scorer-option", "might=2"), "Overlap has no option 'might'"),
        (("--samples", 2, "--scorer-option", "power=strong"), "option 'power' of Overlap"),
        (("--samples", 2, "--edit-option", "factor=1"), "Isolate has no option 'factor'"),
        (("--samples", 2, "--dataset-option", "split=test"), "ImageFolder has no option 'split'"),
    ],
)
def test_settings_that_make_no_sense(place, score, words, told):
    assert told in place.refuses(2, *score, *words, "--out", "new/run")


@pytest.mark.parametrize("words", [("--samples", 6), ("--samples", 2, "--layers", 3)])
def test_a_dry_run_refuses_what_the_run_would(place, score, words):
    place.refuses(2, *score, *words, "--dry-run")


def test_score_wants_a_run_folder_data_and_a_model(place, score):
    assert "run folder" in place.refuses(2, *score, "--samples", 2)
    assert "no data" in place.refuses(2, "score", "model", "--scorer", "rouge", "--out", "run")
    assert "no model" in place.refuses(2, "score", "--data", "data", "--out", "run")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sample = 3", "unknown key 'sample' in the top table"),
        ("[generation]\nbeams = 3", "unknown key 'beams' in [generation]"),
        ('samples = "3"', "samples: Input should be a valid integer"),
        ("trust_remote_code = true", "trust_remote_code"),
        ("[scorer_options]\ntrust_remote_code = true", "trust_remote_code"),
        ('scorer = "./overlap.py:Overlap"', "scorer names a file"),
        ("samples =", "is no TOML"),
    ],
)
def test_recipes_that_are_refused(place, text, told):
    (place / "recipe.toml").write_text(f'model = "./model"\ndata = "./data"\n{text}\n')
    assert told in place.refuses(2, "score", "--recipe", "recipe.toml", "--out", "run")
    assert told in place.refuses(2, "recipe", "check", "recipe.toml")


def test_output_folders_that_hold_something_are_left_alone(scored, score):
    (scored / "mine").mkdir()
    (scored / "mine/thesis.tex").write_text("precious")
    assert "mine is not empty" in scored.refuses(2, *score, "--samples", 2, "--out", "mine")
    assert "mine is not empty" in scored.refuses(2, "apply", "model", PATCH, "--out", "mine")
    assert "is a file" in scored.refuses(2, "apply", "model", PATCH, "--out", "mine/thesis.tex")


@pytest.mark.parametrize("head", ["1", "1.4", "1.-1", "3.0", "all.0", "0,1.2", "1-2.0", "a.b", "1.²", ""])
def test_heads_that_are_not_there(place, head):
    place.refuses(2, "caption", "model", "data/p0.png", "--head", head)


def test_a_layer_and_a_head_are_too_much(place):
    assert "both" in place.refuses(2, "caption", "model", "data/p0.png", "--head", "1.2", "--layer", 0)


@pytest.mark.parametrize("layer", [3, -4])
def test_layers_that_are_not_there(place, layer):
    assert "layers 0 to 2" in place.refuses(2, "caption", "model", "data/p0.png", "--layer", layer)


# Scorers.


@pytest.mark.parametrize(
    ("scorer", "told"),
    [
        ("cidre", "no scorer called 'cidre'"),
        ("./none.py:Overlap", "none.py is not there"),
        ("./overlap.py:Nothing", "overlap.py has no Nothing"),
        ("./overlap.py", "names a file but no class"),
        ("./overlap.py:Options", "no subclass of headprune.Scorer"),
        ("./overlap.py:Mute", "scorer './overlap.py:Mute' failed at overlap.py line 17: TypeError"),
        ("./broken.py:Overlap", "broken.py line 2: ZeroDivisionError"),
    ],
)
def test_scorers_that_are_refused(place, scorer, told):
    (place / "broken.py").write_text("import headprune\n1 / 0\n")
    words = ("--data", "data", "--scorer", scorer)
    assert told in place.refuses(3, "score", "model", *words, "--samples", 2, "--out", "run")
    assert told in place.refuses(3, "evaluate", "model", *words)


def test_an_unknown_edit_is_refused_with_the_known_ones(place, score):
    said = place.refuses(3, *score, "--samples", 2, "--edit", "isolated", "--out", "run")
    assert "did you mean 'isolate'" in said and "mean-ablate" in said


def test_captions_are_kept_when_the_scorer_fails(place, score):
    faulty = [*score, "--scorer", "./overlap.py:Faulty", "--samples", 2, "--out", "run"]
    (place / "fault").touch()
    failed = place.run(*faulty)
    assert (
        failed.exit_code == 3
        and "scorer Faulty failed at overlap.py line 25: ZeroDivisionError: no such luck" in failed.stderr
    )
    assert sorted(path.name for path in (place / "run").iterdir()) == ["recipe.toml", "run.lock", "run.sqlite"]
    (place / "fault").unlink()
    document = place.document(*faulty)
    assert (document["decoded"], document["reused"]) == (0, 2 * 3 * (4 + 1))
    assert load_patch(place / PATCH).scored == [0, 1, 2]


def test_a_scorer_that_needs_gold_captions_and_finds_none(place):
    (place / "data/metadata.jsonl").unlink()
    words = ("model", "--data", "data", "--scorer", "rouge", "--max-new-tokens", 5)
    assert "gold captions" in place.refuses(2, "score", *words, "--samples", 2, "--out", "run")
    assert "gold captions" in place.refuses(2, "evaluate", *words)


# Models, pictures, data.


@pytest.mark.parametrize(
    ("model", "code", "told"),
    [
        ("./none", 1, "model folder"),
        ("/no/model/here", 1, "model folder /no/model/here is not there"),
        ("data", 1, "configuration of data cannot be loaded"),
        ("no-such-owner/no-such-model", 1, "no-such-owner/no-such-model cannot be loaded"),
        ("lavish:blip2", 3, "no adapter called 'lavish'"),
    ],
)
def test_models_that_are_not_there(place, scored_folder, score, model, code, told):
    options = score[2:]
    assert told in place.refuses(code, "score", model, *options, "--samples", 2, "--out", "run")
    assert told in place.refuses(code, "apply", model, scored_folder / "patch.safetensors", "--out", "out")
    assert told in place.refuses(code, "caption", model, "data/p0.png")
    assert told in place.refuses(code, "evaluate", model, "--data", "data")


def test_a_family_that_is_not_supported_gets_the_supported_ones(place, score):
    (place / "swin").mkdir()
    (place / "swin/config.json").write_text('{"model_type": "swin"}')
    said = place.refuses(1, "score", "swin", *score[2:], "--samples", 2, "--out", "run")
    assert "'swin' is not supported" in said and "blip-2, instructblip" in said


def test_a_checkpoint_that_is_not_whole(place, score):
    tensors = load_tensors(place / "model/model.safetensors")
    lost = "vision_model.encoder.layers.1.self_attn.projection.weight"
    (name,) = (name for name in tensors if name.endswith(lost))
    del tensors[name]
    part = copied(place / "model", place / "part")
    save_tensors(tensors, part / "model.safetensors", {"format": "pt"})
    said = place.refuses(1, "score", "part", *score[2:], "--samples", 2, "--out", "run")
    assert "lacks weights" in said and lost in said
    assert "the checkpoint is not whole" in said
    config = json.loads((part / "config.json").read_text())
    (part / "config.json").write_text(json.dumps({**config, "architectures": ["Blip2ForImageTextRetrieval"]}))
    said = place.refuses(1, "score", "part", *score[2:], "--samples", 2, "--out", "run")
    assert "it is a Blip2ForImageTextRetrieval; this takes a Blip2ForConditionalGeneration" in said


def test_a_checkpoint_of_other_shapes(place):
    tensors = load_tensors(place / "model/model.safetensors")
    name = next(name for name in tensors if name.endswith("layers.1.self_attn.projection.weight"))
    tensors[name] = tensors[name][:, :16].clone()
    part = copied(place / "model", place / "part")
    save_tensors(tensors, part / "model.safetensors", {"format": "pt"})
    assert "part" in place.refuses(1, "caption", "part", "data/p0.png")


def test_pickled_weights_are_not_read(place):
    part = copied(place / "model", place / "pickled")
    torch.save(load_tensors(place / "model/model.safetensors"), part / "pytorch_model.bin")
    said = place.refuses(1, "caption", "pickled", "data/p0.png")
    assert "which may run code and is not read: only safetensors are" in said


@pytest.mark.parametrize(("content", "told"), [(None, "is not there"), (b"", "is empty"), (b"no picture", "p0.txt is")])
def test_pictures_that_do_not_open(place, content, told):
    if content is not None:
        (place / "p0.txt").write_bytes(content)
    assert told in place.refuses(1, "caption", "model", "data/p0.png", "p0.txt")


@pytest.mark.parametrize("data", ["nowhere", "./nowhere", "coco:none.json:data"])
def test_data_that_is_not_there(place, score, data):
    words = ("score", "model", "--data", data, *score[4:])
    assert "none.json" if "coco" in data else "nowhere" in place.refuses(1, *words, "--samples", 2, "--out", "run")
    place.refuses(1, "evaluate", "model", "--data", data)


def test_a_run_to_exclude_that_is_not_there(place):
    said = place.refuses(1, "evaluate", "model", "--data", "data", "--scorer", "rouge", "--exclude", "none")
    assert "none/patch.safetensors is not there" in said


def test_nothing_left_to_evaluate_on(scored):
    for name in {f"p{number}.png" for number in range(5)} - set(load_patch(scored / PATCH).info.sample_ids):
        (scored / "data" / name).unlink()
    said = scored.run("evaluate", "model", "--data", "data", "--scorer", "rouge", "--exclude", "run")
    assert said.exit_code == 1 and "is left to evaluate on" in said.stderr


# Space, and tracebacks.

LIMITED = """
import resource, sys
from headprune.cli.app import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv[1:2] = []
main()
"""


def limited(place, size: int, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that cannot write a file of more than `size` bytes."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(size), *map(str, words)],
        capture_output=True, text=True, check=False, timeout=300, cwd=place.folder,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (100, ("apply", "model", PATCH, "--out", "new/out")),
        (100_000, ("apply", "model", PATCH, "--out", "new/out")),
        (100, ("patch", "blend", PATCH, "--out", "new/blended")),
    ],
)
def test_no_space_for_a_result_leaves_nothing(scored, size, words):
    before = scored.tree()
    done = limited(scored, size, *words)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: cannot write") and "\n  next: " in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert scored.tree() == before


def test_no_space_for_captions_is_said(place, score):
    before = place.tree()
    words = (*score, "--samples", 2, "--quiet", "--out", "new/run")
    done = limited(place, 4096, *words)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ") and "\n  next: " in done.stderr
    assert "Traceback" not in done.stderr and "bug" not in done.stderr
    assert place.tree() == before
    assert place.run(*words).exit_code == 0


@pytest.mark.parametrize("words", [("--scorer", "cidre"), ("--scorer", "./overlap.py:Nothing")])
def test_debug_shows_where(place, score, words):
    result = place.run(*score, "--samples", 2, "--out", "run", *words, "--debug")
    assert result.exit_code == 3
    assert "Traceback (most recent call last)" in result.stderr and "PluginError" in result.stderr
    assert "\nerror: " in "\n" + result.stderr


def test_debug_shows_where_a_plugin_failed(place, score):
    (place / "fault").touch()
    result = place.run(*score, "--scorer", "./overlap.py:Faulty", "--samples", 2, "--out", "run", "--debug")
    assert result.exit_code == 3
    assert "overlap.py" in result.stderr and "ZeroDivisionError: no such luck" in result.stderr


def test_a_failure_prints_no_json(place, score):
    result = place.run(*score, "--samples", 6, "--out", "run", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
