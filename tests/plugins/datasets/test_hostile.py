"""Files that somebody else wrote: any bytes make a dataset or are refused, and any words come back as they are."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from headprune_datasets.coco import Coco
from headprune_datasets.imagefolder import ImageFolder
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from headprune import DataError, Dataset, read_labels
from headprune.errors import HeadpruneError

NAMES = ("a.png", "b.png", "c d.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in NAMES:
        Image.new("RGB", (4, 3)).save(folder / name)
    return folder


def _imagefolder(folder: Path, name: str, content: bytes) -> Dataset:
    for other in ("metadata.jsonl", "metadata.csv"):
        (folder / other).unlink(missing_ok=True)
    (folder / name).write_bytes(content)
    dataset: Dataset = ImageFolder.configured({}).open(str(folder))
    return dataset


def _jsonl(folder: Path, content: bytes) -> Dataset:
    return _imagefolder(folder, "metadata.jsonl", content)


def _csv(folder: Path, content: bytes) -> Dataset:
    return _imagefolder(folder, "metadata.csv", content)


def _coco(folder: Path, content: bytes) -> Dataset:
    (folder / "captions.json").write_bytes(content)
    dataset: Dataset = Coco.configured({}).open(f"{folder}/captions.json:{folder}")
    return dataset


Reader = Callable[[Path, bytes], Dataset]


def _read(reader: Reader, folder: Path, content: bytes) -> None:
    """What is read can be stored: ids and captions are whole text, each picture lies in the folder and opens."""
    try:
        dataset = reader(folder, content)
    except HeadpruneError:
        return
    for sample in dataset.samples:
        assert sample.id.encode() and all(caption.encode().strip() for caption in sample.captions)
        assert sample.load().size == (4, 3)
    for left_out in dataset.left_out:
        assert left_out.id.encode() and left_out.reason


WORDS = st.sampled_from(
    [
        "file_name",
        "caption",
        "captions",
        "text",
        "images",
        "annotations",
        "id",
        "image_id",
        *NAMES,
        "../a.png",
        "/etc/passwd",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | WORDS | st.just("\ud800")
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5),
    max_leaves=20,
)
IMAGES = st.fixed_dictionaries({"id": LEAVES, "file_name": LEAVES})
ANNOTATIONS = st.fixed_dictionaries({"image_id": LEAVES, "caption": LEAVES})
NEARLY = st.fixed_dictionaries(
    {"images": st.lists(IMAGES, max_size=3), "annotations": st.lists(ANNOTATIONS, max_size=4)}
)


@pytest.mark.parametrize("reader", [_jsonl, _csv, _coco])
@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf")
@example(b"[" * 100_000)
@example(b'{"images": [{"id": ' + b"9" * 5000 + b"}]}")
@example(b'file_name,caption\na.png,"' + b"x" * 200_000 + b'"\n')
def test_any_bytes(reader: Reader, folder: Path, content: bytes) -> None:
    _read(reader, folder, content)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.dictionaries(WORDS, LEAVES | DOCUMENTS, max_size=4) | DOCUMENTS, max_size=3))
@example([{"file_name": "a.png", "captions": ["\ud800"]}])
@example([{"file_name": "a.png\ud800", "captions": ["x"]}])
def test_any_rows_of_json(folder: Path, rows: list[Any]) -> None:
    _read(_jsonl, folder, "\n".join(map(json.dumps, rows)).encode())


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(WORDS | st.text(max_size=5), max_size=3), max_size=4))
def test_any_cells(folder: Path, cells: list[list[str]]) -> None:
    text = "\n".join(",".join(f'"{cell}"' if len(cell) % 2 else cell for cell in row) for row in cells)
    _read(_csv, folder, text.encode("utf-8", "surrogatepass"))


@settings(deadline=None, max_examples=300)
@given(NEARLY | DOCUMENTS)
@example({"images": [{"id": "\ud800", "file_name": "a.png"}], "annotations": [{"image_id": "\ud800", "caption": "x"}]})
@example({"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": "\ud800", "caption": "x"}]})
def test_any_coco_document(folder: Path, document: Any) -> None:
    _read(_coco, folder, json.dumps(document).encode())


@pytest.mark.parametrize("reader", [_jsonl, _csv, _coco])
def test_a_large_file_is_refused_unread(reader: Reader, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda file, content: write(file, content) and os.truncate(file, 2**40))
    with pytest.raises(DataError, match=r"is larger than 1,073,741,824 bytes"):
        reader(folder, b"{")


CAPTIONS = st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=3)


@settings(deadline=None, max_examples=100)
@given(CAPTIONS)
@example(["a\r\nb", '"quoted", and more', "\u202ea\x1b[2J\N{ZERO WIDTH SPACE}", "\N{BYTE ORDER MARK}b", "=1+1"])
def test_any_words_come_back_as_they_are(folder: Path, captions: list[str]) -> None:
    row = {"file_name": "a.png", "captions": captions}
    for text in (json.dumps(row), json.dumps(row, ensure_ascii=False)):
        assert _jsonl(folder, text.encode()).samples[0].captions == tuple(captions)
    document = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": []}
    document["annotations"] = [{"image_id": 1, "caption": caption} for caption in captions]
    assert _coco(folder, json.dumps(document, ensure_ascii=False).encode()).samples[0].captions == tuple(captions)
    with (folder / "cells").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file_name", "captions"], ["a.png", json.dumps(captions)]])
    assert _csv(folder, (folder / "cells").read_bytes()).samples[0].captions == tuple(captions)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_labels_or_are_refused(folder: Path, content: bytes) -> None:
    (folder / "labels").write_bytes(content)
    try:
        found = read_labels(folder / "labels")
    except DataError:
        return
    assert found and len(set(found)) == len(found) and all(label.strip() == label != "" for label in found)
