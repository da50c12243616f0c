"""Results on disk: what comes back, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from headprune.errors import HeadpruneError
from headprune.runs.result import load_result, save_result


@dataclass
class Part:
    name: str
    numbers: np.ndarray


def test_what_was_saved_comes_back(tmp_path):
    table = np.array([[1.5, np.nan], [0.1, -2]])
    save_result(tmp_path, {"parts": (Part("a", table), Part("b", np.arange(3))), "none": None, "words": ["x", "é"]})
    found = load_result(tmp_path)
    assert found["none"] is None and found["words"] == ["x", "é"]
    np.testing.assert_array_equal(found["parts"][0]["numbers"], table)
    assert found["parts"][0]["numbers"].dtype == np.float64
    np.testing.assert_array_equal(found["parts"][1]["numbers"], [0, 1, 2])


def test_json_holds_no_arrays(tmp_path):
    save_result(tmp_path, Part("a", np.zeros(1000)))
    assert json.loads((tmp_path / "result.json").read_text()) == {"name": "a", "numbers": {"tensor": "numbers"}}


def test_a_number_that_is_not_finite_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        save_result(tmp_path, {"mean": float("nan")})
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "result.json").unlink(),
        lambda folder: (folder / "result.json").write_text("{"),
        lambda folder: (folder / "result.json").write_text("[" * 100_000),
        lambda folder: (folder / "tensors.safetensors").unlink(),
        lambda folder: (folder / "tensors.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}"),
        lambda folder: (folder / "result.json").write_text('{"numbers": {"tensor": "others"}}'),
        lambda folder: (folder / "result.json").write_text('{"numbers": {"tensor": ["numbers"]}}'),
        lambda folder: os.truncate(folder / "result.json", 2**40),
        lambda folder: os.truncate(folder / "tensors.safetensors", 2**40),
        lambda folder: (folder / "tensors.safetensors").unlink() or os.mkfifo(folder / "tensors.safetensors"),
        lambda folder: (folder / "tensors.safetensors").write_bytes(pickle.dumps({"numbers": [0, 0, 0]})),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, spoil):
    save_result(tmp_path, Part("a", np.zeros(3)))
    spoil(tmp_path)
    with pytest.raises(HeadpruneError, match=str(tmp_path)):
        load_result(tmp_path)
