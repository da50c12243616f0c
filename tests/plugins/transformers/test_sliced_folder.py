"""The folder of a sliced model, in new processes: loaded three ways, and by no way that draws weights at random."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from headprune import Adapter, Generation, applied, load_model
from headprune.patch.export import export
from tests.conftest import FAMILIES
from tests.support import slow

GENERATION = Generation(max_new_tokens=8)
COEFFICIENTS = np.array([[0, 1, 2.5, 0.3], [1, 1, 1, 1], [0, 0, 0, 0]], np.float32)

# What the processes share: captions by the model's own generate and a digest of each weight; loading as the folder's
# own code does it.
COMMON = """
import hashlib, json, sys
from pathlib import Path
work = Path(sys.argv[1])
pictures = sorted(work.glob("*.png"))

def answers(model, processor, prompt):
    import torch
    from PIL import Image
    images = [Image.open(path).convert("RGB") for path in pictures]
    text = {} if prompt is None else {"text": [prompt] * len(images)}
    if prompt is None:
        inputs = processor.image_processor(images=images, return_tensors="pt")
    else:
        inputs = processor(images=images, return_tensors="pt", **text)
    tokens = model.eval().generate(**inputs, max_new_tokens=8)
    said = [caption.strip() for caption in processor.batch_decode(tokens, skip_special_tokens=True)]
    digests = {
        name: hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        for name, tensor in model.state_dict().items()
    }
    return {"said": said, "weights": digests, "class": type(model).__name__, "module": type(model).__module__}

prompts = {"blip2-t5": None, "blip2-opt": None, "instructblip": "A short image description."}

def without_headprune(where):
    sys.modules["headprune"] = sys.modules["headprune_transformers"] = None
    from transformers import AutoModelForImageTextToText, AutoProcessor
    for family, prompt in prompts.items():
        folder = str(work / where / family)
        model = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=True)
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
        yield family, model, processor, answers(model, processor, prompt)
    assert not any(name.split(".")[0].startswith("headprune") for name, module in sys.modules.items() if module)
"""

FIRST = """
sys.modules["headprune"] = sys.modules["headprune_transformers"] = None
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText
vanilla = {}
for family in prompts:
    folder = str(work / "sliced" / family)
    name = "InstructBlip" if family == "instructblip" else "Blip2"
    own, base, tower = (
        getattr(transformers, name + part) for part in ("ForConditionalGeneration", "Model", "VisionModel")
    )
    mismatched = {"ignore_mismatched_sizes": True}
    ways = {
        "auto, not asked": lambda: AutoModelForImageTextToText.from_pretrained(folder),
        "auto, no trust": lambda: AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=False),
        "auto, no trust, mismatched": lambda: AutoModelForImageTextToText.from_pretrained(
            folder, trust_remote_code=False, **mismatched
        ),
        "another auto class": lambda: AutoModel.from_pretrained(folder),
        "another auto class, trusted": lambda: AutoModel.from_pretrained(folder, trust_remote_code=True),
        "configuration": lambda: AutoConfig.from_pretrained(folder, trust_remote_code=False),
        "own": lambda: own.from_pretrained(folder),
        "own, mismatched": lambda: own.from_pretrained(folder, **mismatched),
        "own configuration": lambda: own.config_class.from_pretrained(folder),
        "own base": lambda: base.from_pretrained(folder, **mismatched),
        "own tower": lambda: tower.from_pretrained(folder, **mismatched),
    }
    vanilla[family] = {}
    for way, load in ways.items():
        try:
            vanilla[family][way] = f"LOADED {type(load()).__name__}"
        except Exception as error:
            vanilla[family][way] = f"{type(error).__name__}: {error}"
trusted = {}
for family, model, processor, found in without_headprune("sliced"):
    trusted[family] = found
    model.save_pretrained(work / "again" / family)
    processor.save_pretrained(work / "again" / family)
print("\\n" + json.dumps({"vanilla": vanilla, "trusted": trusted}))
"""

SECOND = """
trusted = {family: found for family, _, _, found in without_headprune("again")}
del sys.modules["headprune"], sys.modules["headprune_transformers"]
import headprune
ours = {}
for family, prompt in prompts.items():
    adapter = headprune.load_model(str(work / "sliced" / family))
    ours[family] = answers(adapter.model, adapter.processor, prompt)
