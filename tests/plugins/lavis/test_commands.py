"""The commands on LAVIS models, and what they refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from headprune import ModelError, load_model
from headprune.perspectives.run import KINDS
from tests.cli.conftest import Place
from tests.plugins.lavis import slow
from tests.support.tiny_lavis import MODELS

MODEL = "lavis:blip2_t5/t5-eva"
CLIP = "lavis:blip2_opt/opt-clip"
SCORE = ("--data", "data", "--scorer", "./overlap.py:Overlap", "--max-new-tokens", 6)
BOTH = pytest.mark.parametrize("model", [MODEL, CLIP])


@BOTH
def test_score_apply_evaluate_and_caption(lavis_place: Place, model: str):
    place = lavis_place
    scored = place.document("score", model, *SCORE, "--samples", 2, "--edit", "ablate", "--out", "run")
    assert len(scored["layers"]) == 3 and len(scored["layers"][0]["alpha"]["mean"]) == 4
    rule = ("--scale", "none", "--prune", "fraction=0.5")
    said = place.document("caption", model, "data/p0.png", "data/p1.png", "--patch", "run/patch.safetensors", *rule)
    measured = ("--data", "data", "--exclude", "run", "--json")
    before = place.run(
        "evaluate", model, "--data", "data", "--patch", "run/patch.safetensors", *rule, "--random", 0, "--json"
    )
    assert before.exit_code == 0, before.stderr
    for how in ("fold", "slice"):
        made = place.document("apply", model, "run/patch.safetensors", *rule, "--how", how, "--out", how)
        assert (made["parameters_after"] < made["parameters_before"]) == (how == "slice")
        # The folder is a MODEL, with no `lavis:` before it.
        assert place.document("caption", how, "data/p0.png", "data/p1.png")["captions"] == said["captions"]
        after = place.run("evaluate", how, *measured)
        assert after.exit_code == 0, after.stderr
        assert json.loads(after.stdout)["before"]["score"] == json.loads(before.stdout)["after"]["score"]
    layer = place.document("caption", model, "data/p0.png", "--layer", 0)
    head = place.document("caption", model, "data/p0.png", "--head", "0.1")
    assert layer["captions"] != said["captions"] and head["captions"]


@BOTH
def test_every_perspective_and_their_report(lavis_place: Place, model: str):
    place = lavis_place
    place.document("score", model, *SCORE, "--samples", 2, "--out", "run")
    patched = ("--patch", "run/patch.safetensors", "--prune", "count=1")
    exact = ("--scorer", "exact", "--scorer-option", "against=reference")
    scorers = {"convergence": (*exact, "--convergence-scorer", "exact"), "layers": exact, "lesion": exact}
    for kind in KINDS:
        words = ("--data", "data", "--samples", 2, "--max-new-tokens", 6, *scorers.get(kind, ()), *patched)
        found = place.document(kind, model, *words, "--out", kind)
        assert found["before"] and found["after"]
    assert place.document("report", "run", *KINDS, "--out", "report.html")["pictures"] == 2


def test_truncated_pictures_are_refused_beside_lavis(lavis_place: Place):
    """LAVIS tells Pillow to fill them up."""
    whole = (lavis_place / "data/p0.png").read_bytes()
    (lavis_place / "cut.png").write_bytes(whole[: len(whole) // 2])
    assert "cut.png" in lavis_place.refuses(1, "caption", MODEL, "data/p0.png", "cut.png")


@pytest.mark.parametrize("scorer", ["logit", "gradient"])
def test_scorers_without_text(lavis_place: Place, scorer: str):
    edit = ("--edit", "ablate") if scorer == "logit" else ()
    words = ("--data", "data", "--scorer", scorer, "--samples", 2, "--max-new-tokens", 6, *edit)
    found = lavis_place.document("score", CLIP, *words, "--out", "run")
    means = [row["importance"]["mean"] for row in found["layers"]]
    assert len({round(value, 9) for row in means for value in row}) == 12


def test_bertscore_beside_transformers_4(lavis_place: Place):
    words = ("--data", "demo", "--scorer", "bertscore", "--samples", 2, "--layers", "0", "--max-new-tokens", 6)
    found = lavis_place.document("score", MODEL, *words, "--out", "run")
    assert all(0 < value <= 1 for value in found["layers"][0]["importance"]["mean"])


def test_a_dry_run_loads_nothing(lavis_place: Place, zoo: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "load", None)
    found = lavis_place.document("score", MODEL, *SCORE, "--samples", 2, "--dry-run")
    assert found["geometry"]["layers"] == 3 and found["geometry"]["heads"] == 4
    assert not (lavis_place / "run").exists()


def test_it_is_in_the_list(lavis_place: Place):
    offers = {offer["name"]: offer for offer in lavis_place.document("plugins", "list")["offers"]}
    assert offers["lavis"]["needs"] == [] and offers["lavis"]["kind"] == "adapter"
    assert offers["transformers"]["needs"] == ["transformers>=5.23"]


def test_models_of_transformers_need_another_environment(lavis_place: Place):
    for model in ("demo", "transformers:data", "owner/model"):
        said = lavis_place.refuses(3, "caption", model, "data/p0.png")
        assert "adapter 'transformers' needs transformers>=5.23" in said


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ("nope", "LAVIS has no model 'nope'"),
        ("nope/base", "LAVIS has no model 'nope'"),
        ("blip2_t5", "blip2_t5 needs a type"),
        ("blip2_t5/none", "has no type 'none'"),
        ("blip_caption/base_coco", "blip_caption is not supported: only BLIP-2's towers eva_clip_g and clip_L are"),
        ("clip/ViT-L-14", "clip is not supported"),
        ("blip2_image_text_matching/pretrain", "says nothing; blip2/TYPE has the same weights"),
        ("data", "data holds no lavis.json"),
        ("blip2_t5/pretrain_flant5xl", "cannot be loaded"),
    ],
)
def test_what_cannot_be_loaded(lavis_place: Place, ref: str, told: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    said = lavis_place.refuses(1, "caption", f"lavis:{ref}", "data/p0.png")
    assert told in said


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--dtype", "float16"), "runs in float32, not float16"),
        (("--revision", "main"), "--revision means nothing to LAVIS"),
        (("--device", "toaster"), "no device 'toaster'"),
    ],
)
def test_options_that_lavis_does_not_have(lavis_place: Place, option: tuple[str, str], told: str):
    assert told in lavis_place.refuses(1, "caption", MODEL, "data/p0.png", *option)


def test_no_device_map(lavis_place: Place):
    words = ("score", MODEL, *SCORE, "--samples", 2, "--out", "run", "--device-map", "auto")
    assert "--device-map means nothing to LAVIS" in lavis_place.refuses(1, *words)


@pytest.fixture
def other(zoo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Gives the zoo's t5-eva another checkpoint."""
    from lavis.models import Blip2T5
    from omegaconf import OmegaConf

    def checkpoint(content: object) -> None:
        torch.save(content, tmp_path / "other.pth")
        whole = OmegaConf.load(zoo / "t5-eva.yaml")
        whole.model.finetuned = str(tmp_path / "other.pth")
        OmegaConf.save(whole, tmp_path / "other.yaml")
        known = {**Blip2T5.PRETRAINED_MODEL_CONFIG_DICT, "other": str(tmp_path / "other.yaml")}
        monkeypatch.setattr(Blip2T5, "PRETRAINED_MODEL_CONFIG_DICT", known)

    monkeypatch.chdir(zoo)
    return checkpoint


