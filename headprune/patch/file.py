"""The patch file: safetensors with one metadata key, the same bytes for the same patch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors.numpy import save

from headprune.errors import DataError, PatchError
from headprune.files import writing
from headprune.patch.patch import FORMAT_VERSION, Patch, PatchInfo
from headprune.tensors import Refused, read_tensors

LARGEST = 64 * 2**20
"""Bytes that a patch may have: one of 100 layers of 128 heads has 0.2 MB, and its header a few for each sample."""
LONGEST_HEADER = 32 * 2**20

_KEY = "headprune"
_DIGEST = "digest"
_DTYPES = {"importance": np.float32, "alpha": np.float32, "scale": np.float32, "samples": np.int32}
_DEEPEST = 32
_AGAIN = "make the patch again with headprune score"


def save_patch(patch: Patch, path: str | Path) -> None:
    """Write `patch` beside `path` and rename. One metadata key, because safetensors writes several in random order.

    Beside the patch's info it holds the patch's digest, by which a damaged number is told: safetensors has no sum.
    """
    tensors = {name: np.ascontiguousarray(getattr(patch, name), dtype) for name, dtype in _DTYPES.items()}
    data = save(tensors, metadata={_KEY: _document(patch)})
    with writing(path) as beside:
        beside.write_bytes(data)


def load_patch(path: str | Path) -> Patch:
    """Read a patch.

    Raises:
        DataError: no such file. PatchError: truncated, larger than LARGEST, not safetensors, not a patch, of a newer
            format, with NaN where it is applied, or with another digest than it was written with (a patch of before
            digests has none).
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a patch", f"give {path / 'patch.safetensors'}")
    if not path.is_file():
        raise DataError(f"patch {path} is not there", "headprune score writes RUN/patch.safetensors")
    try:
        tensors, metadata = read_tensors(path, LARGEST, LONGEST_HEADER)
    except Refused as reason:
        raise PatchError(f"{path} is no patch: {reason}", _AGAIN) from reason
    lacking = [*sorted({*_DTYPES} - {*tensors}), *([f"metadata key {_KEY!r}"] if _KEY not in metadata else [])]
    if lacking:
        raise PatchError(f"{path} is a safetensors file but no patch: it lacks {', '.join(lacking)}", _AGAIN)
    wrong = [name for name, dtype in _DTYPES.items() if tensors[name].dtype != dtype]
    if wrong:
        raise PatchError(f"{path}: {wrong[0]} is {tensors[wrong[0]].dtype}, not {_DTYPES[wrong[0]].__name__}", _AGAIN)
    info, digest = _info(path, metadata[_KEY])
    patch = Patch(info=info, **{name: tensors[name] for name in _DTYPES})
    if digest not in (None, patch.digest()):
        raise PatchError(f"{path} is damaged: it is not what was written", _AGAIN)
    return patch


def _document(patch: Patch) -> str:
    document = {**json.loads(patch.info.canonical()), _DIGEST: patch.digest()}
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _info(path: Path, text: str) -> tuple[PatchInfo, str | None]:
    """What the metadata tells of a patch, and the digest that the patch was written with."""
    try:
        document = json.loads(text)
        version = document.get("format")
        if version != FORMAT_VERSION:
            raise PatchError(
                f"{path} has patch format {version!r:.40}, this headprune reads {FORMAT_VERSION}", "update headprune"
            )
        _refuse_odd(document)
        digest = document.pop(_DIGEST, None)
        return PatchInfo.model_validate_json(json.dumps(document)), digest
    except (ValidationError, ValueError, AttributeError, RecursionError) as error:
        first = f"{str(error).splitlines()[0]:.200}"
        raise PatchError(f"{path}: its metadata is not a patch's: {first}", _AGAIN) from error


def _refuse_odd(value: Any, depth: int = 0) -> None:
    """Raise ValueError for what is nested deeper than a plugin's settings ever are, or could not be written again."""
    if depth > _DEEPEST:
        raise ValueError(f"it is nested deeper than {_DEEPEST}")
    if isinstance(value, float) and not np.isfinite(value):
        raise ValueError(f"it holds {value}, which is no JSON")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_odd(part, depth + 1)
