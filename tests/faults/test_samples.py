"""Samples that turn out to be of no use while the run works on them, and memory that runs out."""

from __future__ import annotations

import base64
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import headprune
from headprune.hooks.catalogue import catalogue
from headprune.patch.file import load_patch
from headprune.scoring.sweep import SweepPlan, sweep
from headprune.towers.batches import Batch
from tests.faults.harness import PATCH, STORE, Done, ForkServer, Truth, share

PICTURES = 20
MOST = PICTURES // 10
"""How many may be lost."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures."""
    folder = tmp_path_factory.mktemp("scenes")
    for number, sample in enumerate(headprune.open_dataset("demo").samples[:PICTURES]):
        sample.load().save(folder / f"p{number:02d}.png")
    return folder


def words(samples: int, model: str = "demo") -> tuple[object, ...]:
    scorer = ("--scorer", "exact", "--scorer-option", "against=reference") if model != "demo" else ()
    shape = ("--layers", "3", "--batch-size", 8, *scorer)
    return ("score", model, "--data", "scenes", "--samples", samples, *shape, "--out", "run")


def importances(run: Path) -> dict[tuple[str, int, int], float]:
    with closing(sqlite3.connect(run / STORE)) as store:
        query = "SELECT sample, layer, head, importance FROM weighed"
        return {row[:3]: row[3] for row in store.execute(query)}


def errors(run: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(run / STORE)) as store:
        return set(store.execute("SELECT kind, sample FROM errors WHERE sample IS NOT NULL"))


def same_as_the_others_alone(server: ForkServer, place: Path, lost: set[str], model: str = "demo") -> bool:
    """Whether the run is that of one on a folder without what was lost, by the samples' importances and their means."""
    alone = place / "alone"
    shutil.copytree(place / "scenes", alone / "scenes", ignore=lambda folder, names: lost & {*names})
    if model != "demo":
        (alone / model).symlink_to(place / model)
    done = server.run(words(PICTURES - len(lost), model), alone)
    assert done.code == 0, done.said
    here, there = importances(place / "run"), importances(alone / "run")
    patches = [load_patch(folder / "run" / PATCH) for folder in (place, alone)]
    return (
        here.keys() == there.keys()
        and np.allclose([here[key] for key in there], [*there.values()], atol=1e-6)
        and np.allclose(patches[0].alpha, patches[1].alpha, atol=1e-6, equal_nan=True)
        and {*patches[0].info.sample_ids} == {*patches[1].info.sample_ids}
    )


WAYS: Mapping[str, bytes | None] = {
    "removed": None,
    "empty": b"",
    "cut short": b"cut",
    "text": b"this was a picture once\n" * 40,
    "another one": b"another",
}


