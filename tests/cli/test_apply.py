"""headprune apply: the folder it writes is a MODEL again, and needs no headprune."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from headprune import Generation, applied, load_model, load_patch
from headprune.patch.prune import PruneRule, choose_pruned, head_list
from tests.support import slow


@pytest.fixture
def folded(scored):
    """`folded`, exported from the run with one head of each layer pruned; its document."""
    return scored.document("apply", "model", "run/patch.safetensors", "--out", "folded", "--prune", "count=1")


def test_the_document(scored, folded):
    patch = load_patch(scored / "run/patch.safetensors")
    lowest = head_list(choose_pruned(patch, PruneRule("count", 1)))
    assert folded == {
        "out": "folded",
        "how": "fold",
        "scale": "mean-one",
        "pruned": [list(head) for head in lowest],
        "parameters_before": 97504,
        "parameters_after": 97504,
    }
    assert [layer for layer, _ in lowest] == [0, 1, 2]


def test_the_record_beside_the_weights(scored, folded):
    record = json.loads((scored / "folded/headprune.json").read_text())
    patch = load_patch(scored / "run/patch.safetensors")
    assert (record["base"], record["patch"], record["prune"]) == ("model", patch.digest(), "count=1")
    assert record["pruned"] == folded["pruned"]
    assert not list((scored / "folded").glob("*.bin"))


def test_the_folder_is_the_patched_model(scored, folded, pictures):
    patch = load_patch(scored / "run/patch.safetensors")
    pruned = np.zeros((3, 4), bool)
    pruned[tuple(zip(*folded["pruned"], strict=True))] = True
    base, again = load_model("model"), load_model("folded")
    for layer, s in enumerate(torch.tensor(patch.coefficients("mean-one", pruned))):
        weight = base.sites[layer].output.weight * s.repeat_interleave(8)
        torch.testing.assert_close(again.sites[layer].output.weight, weight, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(again.sites[layer].output.bias, base.sites[layer].output.bias, atol=0, rtol=0)
    pixels = base.prepare(pictures)
    with applied(base, patch.coefficients("mean-one", pruned)):
        said = slow.vanilla_captions(base, pixels, Generation(max_new_tokens=8))
    assert slow.vanilla_captions(again, pixels, Generation(max_new_tokens=8)) == said
    assert slow.vanilla_captions(base, pixels, Generation(max_new_tokens=8)) != said


def test_the_folder_is_a_model_again(scored, folded, score):
    images = [f"data/p{number}.png" for number in range(3)]
    by_hook = scored.document(
        "caption", "model", *images, "--patch", "run/patch.safetensors", "--prune", "count=1", "--max-new-tokens", 9
    )
    assert scored.document("caption", "folded", *images, "--max-new-tokens", 9) == by_hook
    assert scored.document("caption", "model", *images, "--max-new-tokens", 9) != by_hook
    again = scored.document(score[0], "folded", *score[2:], "--samples", 2, "--out", "again")
    assert again["decoded"] == 2 * 3 * (4 + 1)
    # A pruned head says nothing: left alone, it is its layer without any head, whatever the picture.
    assert (
        load_patch(scored / "again/patch.safetensors").info.model.fingerprint
        != load_patch(scored / "run/patch.safetensors").info.model.fingerprint
    )
    assert scored.run("apply", "folded", "run/patch.safetensors", "--out", "twice").exit_code == 4


@pytest.mark.parametrize(
    ("options", "mean"),
    [(("--scale", "mean-one"), 1), (("--scale", "paper"), 0.25), (("--scale", "none"), 1)],
)
def test_scales(scored, options, mean):
    document = scored.document("apply", "model", "run/patch.safetensors", "--out", "out", *options)
    assert document["pruned"] == [] and document["scale"] == options[1]
    base, out = (load_model(name).sites[1].output.weight.detach() for name in ("model", "out"))
    ratios = (out / base).view(32, 4, 8).mean(dim=(0, 2))
    torch.testing.assert_close(ratios.mean(), torch.tensor(float(mean)), atol=1e-4, rtol=1e-4)
    assert (options[1] == "none") == bool(torch.equal(out, base))


def test_the_table_names_the_pruned_heads(scored):
    result = scored.run("apply", "model", "run/patch.safetensors", "--out", "out", "--prune", "fraction=0")
    assert result.exit_code == 0
    assert "pruned heads (layer.head, 0-based): none" in result.stdout
    assert "97,504, unchanged by folding" in result.stdout
    assert result.stderr.splitlines() == ["wrote model: out"]


def test_an_empty_folder_that_is_there_is_filled(scored):
    (scored / "out").mkdir()
    scored.document("apply", "model", "run/patch.safetensors", "--out", "out")
    assert (scored / "out/model.safetensors").is_file()