print("\\n" + json.dumps({"trusted": trusted, "ours": ours}))
"""


@pytest.fixture(scope="module")
def models(tiny_folders: dict[str, Path]) -> dict[str, Adapter]:
    return {family: load_model(str(tiny_folders[family])) for family in FAMILIES}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Adapter], pictures) -> Path:
    """Pictures, and a sliced model of each family in `sliced`."""
    work = tmp_path_factory.mktemp("work")
    for number, picture in enumerate(pictures):
        picture.save(work / f"p{number}.png")
    for family, adapter in models.items():
        export(adapter, COEFFICIENTS, work / "sliced" / family, {}, "slice")
    return work


def process(code: str, work: Path) -> dict[str, Any]:
    """Run `code` in a process of its own, which has nobody to ask and no place but `work` to put code in."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(work / "home")}
    environment.pop("HF_MODULES_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", COMMON + code, str(work)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300, cwd=work, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def expected_of(adapter: Adapter, folder: Path, pictures) -> dict[str, Any]:
    """What a loaded folder must say, by the patched model in this process, and the weights that the file holds."""
    with applied(adapter, COEFFICIENTS):
        said = slow.vanilla_captions(adapter, adapter.prepare(pictures), GENERATION)
    weights = {
        name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    return {"said": said, "weights": weights}


def check(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["said"] == expected["said"]
    assert len(expected["weights"]) > 100
    # Tied weights stand in the file once.
    assert found["weights"].keys() >= expected["weights"].keys()
    assert {name: found["weights"][name] for name in expected["weights"]} == expected["weights"]


def test_no_way_draws_weights_at_random_and_all_others_say_the_same(models, work, pictures):
    """One test, so that the two processes, slow to start, are started once."""
    first, second = process(FIRST, work), process(SECOND, work)
    for family, adapter in models.items():
        nothing_loaded(family, first["vanilla"][family])
        expected = expected_of(adapter, work / "sliced" / family, pictures)
        for found in (first["trusted"][family], second["trusted"][family]):
            check(found, expected)
            assert found["module"].startswith("transformers_modules.") and found["class"].startswith("Sliced")
        check(second["ours"][family], expected)
        assert second["ours"][family]["module"].startswith("headprune_transformers.")
        saved_once_more_is_the_same(work / "sliced" / family, work / "again" / family)
        again = load_model(str(work / "again" / family))
        assert slow.vanilla_captions(again, adapter.prepare(pictures), GENERATION) == expected["said"]


def nothing_loaded(family: str, ways: dict[str, str]) -> None:
    assert not [way for way, end in ways.items() if end.startswith("LOADED")], (family, ways)
    assert "trust_remote_code" in ways["auto, not asked"] and "trust_remote_code" in ways["auto, no trust"]
    for way in ("own", "own, mismatched", "own configuration", "own base", "own tower"):
        assert "num_attention_heads" in ways[way], (family, way, ways[way])


def saved_once_more_is_the_same(folder: Path, again: Path) -> None:
    code = "modeling_headprune.py"
    assert (again / code).read_bytes() == (folder / code).read_bytes()
    one, other = (json.loads((path / "config.json").read_text()) for path in (folder, again))
    assert one["headprune"] == other["headprune"] == {"heads": 4, "kept": [[1, 2, 3], [0, 1, 2, 3], []]}
    for part in ("vision_config", "model_type", "architectures"):
        assert one[part] == other[part]
    assert one["vision_config"]["num_attention_heads"] == [3, 4, 0]


def test_the_code_beside_the_weights_needs_torch_and_transformers_only(work):
    for family in FAMILIES:
        text = (work / "sliced" / family / "modeling_headprune.py").read_text(encoding="utf-8")
        imported = {
            line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))
        }
        assert imported <= {"__future__", "collections", "dataclasses", "functools", "sys", "typing", "warnings",
                            "torch", "transformers"}  # fmt: skip
        assert compile(text, "modeling_headprune.py", "exec")
