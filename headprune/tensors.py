"""Small safetensors files that somebody else may have written: read whole, within limits, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from headprune.files import TooLarge, read_limited

_HEADER_LENGTH = 8  # bytes before the header that say how long it is
_ARCHIVES = (
    (b"PK\x03\x04", "a zip archive, as PyTorch's .pt, .pth and .bin files are"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x28\xb5\x2f\xfd", "a zstandard archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    *((bytes((0x80, protocol)), "a pickle, which could run any code") for protocol in range(2, 6)),
)
_TAR_AT = 257


class Refused(Exception):
    """A file that is not read, and why."""


def archive_or_pickle(head: bytes) -> str:
    """What a file is called that begins with `head` (512 bytes) and is an archive or a pickle; empty for any other."""
    if head[_HEADER_LENGTH : _HEADER_LENGTH + 1] == b"{":
        # A safetensors file, whose first bytes are a number, which may be that of a pickle.
        return ""
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return "a tar archive"
    return next((called for mark, called in _ARCHIVES if head.startswith(mark)), "")


def read_tensors(
    path: Path, largest: int, longest_header: int
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """The tensors and the metadata of a safetensors file.

    It is read and not mapped: a file that another process cuts short meanwhile would end this one.

    Args:
        largest: bytes that the file may have; no more are read.
        longest_header: bytes that its header may have.

    Raises:
        Refused: it is larger, an archive, a pickle, cut short, or no safetensors file.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise Refused("it is no file")
    try:
        data = read_limited(path, largest)
    except TooLarge as reason:
        raise Refused(str(reason)) from reason
    except OSError as error:
        raise Refused(f"it cannot be read: {error.strerror}") from error
    called = archive_or_pickle(data)
    if called:
        raise Refused(f"it is {called}; only safetensors files are read")
    length = int.from_bytes(data[:_HEADER_LENGTH], "little")
    if longest_header < length <= largest:
        raise Refused(f"its header is longer than {longest_header:,} bytes")
    try:
        tensors = load(data)
        header = json.loads(data[_HEADER_LENGTH : _HEADER_LENGTH + length])
    # A dtype that numpy has not is a KeyError or TypeError.
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(f"it cannot be read as safetensors: {error}") from error
    return tensors, dict(header.get("__metadata__") or {})
