"""The patch file: the same bytes, and nothing read that is not a patch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from headprune import load_patch, save_patch
from headprune.errors import DataError, PatchError
from tests.support.patches import patch_of

IMPORTANCE = [[0.1, 0.5, 0.2], [0.9, 0.3, 0.4]]


def test_round_trip_and_equal_bytes(tmp_path: Path):
    for name in "ab":
        save_patch(patch_of(IMPORTANCE, layers=[1]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = load_patch(tmp_path / "a")
    assert again.info == patch_of(IMPORTANCE).info
    np.testing.assert_array_equal(again.alpha, patch_of(IMPORTANCE, layers=[1]).alpha)
    assert again.digest() == patch_of(IMPORTANCE, layers=[1]).digest() != patch_of(IMPORTANCE).digest()


def damaged(tmp_path: Path, **tensors) -> Path:
    save_patch(patch_of(IMPORTANCE), tmp_path / "good")
    from safetensors import safe_open

    with safe_open(tmp_path / "good", "numpy") as file:
        metadata = file.metadata()
    save_file({**load_file(tmp_path / "good"), **tensors}, tmp_path / "bad", metadata)
    return tmp_path / "bad"


@pytest.mark.parametrize("size", [0, 4, 150, -5])
def test_truncated(tmp_path: Path, size):
    save_patch(patch_of(IMPORTANCE), tmp_path / "good")
    (tmp_path / "bad").write_bytes((tmp_path / "good").read_bytes()[:size])
    with pytest.raises(PatchError, match="cannot be read"):
        load_patch(tmp_path / "bad")


def test_not_safetensors(tmp_path: Path):
    (tmp_path / "bad").write_bytes(b"PK\x03\x04" * 100)
    with pytest.raises(PatchError):
        load_patch(tmp_path / "bad")


def test_safetensors_but_no_patch(tmp_path: Path):
    save_file({"weight": np.ones(3, np.float32)}, tmp_path / "bad")
    with pytest.raises(PatchError, match="no patch"):
        load_patch(tmp_path / "bad")


def test_nan_where_it_is_applied(tmp_path: Path):
    scale = patch_of(IMPORTANCE).scale.copy()
    scale[0, 1] = np.nan
    with pytest.raises(PatchError, match="not finite"):
        load_patch(damaged(tmp_path, scale=scale))


def test_shapes_that_disagree(tmp_path: Path):
    with pytest.raises(PatchError, match="alpha"):
        load_patch(damaged(tmp_path, alpha=np.ones((3, 3), np.float32)))


def test_another_dtype(tmp_path: Path):
    with pytest.raises(PatchError, match="float64"):
        load_patch(damaged(tmp_path, alpha=np.ones((2, 3))))


@pytest.mark.parametrize("change", [{"format": 99}, {"surprise": 1}, {"model": None}])
def test_metadata_of_another_format(tmp_path: Path, change):
    patch = patch_of(IMPORTANCE)
    document = json.dumps({**json.loads(patch.info.canonical()), **change})
    tensors = {name: getattr(patch, name) for name in ("importance", "alpha", "scale", "samples")}
    save_file(tensors, tmp_path / "bad", {"headprune": document})
    with pytest.raises(PatchError):
        load_patch(tmp_path / "bad")


def test_missing(tmp_path: Path):
    with pytest.raises(DataError, match="not there"):
        load_patch(tmp_path / "none")


def test_a_number_that_was_changed_is_seen(tmp_path: Path):
    scale = patch_of(IMPORTANCE).scale.copy()
    scale[0, 1] += 0.25
    with pytest.raises(PatchError, match="is not what was written"):
        load_patch(damaged(tmp_path, scale=scale))


def test_metadata_that_was_changed_is_seen(tmp_path: Path):
    save_patch(patch_of(IMPORTANCE), tmp_path / "good")
    data = (tmp_path / "good").read_bytes()
    assert data.count(rb"\"seed\":0") == 1
    (tmp_path / "bad").write_bytes(data.replace(rb"\"seed\":0", rb"\"seed\":1"))
    with pytest.raises(PatchError, match="is not what was written"):
        load_patch(tmp_path / "bad")


def test_a_patch_of_before_digests_is_read(tmp_path: Path):
    patch = patch_of(IMPORTANCE)
    tensors = {name: getattr(patch, name) for name in ("importance", "alpha", "scale", "samples")}
    save_file(tensors, tmp_path / "old", {"headprune": patch.info.canonical()})
    assert load_patch(tmp_path / "old").digest() == patch.digest()
