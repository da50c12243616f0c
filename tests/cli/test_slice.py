"""headprune apply --how slice: a smaller folder that is a MODEL for every command."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from headprune import Generation, applied, export, load_model, load_patch, save_patch, sliced
from headprune.patch.prune import PruneRule, choose_pruned
from tests.support import slow
from tests.support.patches import patch_of

PATCH = "run/patch.safetensors"
IMAGES = ("data/p0.png", "data/p1.png", "data/p2.png")
# What one head takes with it: rows of q, k and v with their biases, and columns of the output projection.
OF_ONE_HEAD = 3 * 8 * 33 + 32 * 8


@pytest.fixture(scope="session")
def sliced_folder(scored_folder, tmp_path_factory):
    """A model sliced by the finished run's patch, two heads of each layer gone but all of layer 2's."""
    place = tmp_path_factory.mktemp("sliced")
    base = load_model(str(scored_folder.parent / "model"))
    coefficients = load_patch(scored_folder / "patch.safetensors").coefficients()
    coefficients[0, [0, 2]] = coefficients[2] = 0
    export(base, coefficients, place / "sliced", {}, "slice")
    return place / "sliced"


@pytest.fixture
def there(scored, sliced_folder):
    """A place with a sliced model in `sliced`: layers of 2, 4 and no heads."""
    shutil.copytree(sliced_folder, scored / "sliced")
    return scored


def test_the_document(scored):
    document = scored.document("apply", "model", PATCH, "--out", "out", "--prune", "count=1", "--how", "slice")
    assert document.keys() == {"out", "how", "scale", "pruned", "parameters_before", "parameters_after"}
    assert (document["out"], document["how"], document["scale"]) == ("out", "slice", "mean-one")
    assert [layer for layer, _ in document["pruned"]] == [0, 1, 2]
    assert document["parameters_before"] == 97504
    assert document["parameters_after"] == 97504 - 3 * OF_ONE_HEAD == load_model("out").parameter_count()
    record = json.loads((scored / "out/headprune.json").read_text())
    assert (record["how"], record["base"], record["prune"]) == ("slice", "model", "count=1")
    assert record["pruned"] == document["pruned"] and record["patch"] == load_patch(scored / PATCH).digest()
    assert sorted(path.name for path in scored.folder.iterdir()) == ["data", "model", "out", "overlap.py", "run"]


def test_the_terminal(scored):
    result = scored.run("apply", "model", PATCH, "--out", "out", "--prune", "fraction=1", "--how", "slice")
    assert result.exit_code == 0, result.stderr
    heads = " ".join(f"{layer}.{head}" for layer in range(3) for head in range(4))
    text = " ".join(result.stdout.split())
    assert f"pruned heads (layer.head, 0-based): {heads}" in text
    after = 97504 - 12 * OF_ONE_HEAD
    assert f"parameters: 97,504 before, {after:,} after ({100 * (1 - after / 97504):.1f} % fewer)" in text
    assert result.stderr.splitlines() == ["wrote model: out"]


def test_without_pruned_heads_slicing_is_folding(scored):
    for how in ("fold", "slice"):
        document = scored.document("apply", "model", PATCH, "--out", how, "--how", how)
        assert document["pruned"] == [] and document["parameters_after"] == 97504
    one, other = (
        scored.document("caption", name, *IMAGES, "--max-new-tokens", 8)["captions"] for name in ("fold", "slice")
    )
    assert one == other


@pytest.mark.parametrize("rule", ["count=2", "fraction=0.25", "threshold=1"])
@pytest.mark.parametrize("scale", ["mean-one", "none"])
def test_hooked_folded_and_sliced_say_the_same(scored, rule, scale):
    settings = ("--prune", rule, "--scale", scale)
    said = ("--max-new-tokens", 8)
    hooked = scored.document("caption", "model", *IMAGES, *said, "--patch", PATCH, *settings)
    for how in ("fold", "slice"):
        scored.document("apply", "model", PATCH, "--out", how, "--how", how, *settings)
        assert scored.document("caption", how, *IMAGES, *said) == hooked
    patch = load_patch(scored / PATCH)
    lost = int(choose_pruned(patch, PruneRule.parse(rule)).sum())
    assert load_model("slice").parameter_count() == 97504 - lost * OF_ONE_HEAD
    assert scored.document("caption", "model", *IMAGES, *said) != hooked


def test_captions_of_layers_and_heads_that_are_there(there):
    adapter = load_model("sliced")
    pixels = adapter.prepare([Image.open(path).convert("RGB") for path in IMAGES])
    generation = Generation(max_new_tokens=8)
    for layer, head in ((0, 1), (1, 3)):
        words = there.document("caption", "sliced", *IMAGES, "--max-new-tokens", 8, "--head", f"{layer}.{head}")
        alone = slow.variant(adapter, "isolate", pixels, layer, head, False, generation)
        assert [entry["caption"] for entry in words["captions"]] == alone
    words = there.document("caption", "sliced", *IMAGES, "--max-new-tokens", 8, "--layer", 2)
    assert [entry["caption"] for entry in words["captions"]] == slow.vanilla_captions(adapter, pixels, generation)


@pytest.mark.parametrize(
    ("head", "told"), [("0.2", "H in layer 0: 0 to 1"), ("1.4", "0 to 3"), ("2.0", "none is left"), ("-1.0", "none")]
)
def test_heads_that_are_gone(there, head, told):
    assert told in there.refuses(2, "caption", "sliced", "data/p0.png", "--head", head)


def test_a_sliced_model_is_scored_evaluated_and_sliced_again(there, score):
    words = (score[0], "sliced", *score[2:], "--samples", 2, "--edit", "ablate", "--decode-at", "last")
    planned = there.document(*words, "--dry-run")
    assert planned["geometry"]["ragged"] == [2, 4, 0] and planned["decodes"] == 2 * (2 + 4 + 1)
    assert "3 layers x 0 to 4 heads of 8" in there.run(*words, "--dry-run").stdout
    done = there.document(*words, "--out", "again")
    assert done["decoded"] == planned["decodes"]
    means = {entry["layer"]: entry["importance"]["mean"] for entry in done["layers"]}
    assert [sum(value is None for value in means[layer]) for layer in range(3)] == [2, 0, 4]
    assert means[0][2:] == [None, None] and done["layers"][2]["alpha"]["low"] == [None] * 4

    shown = there.document("patch", "show", "again/patch.safetensors")
    assert shown["scale"][0][2:] == [None, None] and shown["scale"][2] == [None] * 4 and None not in shown["scale"][1]
    assert shown["info"]["model"]["ragged"] == [2, 4, 0]
    text = there.run("patch", "show", "again/patch.safetensors").stdout
    rows = [line.split() for line in text.splitlines() if line.split()[:1] in (["0"], ["1"], ["2"])]
    assert [row[0] for row in rows] == ["0", "1"] and rows[0][3:] == ["-", "-"]

    patch = ("--patch", "again/patch.safetensors", "--prune", "fraction=0.5", "--random", 3)
    table = there.document("evaluate", "sliced", "--data", "data", "--scorer", "rouge", "--max-new-tokens", 5, *patch)
    assert (table["samples"], table["excluded"]) == (3, 2) and len(table["control"]["scores"]) == 3
    assert table["before"]["parameters"] == 97504 - 6 * OF_ONE_HEAD

    rule = ("--prune", "count=1")
    again = there.document("apply", "sliced", "again/patch.safetensors", "--out", "twice", "--how", "slice", *rule)
    assert [layer for layer, _ in again["pruned"]] == [0, 1]
    assert again["parameters_after"] == again["parameters_before"] - 2 * OF_ONE_HEAD
    coefficients = load_patch(there / "again/patch.safetensors").coefficients()
    coefficients[tuple(zip(*again["pruned"], strict=True))] = 0
    base = load_model("sliced")
    assert load_model("twice").geometry == sliced(base, coefficients).geometry
    said = there.document("caption", "twice", *IMAGES, "--max-new-tokens", 8)
    with applied(base, coefficients):
        pixels = base.prepare([Image.open(path).convert("RGB") for path in IMAGES])
        assert [entry["caption"] for entry in said["captions"]] == slow.vanilla_captions(
            base, pixels, Generation(max_new_tokens=8)
        )


def test_patches_of_a_sliced_model_are_shown_stacked_blended_and_compared(there, score):
    for name, edit in (("a", "ablate"), ("b", "isolate")):
        there.document(score[0], "sliced", *score[2:], "--samples", 2, "--edit", edit, "--out", name)
    one, other = (f"{name}/patch.safetensors" for name in "ab")
    difference = there.document("patch", "diff", one, other)
    assert difference["layers"] == [0, 1] and difference["scale_difference"][2] == [None] * 4
    assert difference["scale_difference"][0][2:] == [None, None]
    assert there.run("patch", "diff", one, other).exit_code == 0
    there.document("patch", "stack", one, other, "--out", "stacked")
    there.document("patch", "blend", one, "--out", "blended")
    for name in ("stacked", "blended"):
        np.testing.assert_array_equal(np.isfinite(load_patch(there / name).scale).sum(axis=1), [2, 4, 0])
        assert there.document("apply", "sliced", name, "--out", f"{name}-model", "--how", "slice")["pruned"] == []
    assert "heads are not the same" in there.refuses(4, "patch", "diff", PATCH, one)


def test_a_patch_of_the_unpruned_model_does_not_fit_nor_the_other_way_round(there, score):
    for words in (
        ("apply", "sliced", PATCH, "--out", "out", "--how", "slice"),
        ("caption", "sliced", "data/p0.png", "--patch", PATCH),
        ("evaluate", "sliced", "--data", "data", "--scorer", "rouge", "--patch", PATCH),
    ):
        said = there.refuses(4, *words)
        assert "3 layers x 4 heads of 8" in said and "3 layers x 0 to 4 heads of 8" in said
        assert "3 layers x 4 heads" in there.refuses(4, *words, "--allow-other-weights")
    there.document(score[0], "sliced", *score[2:], "--samples", 2, "--out", "again")
    there.refuses(4, "apply", "model", "again/patch.safetensors", "--out", "out")


def test_a_patch_of_a_tower_that_lost_as_many_but_other_heads_does_not_fit(there, score):
    there.document(score[0], "sliced", *score[2:], "--samples", 2, "--out", "again")
    again = "again/patch.safetensors"
    coefficients = np.ones((3, 4), np.float32)
    coefficients[1, [0, 2]] = coefficients[2] = 0
    export(load_model("model"), coefficients, there / "other", {}, "slice")
    said = there.refuses(4, "apply", "other", again, "--out", "out")
    assert "lost other heads" in said
    # As many heads in every layer: only the weights tell.
    coefficients[:] = 1
    coefficients[0, [1, 3]] = coefficients[2] = 0
    export(load_model("model"), coefficients, there / "twin", {}, "slice")
    assert "other weights" in there.refuses(4, "apply", "twin", again, "--out", "out")


def test_a_model_that_has_no_heads_left(scored, score):
    words = ("--prune", "fraction=1", "--how", "slice")
    scored.document("apply", "model", PATCH, "--out", "none", *words)
    assert len(scored.document("caption", "none", *IMAGES)["captions"]) == 3
    said = scored.refuses(2, "score", "none", *score[2:], "--samples", 2, "--out", "new/run")
    assert "no head left" in said
    scored.refuses(2, "caption", "none", "data/p0.png", "--head", "0.0")
    table = scored.document("evaluate", "none", "--data", "data", "--scorer", "rouge", "--max-new-tokens", 5)
    assert table["before"]["parameters"] == 97504 - 12 * OF_ONE_HEAD


def test_a_damaged_sliced_folder_is_refused_in_a_line(there, score):
    config = json.loads((there / "sliced/config.json").read_text())
    config["headprune"]["kept"][0] = [3, 1]
    (there / "sliced/config.json").write_text(json.dumps(config))
    for words in (
        ("caption", "sliced", "data/p0.png"),
        (score[0], "sliced", *score[2:], "--samples", 2, "--out", "again"),
        (score[0], "sliced", *score[2:], "--samples", 2, "--dry-run"),
    ):
        assert "each once and in order" in there.refuses(1, *words)


def test_how_is_fold_or_slice(scored):
    said = scored.refuses(2, "apply", "model", PATCH, "--out", "out", "--how", "cut")
    assert "fold" in said and "slice" in said


def test_refusals_leave_nothing(scored):
    """What is refused when folding is refused when slicing, before a model is loaded where that can be."""
    slicing = ("--out", "out", "--how", "slice")
    assert "--prune" in scored.refuses(2, "apply", "model", PATCH, *slicing, "--prune", "count=5")
    assert "is not there" in scored.refuses(1, "apply", "model", "none", *slicing)
    (scored / "out").mkdir()
    (scored / "out/thesis.tex").write_text("precious")
    assert "is not empty" in scored.refuses(2, "apply", "model", PATCH, *slicing)


def test_patches_are_not_for_towers_of_other_sizes(scored):
    save_patch(patch_of([[0.1, 0.2, 0.3]] * 2), scored / "patch")
    said = scored.refuses(4, "apply", "model", "patch", "--out", "out", "--how", "slice")
    assert "2 layers x 3 heads of 2" in said
