"""headprune patch: look and combine."""

from __future__ import annotations

import numpy as np
import pytest

from headprune import load_patch, save_patch
from tests.support.patches import patch_of

IMPORTANCE = [[0.1, 0.5, 0.2, 0.2], [0.0, 0.0, 0.0, 9.0], [0.6, 0.7, 0.8, 0.9]]


def test_show_gives_every_number_and_where_it_comes_from(scored):
    document = scored.document("patch", "show", "run/patch.safetensors")
    patch = load_patch(scored / "run/patch.safetensors")
    assert document["digest"] == patch.digest()
    assert document["info"] == patch.info.model_dump(mode="json")
    for name in ("importance", "alpha", "scale", "samples"):
        np.testing.assert_array_equal(np.float32(document[name]), getattr(patch, name))


def test_unset_numbers_are_null_in_json_and_no_row_in_the_table(place):
    save_patch(patch_of(IMPORTANCE, layers=[0, 2]), place / "p")
    document = place.document("patch", "show", "p")
    assert document["alpha"][1] == [None] * 4 and None not in document["alpha"][0]
    result = place.run("patch", "show", "p")
    rows = [line.split()[0] for line in result.stdout.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    assert (result.exit_code, result.stderr, rows) == (0, "", ["0", "2"])
    assert "4 samples of d, seed 0" in result.stdout


def test_diff(place):
    save_patch(patch_of(IMPORTANCE), place / "a")
    save_patch(patch_of(np.flip(IMPORTANCE, 1), layers=[0, 2]), place / "b")
    document = place.document("patch", "diff", "a", "b")
    a, b = load_patch(place / "a"), load_patch(place / "b")
    assert (document["layers"], document["same_weights"]) == ([0, 2], True)
    largest = [(entry["layer"], entry["head"]) for entry in document["largest"]]
    sizes = [abs(float(b.scale[head] - a.scale[head])) for head in largest]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] > 0
    assert document["scale_difference"][1] == [None] * 4
    np.testing.assert_allclose(document["scale_difference"][0], b.scale[0] - a.scale[0], rtol=1e-6)
    # By hand: layer 2 turned around ranks the other way; layer 0 has 0 3 1.5 1.5 against 1.5 1.5 3 0, unrelated.
    assert document["rank_correlation"] == pytest.approx(np.mean([0, -1]))


def test_importances_that_compare_across_layers_are_ranked_over_all_heads(place):
    for name, comparable in {"a": "across-layers", "b": "across-layers", "c": "within-layer"}.items():
        importance = np.flip(IMPORTANCE, 0) if name == "b" else np.array(IMPORTANCE)
        save_patch(patch_of(importance, layers=[0, 2], comparable=comparable), place / name)
    document = place.document("patch", "diff", "a", "b")
    # By hand: 1 4 2.5 2.5 5 6 7 8 against 5 6 7 8 1 4 2.5 2.5.
    first, second = np.array([1, 4, 2.5, 2.5, 5, 6, 7, 8]) - 4.5, np.array([5, 6, 7, 8, 1, 4, 2.5, 2.5]) - 4.5
    expected = first @ second / (first @ first)
    assert document["rank_correlation_all"] == pytest.approx(expected)
    assert f"rank correlation {expected:.3f} over all heads" in place.run("patch", "diff", "a", "b").stdout
    assert place.document("patch", "diff", "a", "c")["rank_correlation_all"] is None
    assert "over all heads" not in place.run("patch", "diff", "a", "c").stdout
    place.document("patch", "blend", "a", "--out", "half")
    assert place.document("patch", "diff", "a", "half")["rank_correlation_all"] is None


def test_a_patch_does_not_differ_from_itself(place):
    save_patch(patch_of(IMPORTANCE), place / "a")
    document = place.document("patch", "diff", "a", "a")
    assert document["largest"] == [] and abs(document["rank_correlation"] - 1) < 1e-12


def test_diff_of_patches_without_a_common_layer(place):
    save_patch(patch_of(IMPORTANCE, layers=[0]), place / "a")
    save_patch(patch_of(IMPORTANCE, layers=[2]), place / "b")
    document = place.document("patch", "diff", "a", "b")
    assert (document["layers"], document["rank_correlation"], document["largest"]) == ([], None, [])
    assert "rank correlation undefined over 0 layers" in " ".join(place.run("patch", "diff", "a", "b").stdout.split())


def test_patches_of_two_geometries_cannot_be_compared(place):
    save_patch(patch_of(IMPORTANCE), place / "a")
    save_patch(patch_of(IMPORTANCE[:2]), place / "b")
    place.refuses(4, "patch", "diff", "a", "b")


def test_stack_and_blend_write_patches(place):
    save_patch(patch_of(IMPORTANCE, layers=[0, 1]), place / "a")
    save_patch(patch_of(np.flip(IMPORTANCE, 1), layers=[1, 2]), place / "b")
    assert place.document("patch", "stack", "a", "b", "--out", "new/stacked") == {"patch": "new/stacked"}
    assert place.document("patch", "blend", "a", "--weight", 0.25, "--out", "blended") == {"patch": "blended"}
    a, b = load_patch(place / "a"), load_patch(place / "b")
    stacked, blended = load_patch(place / "new/stacked"), load_patch(place / "blended")
    np.testing.assert_allclose(stacked.coefficients(), a.coefficients() * b.coefficients(), rtol=1e-6)
    np.testing.assert_allclose(blended.coefficients(), 1 + 0.25 * (a.coefficients() - 1), rtol=1e-6)
    assert stacked.info.parents == (a.digest(), b.digest()) and blended.info.parents == (a.digest(),)
    shown = place.run("patch", "show", "new/stacked")
    assert shown.exit_code == 0 and "composed of" in shown.stdout
    said = place.run("patch", "stack", "a", "b", "--out", "c")
    assert (said.stdout, said.stderr) == ("", "wrote patch: c\n")


def test_stacks_that_make_no_sense(place):
    save_patch(patch_of(IMPORTANCE), place / "a")
    other = patch_of(IMPORTANCE).info.model.model_copy(update={"fingerprint": "other"})
    save_patch(patch_of(IMPORTANCE, model=other), place / "b")
    place.refuses(2, "patch", "stack", "a", "--out", "c")
    assert "different weights" in place.refuses(4, "patch", "stack", "a", "b", "--out", "c")
    place.refuses(2, "patch", "blend", "a", "--weight", "nan", "--out", "c")


def test_a_composed_patch_cannot_be_pruned(scored):
    scored.document("patch", "blend", "run/patch.safetensors", "--out", "half")
    words = ("apply", "model", "half", "--out", "out")
    assert "composed" in scored.refuses(2, *words, "--prune", "count=1")
    assert "composed" in scored.refuses(2, *words, "--scale", "paper")
    assert scored.document(*words)["pruned"] == []
