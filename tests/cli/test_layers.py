"""headprune layers; and what every perspective's command does: run folder, figures, before and after, refusals."""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image

import headprune
from headprune.perspectives.run import KINDS, load_run

LAYERS = ("layers", "model", "--data", "data", "--scorer", "./overlap.py:Overlap", "--max-new-tokens", 5)


def test_a_run_folder_holds_all_that_was_found(place):
    document = place.document(*LAYERS, "--samples", 3, "--out", "seen")
    assert sorted(path.name for path in (place / "seen").iterdir()) == [
        *("layers.png", "pictures", "recipe.toml", "result.json", "tensors.safetensors"),
    ]
    run = load_run(place / "seen")
    assert (run.info.kind, run.info.data, run.info.scorer) == ("layers", "data", "./overlap.py:Overlap")
    assert run.info.layers == (0, 1, 2) and run.after is None and run.info.patch is None
    assert [sample.id for sample in run.info.samples] == document["samples"]
    adapter, dataset = headprune.load_model("model"), headprune.open_dataset("data")
    settings = {"scorer": "./overlap.py:Overlap", "samples": 3, "generation": {"max_new_tokens": 5}}
    again = headprune.layers(adapter, dataset, **settings)
    assert run.before.captions == again.captions and (run.before.scores == again.scores).all()
    assert document["before"]["captions"] == [list(row) for row in again.captions]


def test_pictures_are_kept_as_they_are_seen_and_nothing_else_of_their_files(place):
    place.document(*LAYERS, "--samples", 2, "--out", "seen")
    run = load_run(place / "seen")
    for number, sample in enumerate(run.info.samples):
        kept = Image.open(run.picture(number))
        assert kept.size == Image.open(place / "data" / sample.id).size and kept.format == "JPEG"
        assert not kept.getexif()


def test_the_same_command_gives_the_same_bytes(place):
    for out in ("one", "two"):
        place.document(*LAYERS, "--samples", 2, "--out", out)
    for name in ("tensors.safetensors", "layers.png", "recipe.toml", "pictures/0001.jpg"):
        assert (place / "one" / name).read_bytes() == (place / "two" / name).read_bytes()
    one, two = (json.loads((place / out / "result.json").read_text()) for out in ("one", "two"))
    for found in (one, two):
        del found["info"]["seconds"]
    assert one == two


def test_its_recipe_repeats_it(place):
    place.document(*LAYERS, "--samples", 2, "--layers", "1", "--out", "one")
    place.document("layers", "--recipe", "one/recipe.toml", "--scorer", "./overlap.py:Overlap", "--out", "two")
    one, two = load_run(place / "one"), load_run(place / "two")
    assert one.before.captions == two.before.captions and two.info.layers == (1,)


def test_a_patch_gives_before_and_after(scored):
    words = ("--samples", 2, "--patch", "run/patch.safetensors", "--prune", "count=2", "--out", "seen")
    document = scored.document(*LAYERS, *words)
    run = load_run(scored / "seen")
    plain = scored.document(*LAYERS, "--samples", 2, "--out", "plain")
    assert document["before"] == plain["before"] != document["after"]
    patch = headprune.load_patch("run/patch.safetensors")
    change = headprune.choose_change(patch, "mean-one", "count=2")
    adapter, dataset = headprune.load_model("model"), headprune.open_dataset("data")
    with headprune.applied(adapter, change.coefficients):
        settings = {"scorer": "./overlap.py:Overlap", "samples": 2, "generation": {"max_new_tokens": 5}}
        again = headprune.layers(adapter, dataset, **settings)
    assert run.after.captions == again.captions
    assert run.info.patch.digest == patch.digest() and len(run.info.patch.silent) == 6


def test_one_picture_has_no_interval_and_that_is_said(place):
    result = place.run(*LAYERS, "--samples", 1, "--out", "seen")
    assert result.exit_code == 0 and "of one picture there are no intervals" in result.stderr


def test_a_recipe_of_a_run_with_a_patch_says_that_it_needs_one(scored):
    scored.document(*LAYERS, "--samples", 1, "--patch", "run/patch.safetensors", "--out", "seen")
    first = (scored / "seen" / "recipe.toml").read_text().splitlines()[0]
    assert "--patch PATCH" in first and headprune.load_patch("run/patch.safetensors").digest() in first


def test_a_table_for_people(place):
    result = place.run(*LAYERS, "--samples", 2, "--layers", "1-2", "--out", "seen")
    assert result.exit_code == 0
    assert re.search(r"^1 +\d\.\d{3} \[", result.stdout, re.M) and not re.search(r"^0 ", result.stdout, re.M)
    assert "wrote run: seen" in result.stderr


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (2, ("--layers", "7", "--out", "seen"), "layers '7'"),
        (2, ("--samples", "99", "--out", "seen"), "99 samples"),
        (2, (), "layers needs a run folder"),
        (2, ("--prune", "count=1", "--out", "seen"), "there is none"),
        (1, ("--samples", 2, "--out", "overlap.py/seen"), "Not a directory"),
        (2, ("--out", "data"), "not empty"),
        (2, ("--scorer", "logit", "--out", "seen"), "needs logits"),
        (3, ("--scorer", "nosuch", "--out", "seen"), "nosuch"),
        (4, ("--patch", "overlap.py", "--out", "seen"), "overlap.py"),
    ],
)
def test_refusals_leave_nothing(place, code, words, said):
    assert said in place.refuses(code, *LAYERS, *words)


def test_a_scorer_that_fails_leaves_nothing(place):
    (place / "fault").touch()
    assert "no such luck" in place.refuses(
        3, "layers", "model", "--data", "data", "--scorer", "./overlap.py:Faulty", "--samples", 2, "--out", "seen"
    )


def test_every_kind_has_its_parts():
    from importlib import import_module

    for kind, home in KINDS.items():
        module, _, name = home.partition(":")
        assert getattr(import_module(module), name)
        assert import_module(f"headprune.report.figures.{kind}").draw
        assert getattr(import_module(f"headprune.jobs.perspectives.{kind}"), f"{kind.capitalize()}Perspective")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw["info"].pop("kind"),
        lambda raw: raw["info"].update(kind="os"),
        lambda raw: raw["info"].update(format=2),
        lambda raw: raw["before"].update(captions="words"),
        lambda raw: raw["before"].update(scores=[1, 2]),
        lambda raw: raw.pop("after"),
    ],
)
def test_a_result_that_headprune_did_not_write_is_refused(place, spoil):
    place.document(*LAYERS, "--samples", 2, "--out", "seen")
    raw = json.loads((place / "seen" / "result.json").read_text())
    spoil(raw)
    (place / "seen" / "result.json").write_text(json.dumps(raw))
    with pytest.raises(headprune.HeadpruneError, match="as headprune writes it"):
        load_run(place / "seen")
