"""The patch file: the same bytes, and nothing read that is not a patch."""

from __future__ import annotations

import gzip
import json
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from headprune import load_patch, save_patch
from headprune.errors import DataError, PatchError
from headprune.patch.file import LARGEST, LONGEST_HEADER
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


@pytest.mark.parametrize(
    ("content", "called"),
    [
        (b"PK\x03\x04" * 100, "a zip archive, as PyTorch's"),
        (pickle.dumps({"scale": [1]}), "a pickle, which could run any code"),
        # Not the time of day: it would be in the test's name, which all workers have to agree on.
        (gzip.compress(b"patch", mtime=0), "a gzip archive"),
        (tarfile.TarInfo("patch").tobuf(), "a tar archive"),
        (b"neither", "cannot be read as safetensors"),
    ],
)
def test_not_safetensors(tmp_path: Path, content: bytes, called: str):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(PatchError, match=called):
        load_patch(tmp_path / "bad")


@pytest.mark.parametrize("length", [0x380, 0x480, 0x580])
def test_a_header_as_long_as_a_pickle_begins(tmp_path: Path, length: int):
    def saved(dataset: str) -> bytes:
        info = patch_of(IMPORTANCE).info.model_copy(update={"dataset": dataset})
        save_patch(replace(patch_of(IMPORTANCE), info=info), tmp_path / "patch")
        return (tmp_path / "patch").read_bytes()[:8]

    # Headers are filled up to a multiple of 8.
    shortest = int.from_bytes(saved(""), "little")
    assert saved("d" * (length - shortest)) == length.to_bytes(8, "little")
    assert load_patch(tmp_path / "patch").info.dataset == "d" * (length - shortest)


def test_a_large_file_is_refused_unread(tmp_path: Path):
    with (tmp_path / "bad").open("wb") as bad:
        bad.truncate(2**40)  # a hole: more than there is memory
    with pytest.raises(PatchError, match=f"larger than {LARGEST:,} bytes"):
        load_patch(tmp_path / "bad")


def test_a_long_header_is_refused_unread(tmp_path: Path):
    (tmp_path / "bad").write_bytes((LONGEST_HEADER + 1).to_bytes(8, "little") + b"[" * (LONGEST_HEADER + 1))
    with pytest.raises(PatchError, match=f"header is longer than {LONGEST_HEADER:,} bytes"):
        load_patch(tmp_path / "bad")


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F4", "C64"])
def test_tensors_that_numpy_has_not(tmp_path: Path, dtype: str):
    header = json.dumps(
        {"scale": {"dtype": dtype, "shape": [2], "data_offsets": [0, {"C64": 16, "F4": 1}.get(dtype, 2)]}}
    )
    content = len(header).to_bytes(8, "little") + header.encode() + b"\0" * {"C64": 16, "F4": 1}.get(dtype, 2)
    (tmp_path / "bad").write_bytes(content)
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


def described(tmp_path: Path, document: str, **tensors) -> Path:
    patch = patch_of(IMPORTANCE)
    own = {name: getattr(patch, name) for name in ("importance", "alpha", "scale", "samples")}
    save_file(own | tensors, tmp_path / "bad", {"headprune": document})
    return tmp_path / "bad"


INFO = json.loads(patch_of(IMPORTANCE).info.canonical())
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"format": ["x" * 10_000]},
        {"surprise": 1},
        {"model": None},
        {"temperature": float("nan")},
        {"scorer": {"a": float("inf")}},
        {"scorer": {"name": "\ud800"}},
        {"model": {**INFO["model"], "ragged": [3]}},
        {"model": {**INFO["model"], "ragged": [3, -1]}},
        {"model": {**INFO["model"], "layers": -2, "heads": -3}},
    ],
)
def test_metadata_of_another_format(tmp_path: Path, change):
    with pytest.raises(PatchError) as caught:
        load_patch(described(tmp_path, json.dumps({**INFO, **change})))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("document", [DEEP, '{"format": 1, "scorer": ' + DEEP + "}", "1" * 5000, "null", '"text"', ""])
def test_metadata_that_is_hostile(tmp_path: Path, document: str):
    with pytest.raises(PatchError, match="its metadata is not a patch's"):
        load_patch(described(tmp_path, document))


def test_a_tower_is_not_believed_to_be_as_wide_as_it_says(tmp_path: Path):
    empty = np.zeros((0, 2**40), np.float32)
    document = json.dumps({**INFO, "model": {**INFO["model"], "layers": 0, "heads": 2**40}})
    tensors = {"importance": empty, "alpha": empty, "scale": empty, "samples": empty.astype(np.int32)}
    with pytest.raises(PatchError, match="its metadata is not a patch's"):
        load_patch(described(tmp_path, document, **tensors))


@pytest.mark.parametrize(
    "tensors",
    [
        {"importance": np.full((2, 3), np.inf, np.float32), "samples": np.zeros((2, 3), np.int32)},
        {"samples": np.full((2, 3), -1, np.int32)},
    ],
)
def test_numbers_that_no_scoring_makes(tmp_path: Path, tensors):
    with pytest.raises(PatchError, match="the patch is damaged"):
        load_patch(damaged(tmp_path, **tensors))


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
