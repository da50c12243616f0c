"""headprune caption: the model, a layer of it, a head of it."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from headprune import Generation, load_model, load_patch
from headprune.patch.apply import applied
from headprune.testing.slow import stopped_after
from tests.support import slow

IMAGES = ("data/p0.png", "data/p1.png", "data/p2.png")
GENERATION = Generation(max_new_tokens=8)


@pytest.fixture
def model(place):
    return load_model("model")


@pytest.fixture
def pixels(model):
    return model.prepare([Image.open(path).convert("RGB") for path in IMAGES])


def said(place, *words: object) -> list[str]:
    document = place.document("caption", "model", *IMAGES, "--max-new-tokens", 8, *words)
    assert document.keys() == {"captions"}
    assert [entry["image"] for entry in document["captions"]] == list(IMAGES)
    return [entry["caption"] for entry in document["captions"]]


def test_the_whole_model(place, model, pixels):
    assert said(place) == slow.vanilla_captions(model, pixels, GENERATION)


@pytest.mark.parametrize("layer", [0, 1, 2, -1, -3])
def test_a_layer(place, model, pixels, layer):
    with stopped_after(model, layer % 3):
        assert said(place, "--layer", layer) == slow.vanilla_captions(model, pixels, GENERATION)


@pytest.mark.parametrize(("head", "layer", "number"), [("0.3", 0, 3), ("2.0", 2, 0), ("-1.0", 2, 0)])
def test_a_head(place, model, pixels, head, layer, number):
    alone = slow.variant(model, "isolate", pixels, layer, number, False, GENERATION)
    assert said(place, "--head", head) == alone


def test_a_patch_and_a_layer_of_the_patched_model(scored, model, pixels):
    patch = load_patch(scored / "run/patch.safetensors")
    plain = said(scored), said(scored, "--layer", 1)
    for options, s in (
        (("--scale", "paper"), patch.coefficients("paper")),
        (("--scale", "none", "--prune", "count=4"), 0 * patch.coefficients()),
    ):
        with applied(model, s):
            whole = slow.vanilla_captions(model, pixels, GENERATION)
            with stopped_after(model, 1):
                layer = slow.vanilla_captions(model, pixels, GENERATION)
        words = ("--patch", "run/patch.safetensors", *options)
        assert (said(scored, *words), said(scored, *words, "--layer", 1)) == (whole, layer)
        assert (whole, layer) != plain


@pytest.mark.parametrize(
    ("options", "generation"),
    [(("--num-beams", 3), (3, 8, None)), (("--prompt", "word3 word4"), (1, 8, "word3 word4"))],
)
def test_beams_and_prompts(place, model, pixels, options, generation):
    found = said(place, *options)
    assert found == slow.vanilla_captions(model, pixels, Generation(*generation))
    assert found != said(place)


def test_batches_and_repeated_pictures_change_nothing(place):
    whole = said(place)
    assert said(place, "--batch-size", 1) == whole
    document = place.document("caption", "model", IMAGES[1], IMAGES[0], IMAGES[1], "--max-new-tokens", 8)
    assert [entry["caption"] for entry in document["captions"]] == [whole[1], whole[0], whole[1]]


def test_the_table_is_all_there_is_on_stdout(place):
    result = place.run("caption", "model", IMAGES[0], "--max-new-tokens", 3)
    lines = result.stdout.strip().splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines[0].split() == ["picture", "caption"] and lines[1].startswith("p0.png")


def test_bfloat16_is_taken(place, model, pixels):
    model.model.to(torch.bfloat16)
    expected = slow.vanilla_captions(model, pixels.to(torch.bfloat16), GENERATION)
    assert said(place, "--dtype", "bfloat16") == expected
