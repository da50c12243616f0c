"""Every perspective's command on every supported family, before and after a patch, figures and all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headprune import load_model, save_patch
from headprune.jobs.perspectives.frame import perform, settled
from headprune.perspectives.run import KINDS, load_run
from headprune.recipes import resolve
from tests.support.patches import patch_for
from tests.support.zoo import ZOO

SETTINGS = {
    "samples": 2,
    "scorer": "exact",
    "scorer_options": {"against": "reference"},
    "generation": {"max_new_tokens": 4},
    "evaluate": {"scorer": "rouge", "convergence_scorer": "exact"},
    "lesion": {"together": ["0-1"], "means": "all"},
    "apply": {"scale": "none", "prune": "count=1"},
}


@pytest.fixture(scope="module", params=ZOO)
def known(request):
    return ZOO[request.param]


@pytest.fixture(scope="module")
def place(known, tmp_path_factory) -> Path:
    """A folder with the model, pictures of all its sizes with captions, and a patch that silences a head a layer."""
    folder = tmp_path_factory.mktemp("zoo")
    known.build(folder / "model")
    (folder / "data").mkdir()
    rows = []
    for number, picture in enumerate(known.pictures()):
        picture.save(folder / "data" / f"p{number}.png")
        rows.append(json.dumps({"file_name": f"p{number}.png", "captions": [f"word{number}", "word9"]}) + "\n")
    (folder / "data" / "metadata.jsonl").write_text("".join(rows))
    adapter = load_model(str(folder / "model"))
    importance = np.random.default_rng(0).random((known.layers, known.heads))
    save_patch(patch_for(adapter, importance), folder / "patch.safetensors")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_perspective_looks_at_every_family(known, place, kind, tmp_path):
    from importlib import import_module

    perspective = getattr(import_module(f"headprune.jobs.perspectives.{kind}"), f"{kind.capitalize()}Perspective")
    named = {"model": str(place / "model"), "data": str(place / "data")}
    # Convergence is towards the last layer that the model reads; heads are drawn one by one.
    layers = {"convergence": f"0-{known.layers - known.dead - 1}", "heads": "1"}.get(kind, "0-1")
    recipe = settled(perspective, resolve(None, {**SETTINGS, **named, "layers": layers}))
    looked = perspective(recipe)
    done = perform(looked, tmp_path / "run", place / "patch.safetensors")
    run = load_run(tmp_path / "run")
    assert run.info == done.info and len(run.info.samples) == 2
    assert len(run.info.patch.silent) == known.layers
    before, after = looked.document(run.before), looked.document(run.after)
    assert json.dumps(before) != json.dumps(after) or kind in SAME, "a patch changed nothing"
    assert [*(tmp_path / "run").glob("*.png")]


SAME = {"layers", "convergence", "lesion", "concreteness", "heads"}
"""What is said may stay the same when a head of a tiny random model is silent; where it looks and what it adds not."""