def broken(file: Path, way: str) -> str | None:
    """What becomes of a picture."""
    data = WAYS[way]
    if way == "cut short":
        data = file.read_bytes()[: file.stat().st_size // 2]
    elif way == "another one":
        upside_down = BytesIO()
        Image.open(file).rotate(180).save(upside_down, "PNG")
        data = upside_down.getvalue()
    return None if data is None else base64.b64encode(data).decode()


def last_drawn(place: Path) -> list[str]:
    """The pictures in the order they are worked on, the last first."""
    order = headprune.draw(headprune.open_dataset(str(place / "scenes")), PICTURES, 0)
    return [sample.id for sample in reversed(order.samples)]


@pytest.mark.parametrize("way", [*WAYS] if share(1, 0) else ["cut short", "another one"])
@pytest.mark.parametrize("number", [1, MOST, MOST + 1] if share(1, 0) else [MOST, MOST + 1])
def test_pictures_that_break(server: ForkServer, tally, scenes: Path, place: Path, way: str, number: int):
    counted = tally("picture")
    shutil.copytree(scenes, place / "scenes")
    lost = last_drawn(place)[:number]
    done = server.run(words(PICTURES), place, files={f"scenes/{name}": broken(scenes / name, way) for name in lost})
    counted.tell("pictures", number)
    if number <= MOST:
        told = errors(place / "run") == {("SampleError", name) for name in lost} if done.code == 0 else False
        right = told and same_as_the_others_alone(server, place, {*lost})
        counted.fault(told and all(name in done.said for name in lost), done.said, wrong=told and not right)
    else:
        # Mended, the run goes on, and ends as if nothing had been.
        shutil.copytree(scenes, place / "scenes", dirs_exist_ok=True)
        rest = server.run(words(PICTURES), place)
        whole = server.run((*words(PICTURES)[:-1], "whole"), place)
        same = rest.code == 0 and (place / "run" / PATCH).read_bytes() == (place / "whole" / PATCH).read_bytes()
        well = done.refuses(1) and "could not be worked on" in done.said and rest.code == whole.code == 0
        counted.fault(well, done.said + rest.said, wrong=rest.code == 0 and not same)
    counted.check()


def test_a_model_that_gives_nan_for_some_pictures(server: ForkServer, tally, place: Path):
    """White pictures overflow in the first layer norm of the tower; grey ones do not."""
    counted = tally("nan")
    model = nan_model(place)
    rng = np.random.default_rng(0)
    (place / "scenes").mkdir()
    for number in range(PICTURES):
        pixels = rng.integers(110, 130, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels if number % 9 else np.full_like(pixels, 255)).save(place / f"scenes/p{number:02d}.png")
    white = {f"p{number:02d}.png" for number in range(0, PICTURES, 9)}
    for name in sorted(white)[MOST:]:
        shutil.copy(place / "scenes/p01.png", place / "scenes" / name)
    lost = {*sorted(white)[:MOST]}
    done = server.run(words(PICTURES, model), place)
    told = done.code == 0 and errors(place / "run") == {("SampleError", name) for name in lost}
    counted.fault(told, done.said, wrong=told and not same_as_the_others_alone(server, place, lost, model))
    shutil.rmtree(place / "run", ignore_errors=True)
    for name in white:
        Image.new("RGB", (64, 64), "white").save(place / "scenes" / name)
    done = server.run(words(PICTURES, model), place)
    counted.fault(done.refuses(1) and "could not be worked on" in done.said, done.said, wrong=done.code == 0)
    counted.check()


def nan_model(place: Path) -> str:
    """The demo's model with a weight so large that the square of what it makes of white is too much for a float."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    from headprune import demo

    folder = Path(shutil.copytree(Path(demo.__file__).parent / "model", place / "model"))
    file = folder / "model.safetensors"
    with safe_open(file, "numpy") as opened:
        tensors, metadata = {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118
    (name,) = [name for name in tensors if name.endswith("patch_embedding.weight")]
    weight = tensors[name].astype(np.float32)
    weight[0] = 3e20 / weight[0].size
    tensors[name] = weight
    save_file(tensors, file, metadata)
    return "model"


def test_a_language_model_that_gives_nan_for_some_pictures(server: ForkServer, tally, scenes: Path, place: Path):
    """The tower's states are numbers; of what is said of them by its encoder, some are too large for the decoder."""
    counted = tally("nan")
    shutil.copytree(scenes, place / "scenes")
    model, lost = stumbling_model(place)
    done = server.run(words(PICTURES, model), place)
    told = done.code == 0 and errors(place / "run") == {("SampleError", name) for name in lost}
    counted.fault(told, done.said, wrong=told and not same_as_the_others_alone(server, place, lost, model))
    counted.check()


def stumbling_model(place: Path) -> tuple[str, set[str]]:
    """The demo's model with a weight so large that its language model stumbles over two of the pictures, by whatever
    head; which ones."""
    model = headprune.load_model("demo")
    weight = model.model.language_model.encoder.final_layer_norm.weight
    samples = headprune.open_dataset(str(place / "scenes")).samples
    low, high = 37.0, 38.5  # of the weight's decimal logarithm: it stumbles over none, and over many
    while True:
        assert high - low > 1e-6
        middle = (low + high) / 2
        with torch.no_grad():
            weight[0] = 10**middle
        lost = {sample.id for sample in samples if stumbles(model, sample)}
        if len(lost) == MOST:
            break
        low, high = (middle, high) if len(lost) < MOST else (low, middle)
    model.save(place / "model")
    return "model", lost


def stumbles(model: headprune.Adapter, sample: headprune.Sample) -> bool:
    isolate = catalogue().load("edit", "isolate").configured({})
    plan = SweepPlan((3,), (3,), isolate, headprune.DecodePoint.LAYER, headprune.Generation(), Batch(8, 1))
    try:
        sweep(model, [sample], plan, lambda captions: None)
    except headprune.SampleError:
        return True
    return False


NAN = """
import headprune, numpy as np

class Nan(headprune.Scorer):
    def score(self, batch):
        return [float("nan") if item.sample.endswith("7") else 0.5 for item in batch]
"""


def test_a_scorer_that_gives_nan(truth: Truth, tally, place: Path):
    counted = tally("nan")
    (place / "nan.py").write_text(NAN)
    ids = [sample.id for sample in headprune.draw(headprune.open_dataset("demo"), 6, 0).samples]
    (place / "nan.py").write_text(NAN.replace('"7"', repr(ids[0][-1])))
    done = truth.server.run(
        ("score", "demo", "--data", "demo", "--samples", 6, "--layers", 3, "--scorer", "./nan.py:Nan", "--out", "run"),
        place,
    )
    counted.fault(done.refuses(3), done.said, wrong=done.code == 0)
    counted.check()


@pytest.mark.parametrize("rows", [4, 1] if share(1, 0) else [3])
def test_memory_runs_out(truth: Truth, tally, place: Path, rows: int):
    """The allocator refuses more rows than that: less is done at once, and the patch is the same."""
    counted = tally("memory")
    done: Done = truth.again(place, memory=rows)
    said = done.code == 0 and "out of memory" in done.said
    counted.fault(said, done.said, wrong=done.code == 0 and (place / "run" / PATCH).read_bytes() != truth.patch)
    shutil.rmtree(place / "run")
    done = truth.again(place, memory=0)
    rest = truth.again(place)
    wrong = rest.code == 0 and (place / "run" / PATCH).read_bytes() != truth.patch
    counted.fault(done.refuses(1) and rest.code == 0, done.said + rest.said, wrong=wrong)
    counted.check()
