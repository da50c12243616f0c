"""COCO captions files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from headprune_datasets.coco import Coco
from PIL import Image

from headprune import DataError, Dataset, DatasetReader, UsageError
from headprune.testing import DatasetContract


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("one.jpg", "two.jpg"):
        Image.new("RGB", (4, 3), "red").save(tmp_path / "images" / name)
    return tmp_path


def _document() -> dict[str, Any]:
    return {
        "info": {"year": 2014},
        "images": [{"id": 391895, "file_name": "one.jpg", "height": 3}, {"id": "b", "file_name": "two.jpg"}],
        "annotations": [
            {"id": 1, "image_id": "b", "caption": "two"},
            {"id": 2, "image_id": 391895, "caption": "one"},
            {"id": 3, "image_id": "b", "caption": "also two\n"},
        ],
    }


def _open(folder: Path, document: Any) -> Dataset:
    (folder / "captions.json").write_text(json.dumps(document))
    dataset: Dataset = Coco.configured({}).open(f"{folder}/captions.json:{folder}/images/")
    return dataset


class TestContract(DatasetContract):
    @pytest.fixture
    def source(self, folder: Path) -> tuple[DatasetReader, str]:
        document = _document()
        document["images"].append({"id": 3, "file_name": "one.jpg"})
        (folder / "captions.json").write_text(json.dumps(document))
        (folder / "labels.txt").write_text("one\ntwo\n")
        reader = Coco.configured({"labels": str(folder / "labels.txt")})
        return reader, f"{folder}/captions.json:{folder}/images/"

    @pytest.fixture
    def entries(self) -> int:
        return 3


def test_images_become_samples_in_their_order(folder: Path) -> None:
    dataset = _open(folder, _document())
    assert [(s.id, s.captions, s.origin) for s in dataset.samples] == [
        ("391895", ("one",), "captions.json images[0]"),
        ("b", ("two", "also two\n"), "captions.json images[1]"),
    ]
    assert dataset.samples[0].load().size == (4, 3)
    assert dataset.left_out == ()


def test_what_cannot_be_used_is_left_out_and_named(folder: Path) -> None:
    document = _document()
    document["images"] += [
        {"id": 3, "file_name": "gone.jpg"},
        {"id": 4, "file_name": "one.jpg"},
        {"id": 5, "file_name": "two.jpg"},
    ]
    for number, caption in ((3, "gone"), (5, " "), (77, "of no image"), (77, "of no image")):
        document["annotations"].append({"image_id": number, "caption": caption})
    dataset = _open(folder, document)
    assert [s.id for s in dataset.samples] == ["391895", "b"]
    assert [(out.id, out.reason) for out in dataset.left_out] == [
        ("3", f"captions.json images[2]: there is no picture {folder}/images/gone.jpg"),
        ("4", "captions.json images[3]: there is no caption"),
        ("5", "captions.json images[4]: caption 1 of 1 is blank"),
        ("77", "captions.json: image 77 has captions, but is not in images"),
    ]


def test_names_that_hold_colons(folder: Path) -> None:
    (folder / "2017:val").mkdir()
    Image.new("RGB", (4, 3)).save(folder / "2017:val" / "one.jpg")
    document = {**_document(), "images": [{"id": 391895, "file_name": "one.jpg"}]}
    (folder / "a:b.json").write_text(json.dumps(document))
    dataset = Coco.configured({}).open(f"{folder}/a:b.json:{folder}/2017:val")
    assert [s.id for s in dataset.samples] == ["391895"]


def _changed(**changes: Any) -> dict[str, Any]:
    return {**_document(), **changes}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "has no list of annotations"),
        (_changed(annotations=None), "has no list of annotations"),
        (_changed(images={}), "has no list of images"),
        (_changed(images=[]), "lists no images"),
        (_changed(images=[7]), r"captions\.json images\[0\] is no JSON object"),
        (_changed(images=[{"id": 1}]), r"captions\.json images\[0\]: the file name None is none"),
        (_changed(images=[{"id": True, "file_name": "one.jpg"}]), r"captions\.json images\[0\]: id is True"),
        (_changed(images=[{"file_name": "one.jpg"}]), r"captions\.json images\[0\]: id is None"),
        (
            _changed(images=[{"id": 1, "file_name": "../one.jpg"}]),
            r"images\[0\]: the file name '\.\./one\.jpg' leads out",
        ),
        (_changed(images=[{"id": 1, "file_name": "/one.jpg"}]), r"images\[0\]: the file name '/one\.jpg' leads out"),
        (
            _changed(images=[{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]),
            r"images\[1\]: image 1 is listed already",
        ),
        (_changed(annotations=[{"image_id": 1, "bbox": []}]), r"annotations\[0\] has no caption"),
        (_changed(annotations=[{"image_id": 1, "caption": 5}]), r"annotations\[0\]: the caption is not text"),
        (_changed(annotations=[{"caption": "x"}]), r"annotations\[0\]: image_id is None"),
    ],
)
def test_a_malformed_file_is_an_error_that_names_the_entry(folder: Path, document: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _open(folder, document)


def test_a_file_that_is_no_json_is_named_with_its_line(folder: Path) -> None:
    (folder / "captions.json").write_text('{\n"images": [\n')
    with pytest.raises(DataError, match=r"captions\.json line 3 is no JSON"):
        Coco.configured({}).open(f"{folder}/captions.json:{folder}/images")


def test_what_is_not_there_is_named(folder: Path) -> None:
    (folder / "captions.json").write_text(json.dumps(_document()))
    with pytest.raises(DataError, match=r"gone\.json cannot be read: No such file"):
        Coco.configured({}).open(f"{folder}/gone.json:{folder}/images")
    with pytest.raises(DataError, match=r"there is no folder .*pictures"):
        Coco.configured({}).open(f"{folder}/captions.json:{folder}/pictures")


@pytest.mark.parametrize("ref", ["", "captions.json", "captions.json:", ":images"])
def test_a_file_and_a_folder_have_to_be_named(ref: str) -> None:
    with pytest.raises(UsageError, match="does not name a file and a folder") as caught:
        Coco.configured({}).open(ref)
    assert "coco:captions.json:images/" in caught.value.hint


def test_labels_are_read_from_a_file(folder: Path) -> None:
    assert _open(folder, _document()).labels == ()
    (folder / "labels.txt").write_text("one\nthree\n")
    dataset = Coco.configured({"labels": str(folder / "labels.txt")}).open(f"{folder}/captions.json:{folder}/images/")
    assert dataset.labels == ("one", "three") and len(dataset) == 2
