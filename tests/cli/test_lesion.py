"""headprune lesion: its options, what it writes, and that it says what the library says."""

from __future__ import annotations

import re

import pytest
from PIL import Image

import headprune
from headprune.perspectives.run import load_run
from headprune.recipes import resolve

LESION = ("lesion", "model", "--data", "data", "--scorer", "./overlap.py:Overlap", "--max-new-tokens", 5)
SETTINGS = {"scorer": "./overlap.py:Overlap", "generation": {"max_new_tokens": 5}}


def test_both_lesions_of_every_layer_unless_asked_otherwise(place):
    document = place.document(*LESION, "--samples", 3, "--out", "seen")
    run = load_run(place / "seen")
    found = headprune.lesion(headprune.load_model("model"), headprune.open_dataset("data"), samples=3, **SETTINGS)
    assert run.before.alone.captions == found.alone.captions and run.before.unchanged == found.unchanged
    assert (run.before.alone.scores == found.alone.scores).all() and run.before.alone.scores.shape == (2, 3, 3)
    assert run.before.together.places == () and run.before.per_token and run.before.mean_samples == 3
    told = document["before"]
    assert (told["means"], told["mean_samples"], told["together"]) == ("token", 3, [])
    assert [(row["lesion"], row["layers"]) for row in told["alone"]] == [
        (name, [layer]) for name in ("mean-input", "confuse") for layer in range(3)
    ]
    for row in told["alone"]:
        number, (layer,) = found.lesions.index(row["lesion"]), row["layers"]
        assert row["captions"] == list(found.alone.captions[number][layer])
        assert row["scores"] == found.alone.scores[number, layer].tolist()
        assert row["score"]["mean"] == pytest.approx(found.alone.scores[number, layer].mean())
    assert told["unchanged"] == {"captions": list(found.unchanged), "score": None}
    assert Image.open(place / "seen" / "lesion.png").size == (800, 500)


def test_ranges_and_means_as_asked(place):
    words = ("--layers", "1", "--lesion", "confuse", "--together", "0-1", "--together", "1-2", "--means", "all")
    document = place.document(*LESION, *words, "--samples", 2, "--means-samples", 4, "--out", "seen")["before"]
    assert (document["lesions"], document["means"], document["mean_samples"]) == (["confuse"], "all", 4)
    assert [row["layers"] for row in document["alone"]] == [[1]]
    assert [row["layers"] for row in document["together"]] == [[0, 1], [1, 2]]
    recipe = resolve(place / "seen" / "recipe.toml", {"scorer": "./overlap.py:Overlap"}).recipe
    assert recipe.lesion.together == ["0-1", "1-2"] and recipe.lesion.means_samples == 4
    again = place.document("lesion", "--recipe", "seen/recipe.toml", *LESION[4:6], "--out", "again")["before"]
    assert again == document
    adapter, dataset = headprune.load_model("model"), headprune.open_dataset("data")
    lesion = {"lesions": ["confuse"], "together": ["0-1", "1-2"], "means": "all", "means_samples": 4}
    found = headprune.lesion(adapter, dataset, samples=2, layers="1", lesion=lesion, **SETTINGS)
    assert document["together"][1]["captions"] == list(found.together.captions[0][1])


def test_means_of_other_data(place):
    (place / "others").mkdir()
    for number in range(2):
        Image.new("RGB", (40, 40), (90 * number, 200, 30)).save(place / "others" / f"q{number}.png")
    words = ("--samples", 2, "--means-data", "others")
    document = place.document(*LESION, *words, "--out", "seen")["before"]
    plain = place.document(*LESION, "--samples", 2, "--out", "plain")["before"]
    assert document["unchanged"] == plain["unchanged"]
    assert [row["captions"] for row in document["alone"]] != [row["captions"] for row in plain["alone"]]
    assert document["mean_samples"] == 2
    assert "option 'nosuch'" in place.refuses(2, *LESION, *words, "--means-option", "nosuch=1", "--out", "refused")
    assert "99 samples" in place.refuses(2, *LESION, *words, "--means-samples", 99, "--out", "refused")


def test_a_scorer_of_gold_captions_has_a_line_to_compare_with(place):
    words = ("--scorer", "bleu", "--samples", 2, "--layers", "0", "--out", "seen")
    result = place.run(*LESION, *words)
    run = load_run(place / "seen")
    mean = run.before.unchanged_interval.mean
    assert f"without a lesion: {mean:.3f} [" in result.stdout and mean == run.before.unchanged_scores.mean()


def test_a_patch_gives_before_and_after_with_means_of_its_own(scored):
    words = ("--samples", 2, "--patch", "run/patch.safetensors", "--prune", "count=2", "--out", "seen")
    document = scored.document(*LESION, *words)
    plain = scored.document(*LESION, "--samples", 2, "--out", "plain")
    assert document["before"] == plain["before"] != document["after"]
    change = headprune.choose_change(headprune.load_patch("run/patch.safetensors"), "mean-one", "count=2")
    adapter, dataset = headprune.load_model("model"), headprune.open_dataset("data")
    with headprune.applied(adapter, change.coefficients):
        found = headprune.lesion(adapter, dataset, samples=2, **SETTINGS)
    assert load_run(scored / "seen").after.alone.captions == found.alone.captions
    assert Image.open(scored / "seen" / "lesion.png").size == (1600, 500)


def test_a_table_for_people(place):
    result = place.run(*LESION, "--samples", 2, "--layers", "1", "--together", "0-2", "--together", "0,2", "--out", "o")
    assert result.exit_code == 0, result.stderr
    for name in ("1", "0-2", "0,2"):
        assert re.search(rf"^{name}( +\d\.\d{{3}} \[[\d., ]+\]){{2}}", result.stdout, re.M), result.stdout
    assert "lesions: 2 of 2 pictures" in result.stderr


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (2, ("--lesion", "mean"), "mean-input"),
        (2, ("--means", "some"), "token"),
        (2, ("--together", "1-9"), "layers '1-9'"),
        (2, ("--together", "some"), "cannot be read"),
        (2, ("--means-samples", "9"), "9 samples"),
        (1, ("--means-data", "nowhere"), "nowhere"),
        (2, ("--means-option", "split=train"), "--means-data"),
        (2, ("--scorer", "gradient"), "needs gradients"),
    ],
)
def test_refusals_leave_nothing(place, code, words, said):
    assert said in place.refuses(code, *LESION, "--samples", 2, *words, "--out", "seen")
