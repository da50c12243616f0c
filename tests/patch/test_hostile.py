"""Any bytes are a patch that can be used and written again, or are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load, save

from headprune import load_patch
from headprune.errors import PatchError
from tests.fuzz.patch import TENSORS, fuzzed
from tests.support.patches import patch_of

PATCH = patch_of([[0.1, 0.5, 0.2], [0.9, 0.3, 0.4]], layers=[1])
INFO = json.loads(PATCH.info.canonical())
WHOLE = save({name: getattr(PATCH, name) for name in TENSORS}, metadata={"headprune": PATCH.info.canonical()})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("patch")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(folder: Path, content: bytes) -> None:
    fuzzed(b"f" + content, folder)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=3), st.integers(0, len(WHOLE)))
def test_a_patch_with_some_bytes_changed_and_some_cut_off(
    folder: Path, changes: list[tuple[int, int]], length: int
) -> None:
    content = bytearray(WHOLE)
    for place, byte in changes:
        content[place] = byte
    fuzzed(b"f" + bytes(content), folder)
    fuzzed(b"f" + bytes(content[:length]), folder)
    if length < len(WHOLE):
        (folder / "short").write_bytes(WHOLE[:length])
        with pytest.raises(PatchError):
            load_patch(folder / "short")


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([*INFO, *INFO["model"], "more"]), JSON, st.booleans())
@example("ragged", [3, 4], True)
@example("layers", 2**63, True)
@example("scorer", {"a": {"b": [1e308, -0.0, "\u202e", 2**80]}}, False)
def test_any_json_in_its_place(folder: Path, key: str, value: Any, in_model: bool) -> None:
    changed = {**INFO, "model": {**INFO["model"], key: value}} if in_model else {**INFO, key: value}
    fuzzed(b"m" + json.dumps(changed).encode(), folder)


TABLES = arrays.arrays(
    st.sampled_from([np.float32, np.int32, np.float64, np.float16, np.int64, np.uint8, np.bool_]),
    st.sampled_from([(2, 3), (2, 3), (3, 2), (6,), (0, 3), (2, 3, 1), ()]),
)


@settings(deadline=None, max_examples=300)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(TENSORS, TABLES)))
def test_any_tables(folder: Path, tables: dict[str, np.ndarray]) -> None:
    own = {name: np.ascontiguousarray(table) for name, table in {**load(WHOLE), **tables}.items()}
    fuzzed(b"f" + save(own, metadata={"headprune": PATCH.info.canonical()}), folder)