def test_a_checkpoint_that_is_not_whole(other, zoo: Path):
    weights = torch.load(zoo / "t5-eva.pth")["model"]
    del weights["t5_proj.weight"]
    other({"model": weights})
    with pytest.raises(ModelError, match=r"lacks weights: \['t5_proj.weight'\]"):
        load_model("lavis:blip2_t5/other")


def test_a_pickle_is_read_for_its_tensors_only(other, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "opened",)

    other({"model": {"t5_proj.weight": Trap()}})
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model("lavis:blip2_t5/other")
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(ModelError, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set"):
        load_model("lavis:blip2_t5/other")
    assert not (tmp_path / "opened").exists()


@pytest.fixture
def exported(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a whole model."""
    monkeypatch.chdir(zoo)
    adapter = load_model(MODEL)
    (tmp_path / "out").mkdir()
    adapter.save(tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("damage", ["missing", "other shape", "superfluous", "none", "truncated"])
def test_weights_that_are_not_the_models(exported: Path, damage: str):
    file = exported / "model.safetensors"
    tensors = load_file(file)
    if damage == "missing":
        del tensors["t5_proj.bias"]
    elif damage == "other shape":
        tensors["t5_proj.bias"] = tensors["t5_proj.bias"][:5].clone()
    elif damage == "superfluous":
        tensors["more"] = torch.ones(2)
    save_file(tensors, file)
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    if damage == "none":
        file.unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(exported))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"arch": 3, "model": {}}', '{"arch": "blip2_t5", "model": 1}'])
def test_a_description_that_is_none(exported: Path, content: str):
    (exported / "lavis.json").write_text(content)
    with pytest.raises(ModelError, match=r"lavis.json cannot be read"):
        load_model(str(exported))


def test_a_large_model_is_saved_in_parts(exported: Path, tmp_path: Path, pictures, monkeypatch: pytest.MonkeyPatch):
    from headprune_lavis import folder

    whole = load_model(str(exported))
    monkeypatch.setattr(folder, "_PART", "100KB")
    (tmp_path / "parts").mkdir()
    whole.save(tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 2
    again = load_model(str(tmp_path / "parts"))
    weights = whole.model.state_dict()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in again.model.state_dict().items())


# Where headprune is not installed: the lines of the model card, and LAVIS. The towers are small there, too.
ALONE = """
import json, sys
for name in ("headprune", "headprune_lavis", "headprune_transformers"):
    sys.modules[name] = None
{helped}
from tests.support.tiny_lavis import small_towers
with small_towers():
    {lines}
import torch
from pathlib import Path
from PIL import Image
pixels = torch.stack([vis_processor(Image.open(path).convert("RGB")) for path in sorted(Path("data").glob("*.png"))])
prefix = 0 if hasattr(model, "prompt") else 1
said = model.generate({{"image": pixels}}, num_beams=1, max_length=6 + prefix, min_length=0)
print(json.dumps([caption.strip() for caption in said]))
"""


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_a_sliced_folder_loads_without_headprune(lavis_place: Place, pictures, number: int):
    import numpy as np

    from headprune import Generation, export

    name, (arch, _) = list(MODELS.items())[number]
    adapter = load_model(f"lavis:{arch}/{name}")
    s = np.array([[0, 1, 2.5, 0.3], [1, 1, 1, 1], [0, 0, 0, 0]], np.float32)
    export(adapter, s, "out", {}, "slice")
    again = load_model("out")
    lines = again.loading().replace("FOLDER", "'out'").replace("\n", "\n    ")
    # What the folder's own code does before it builds: here the towers are made small before that.
    helped = "sys.path.insert(0, 'out'); from load_lavis import import_lavis; import_lavis()"
    script = ALONE.format(lines=lines, helped=helped)
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = slow.vanilla_captions(again.model, again.prepare(pictures), Generation(max_new_tokens=6))
    assert json.loads(done.stdout.splitlines()[-1]) == said
