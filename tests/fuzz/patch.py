"""The patch reader: any bytes are a patch that can be used and written again, or are refused."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from safetensors.numpy import save

from headprune.errors import HeadpruneError
from headprune.patch.file import load_patch, save_patch
from tests.support.patches import patch_of

TENSORS = ("importance", "alpha", "scale", "samples")


def fuzzed(data: bytes, folder: Path) -> None:
    """Read a patch from `folder`. The first byte says what the others are: a file; the metadata of one that is whole;
    or its tensors. A fuzzer that knows neither JSON in JSON nor offsets gets behind them so."""
    file = folder / "patch.safetensors"
    file.write_bytes(_content(data[:1], data[1:]))
    try:
        patch = load_patch(file)
    except HeadpruneError:
        return
    again = folder / "again.safetensors"
    save_patch(patch, again)
    assert load_patch(again).digest() == patch.digest()
    json.dumps(patch.info.model_dump(mode="json"), allow_nan=False)
    for rule in ("mean-one", "none"):
        assert patch.coefficients(rule).shape == (patch.info.model.layers, patch.info.model.heads)


def _content(kind: bytes, data: bytes) -> bytes:
    whole, info = _whole()
    if kind == b"m":
        # What is not UTF-8 no safetensors file holds.
        tensors = {name: getattr(patch_of([[0.1, 0.5, 0.2], [0.9, 0.3, 0.4]]), name) for name in TENSORS}
        return save(tensors, metadata={"headprune": data.decode("utf-8", "replace") or info})
    if kind == b"t":
        return whole[: -len(data)] + data if 0 < len(data) <= 4 * 4 * 6 else whole
    return data


@functools.cache
def _whole() -> tuple[bytes, str]:
    patch = patch_of([[0.1, 0.5, 0.2], [0.9, 0.3, 0.4]])
    info = patch.info.canonical()
    return save({name: getattr(patch, name) for name in TENSORS}, metadata={"headprune": info}), info
