"""A sliced folder whose configuration was meddled with: one line that says so, never a traceback or another shape."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headprune import ModelError, load_model
from headprune.patch.export import export
from headprune.towers.load import outline_model

COEFFICIENTS = np.array([[0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]], np.float32)
WHOLE = [0, 1, 2, 3]


@pytest.fixture(scope="module")
def sliced_folder(tiny_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "sliced"
    export(load_model(str(tiny_folders["blip2-t5"])), COEFFICIENTS, folder, {}, "slice")
    return folder


@pytest.fixture
def meddle(sliced_folder: Path, tmp_path: Path) -> Callable[[Callable[[Any], object]], str]:
    """Give a copy of the folder whose configuration was changed."""

    def made(change: Callable[[Any], object]) -> str:
        shutil.copytree(sliced_folder, tmp_path / "model")
        config = json.loads((tmp_path / "model/config.json").read_text())
        change(config)
        (tmp_path / "model/config.json").write_text(json.dumps(config))
        return str(tmp_path / "model")

    return made


def refused(folder: str, opening: Callable[[str], object]) -> str:
    with pytest.raises(ModelError) as caught:
        opening(folder)
    assert "\n" not in caught.value.message and caught.value.hint
    return caught.value.message


def test_the_folder_itself_is_good(meddle):
    folder = meddle(lambda config: None)
    assert load_model(folder).geometry == outline_model(folder).geometry
    assert load_model(folder).geometry.heads_in == (3, 4, 0)
    assert outline_model(folder).parameters == load_model(folder).parameter_count()


@pytest.mark.parametrize("opening", [load_model, outline_model])
@pytest.mark.parametrize(
    "kept",
    [
        [[2, 1, 3], WHOLE, []],
        [[1, 1, 3], WHOLE, []],
        [[1, 2, 4], WHOLE, []],
        [[-1, 2, 3], WHOLE, []],
        [[1.0, 2, 3], WHOLE, []],
        [[True, 2, 3], WHOLE, []],
        [["1", 2, 3], WHOLE, []],
        [[[1], 2, 3], WHOLE, []],
        [[None, 2, 3], WHOLE, []],
        ["123", "0123", ""],
        [[1, 2, 3], WHOLE],
        [[1, 2, 3], WHOLE, [], []],
        [[1, 2, 3], WHOLE, None],
        [1, 2, 3],
        [],
        {"0": [1, 2, 3]},
        3,
        None,
    ],
    ids=str,
)
def test_heads_that_no_layer_has(meddle, kept, opening):
    refused(meddle(lambda config: config["headprune"].update(kept=kept)), opening)


@pytest.mark.parametrize("opening", [load_model, outline_model])
@pytest.mark.parametrize("heads", [5, 0, -1, "4", None, 4.0, True, [4], [3, 4, 0]], ids=str)
def test_a_number_of_heads_that_makes_no_sense(meddle, heads, opening):
    refused(meddle(lambda config: config["headprune"].update(heads=heads)), opening)


@pytest.mark.parametrize("opening", [load_model, outline_model])
@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["headprune"].pop("heads"),
        lambda config: config["headprune"].pop("kept"),
        lambda config: config.pop("headprune"),
        lambda config: config.update(headprune=[1]),
        lambda config: config.update(headprune={}),
        lambda config: config.update(headprune="all"),
        lambda config: config.pop("vision_config"),
        lambda config: config.update(vision_config=3),
        lambda config: config.update(model_type="blip-2"),
        lambda config: config.update(model_type="headprune-mistral"),
        lambda config: config.update(model_type="headprune-headprune-blip-2"),
    ],
)
def test_a_record_that_is_damaged(meddle, change, opening):
    refused(meddle(change), opening)


@pytest.mark.parametrize(
    "record",
    [
        {"kept": [[1, 2], WHOLE, []]},
        {"kept": [WHOLE, WHOLE, []]},
        {"kept": [[1, 2, 3], [0, 1, 2], []]},
        {"kept": [[1, 2, 3], WHOLE, [0]]},
        {"kept": [WHOLE, WHOLE, WHOLE]},
        {"kept": [[], [], []], "heads": -4},
        {"heads": 8},
        {"heads": 2, "kept": [[0], [0, 1], []]},
    ],
    ids=str,
)
def test_weights_of_other_shapes_than_the_record_says(meddle, record):
    refused(meddle(lambda config: config["headprune"].update(record)), load_model)


def test_code_in_the_folder_is_not_run_by_headprune(meddle, tmp_path):
    folder = meddle(lambda config: None)
    code = Path(folder) / "modeling_headprune.py"
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert load_model(folder).geometry.heads_in == (3, 4, 0)
    assert not (tmp_path / "ran").exists()
