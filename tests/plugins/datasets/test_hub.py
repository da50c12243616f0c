"""Hub datasets, through the library's own code on local files: nothing here needs the network."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
from headprune_datasets.hub import Hub, Whoops
from PIL import Image

from headprune import DataError, Dataset, DatasetReader, PictureError, UsageError
from headprune.testing import DatasetContract

COMMIT = "cca58d854ee35b6bfbedc14a9155483e89500ae9"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def _png(colour: str) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (4, 3), colour).save(buffer, "PNG")
    return buffer.getvalue()


COLOURS = {name: {"bytes": _png(name), "path": None} for name in ("red", "lime", "blue")}


def _parquet(file: Path, **columns: list[Any]) -> str:
    features = {name: _feature(name, values) for name, values in columns.items()}
    datasets.Dataset.from_dict(columns, features=datasets.Features(features)).to_parquet(file)
    return str(file)


def _feature(name: str, values: list[Any]) -> Any:
    if name in ("image", "photo"):
        return datasets.Image()
    sample = next(value for value in values if value is not None)
    if isinstance(sample, list):
        return datasets.List(datasets.Value("string"))
    return datasets.Value("string" if isinstance(sample, str) else "int64")


def _open(reader: type[Hub], ref: str, **options: Any) -> Dataset:
    dataset: Dataset = reader.configured(options).open(ref)
    return dataset


class TestHubContract(DatasetContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> tuple[DatasetReader, str]:
        (tmp_path / "data").mkdir()
        names = ["red thing", "lime thing", "blue thing"]
        features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
        rows = {"image": [*COLOURS.values(), None], "label": [0, 1, -1, 2]}
        file = tmp_path / "data" / "d.parquet"
        datasets.Dataset.from_dict(rows, features=features).to_parquet(file)
        return Hub.configured({"captions": "label"}), str(file)

    @pytest.fixture
    def entries(self) -> int:
        return 4


class TestHubFolderContract(DatasetContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> tuple[DatasetReader, str]:
        folder = tmp_path / "data"
        folder.mkdir()
        for name, cell in COLOURS.items():
            (folder / f"{name}.png").write_bytes(cell["bytes"])
        lines = [json.dumps({"file_name": f"{name}.png", "text": name}) for name in COLOURS]
        (folder / "metadata.jsonl").write_text("\n".join(lines))
        return Hub(), str(folder)

    @pytest.fixture
    def entries(self) -> int:
        return 3


class TestWhoopsContract(DatasetContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> tuple[DatasetReader, str]:
        (tmp_path / "data").mkdir()
        captions = [["a", "b"], ["c"], []]
        file = tmp_path / "data" / "w.parquet"
        return Whoops(), _parquet(file, image=list(COLOURS.values()), crowd_captions=captions)

    @pytest.fixture
    def entries(self) -> int:
        return 3


def test_rows_become_samples(tmp_path: Path) -> None:
    file = _parquet(tmp_path / "d.parquet", image=list(COLOURS.values()), caption=["a", "b", " c "], label=[1, 2, 3])
    dataset = _open(Hub, file)
    assert [(s.id, s.captions, s.origin) for s in dataset.samples] == [
        ("0", ("a",), f"{file} row 0"),
        ("1", ("b",), f"{file} row 1"),
        ("2", (" c ",), f"{file} row 2"),
    ]
    assert [np.asarray(s.load())[0, 0].tolist() for s in dataset.samples] == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_whoops_reads_the_crowd_captions_of_the_test_split(tmp_path: Path) -> None:
    file = _parquet(
        tmp_path / "whoops.parquet",
        image=list(COLOURS.values()),
        crowd_captions=[["a", "b"], ["c"], []],
        selected_caption=["x", "y", "z"],
    )
    dataset = _open(Whoops, file)
    assert [(s.id, s.captions) for s in dataset.samples] == [("0", ("a", "b")), ("1", ("c",))]
    assert [(out.id, out.reason) for out in dataset.left_out] == [("2", f"{file} row 2: there is no caption")]


def test_whoops_reads_captions_that_are_a_json_list_in_a_string(tmp_path: Path) -> None:
    captions = [json.dumps(["a", "b"]), "plain", "[broken"]
    file = _parquet(tmp_path / "w.parquet", image=list(COLOURS.values())[:2], crowd_captions=captions[:2])
    assert [s.captions for s in _open(Whoops, file).samples] == [("a", "b"), ("plain",)]
    broken = _parquet(tmp_path / "b.parquet", image=list(COLOURS.values()), crowd_captions=captions)
    with pytest.raises(DataError, match="row 2: the captions are no JSON list"):
        _open(Whoops, broken)


def test_columns_can_be_named(tmp_path: Path) -> None:
    file = _parquet(
        tmp_path / "d.parquet",
        photo=list(COLOURS.values()),
        one=["a", "b", None],
        two=[["c"], None, None],
        caption=["unused"] * 3,
    )
    dataset = _open(Hub, file, image="photo", captions="one, two")
    assert [(s.id, s.captions) for s in dataset.samples] == [("0", ("a", "c")), ("1", ("b",))]
    assert [out.id for out in dataset.left_out] == ["2"]


def test_pictures_without_captions_have_to_be_asked_for(tmp_path: Path) -> None:
    file = _parquet(tmp_path / "imagenet.parquet", image=list(COLOURS.values()), label=[1, 2, 3])
    with pytest.raises(DataError, match="no column of captions") as caught:
        _open(Hub, file)
    assert "image, label" in caught.value.hint
    assert [s.captions for s in _open(Hub, file, captions="none").samples] == [(), (), ()]


def test_rows_that_cannot_be_used_are_left_out_and_named(tmp_path: Path) -> None:
    pictures = [COLOURS["red"], None, COLOURS["lime"], {"bytes": b"", "path": None}]
    file = _parquet(tmp_path / "d.parquet", image=pictures, caption=["a", "b", None, "d"])
    dataset = _open(Hub, file)
    assert [s.id for s in dataset.samples] == ["0", "3"]
    assert [(out.id, out.reason) for out in dataset.left_out] == [
        ("1", f"{file} row 1: there is no picture"),
        ("2", f"{file} row 2: there is no caption"),
    ]
    with pytest.raises(PictureError, match=r"row 3 is empty \(0 bytes\)"):
        dataset.samples[1].load()


@pytest.mark.parametrize("path", ["mine.png", "{}/mine.png", "{}/data/../mine.png"])
def test_a_row_cannot_send_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.png").write_bytes(_png("red"))
    (tmp_path / "data").mkdir()
    path = path.format(tmp_path)
    cells = datasets.Features({"image": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}})
    row = {"image": [{"bytes": None, "path": path}]}
    datasets.Dataset.from_dict(row, features=cells).to_parquet(tmp_path / "data" / "d.parquet")
    for ref in ("data/d.parquet", "data"):
        (sample,) = _open(Hub, str(tmp_path / ref), captions="none").samples
        with pytest.raises(PictureError, match=rf"row 0 names a file, '{path}', instead of holding a picture"):
            sample.load()


def test_captions_that_are_not_text_are_refused(tmp_path: Path) -> None:
    file = _parquet(tmp_path / "d.parquet", image=[COLOURS["red"]], caption=[5])
    with pytest.raises(DataError, match="row 0: caption 1 is a number, not text"):
        _open(Hub, file)


def test_a_column_without_pictures_is_named(tmp_path: Path) -> None:
    file = _parquet(tmp_path / "d.parquet", label=[5], caption=["a"])
    with pytest.raises(DataError, match="has no column 'image'") as caught:
        _open(Hub, file)
    assert "one of: label, caption" in caught.value.hint
    with pytest.raises(DataError, match="the column 'label' holds no pictures"):
        _open(Hub, file, image="label")
    with pytest.raises(DataError, match="has no column 'words'"):
        _open(Hub, file, captions="words")


def test_a_folder_with_splits(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    _parquet(folder / "train-00000-of-00001.parquet", image=[COLOURS["red"]], caption=["train"])
    _parquet(folder / "test-00000-of-00001.parquet", image=[COLOURS["blue"]], caption=["test"])
    with pytest.raises(DataError, match="has more than one split") as caught:
        _open(Hub, str(folder))
    assert "train" in caught.value.hint and "test" in caught.value.hint
    with pytest.raises(DataError, match="has no split 'val'"):
        _open(Hub, str(folder), split="val")
    assert [s.captions for s in _open(Hub, str(folder), split="test").samples] == [("test",)]


def test_an_image_folder_through_the_library(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.png").write_bytes(_png("blue"))
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "blue"}\n')
    (sample,) = _open(Hub, str(folder)).samples
    assert sample.captions == ("blue",)
    assert np.asarray(sample.load())[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("split", ["test[:10]", "train+test", ""])
def test_a_split_is_one_whole_split(split: str) -> None:
    with pytest.raises(UsageError, match=r"split.*one split's name"):
        _open(Hub, "owner/name", split=split)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(UsageError, match="Hub has no option 'columns'") as caught:
        _open(Hub, "owner/name", columns="a")
    assert "split, revision, config, image, captions" in caught.value.hint


def _from_hub(monkeypatch: pytest.MonkeyPatch, file: str, commit: str) -> list[dict[str, Any]]:
    """Have the library answer any hub name with `file` at `commit`; return what it is asked."""
    load, asked = datasets.load_dataset_builder, []

    def builder(path: str, **more: Any) -> Any:
        asked.append({"path": path, **more})
        local = load("parquet", data_files={"test": file})
        local.repo_id, local.hash = path, commit
        return local

    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    return asked


def test_the_commit_is_recorded_and_opens_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _parquet(tmp_path / "w.parquet", image=list(COLOURS.values()), crowd_captions=[["a"], ["b"], ["c"]])
    asked = _from_hub(monkeypatch, file, COMMIT)
    dataset = _open(Whoops, "")
    assert dataset.ref == f"nlphuji/whoops@{COMMIT}"
    assert dataset.samples[1].origin == f"nlphuji/whoops@{COMMIT} row 1"
    assert _open(Hub, dataset.ref, captions="crowd_captions").ref == dataset.ref
    assert [(one["path"], one["revision"]) for one in asked] == [("nlphuji/whoops", None), ("nlphuji/whoops", COMMIT)]


def test_another_commit_than_the_wanted_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _parquet(tmp_path / "w.parquet", image=[COLOURS["red"]], caption=["a"])
    _from_hub(monkeypatch, file, "0" * 40)
    with pytest.raises(DataError, match=f"owner/name at {COMMIT} is not there, only 0000"):
        _open(Hub, "owner/name", revision=COMMIT)
    assert len(_open(Hub, "owner/name", revision="v1.0")) == 1
    with pytest.raises(UsageError, match="two revisions"):
        _open(Hub, "owner/name@v2.0", revision="v1.0")


def test_what_cannot_be_loaded_is_named_with_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="owner/name cannot be loaded") as caught:
        _open(Hub, "owner/name")
    assert "network" in caught.value.hint
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"broken\.parquet cannot be loaded"):
        _open(Hub, str(tmp_path / "broken.parquet"))
    (tmp_path / "table.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match="is not a parquet file"):
        _open(Hub, str(tmp_path / "table.xlsx"))
    with pytest.raises(UsageError, match="no dataset is named"):
        _open(Hub, "")

    def script(*_: Any, **__: Any) -> SimpleNamespace:
        raise RuntimeError("Dataset scripts are no longer supported, but found whoops.py")

    monkeypatch.setattr(datasets, "load_dataset_builder", script)
    with pytest.raises(DataError, match="found whoops") as caught:
        _open(Whoops, "")
    assert "revision=refs/convert/parquet" in caught.value.hint


def test_class_labels_are_captions_and_labels(tmp_path: Path) -> None:
    names = ["red thing", "lime thing", "nothing"]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    rows = {"image": list(COLOURS.values()), "label": [1, 0, -1]}
    file = str(tmp_path / "d.parquet")
    datasets.Dataset.from_dict(rows, features=features).to_parquet(file)
    dataset = _open(Hub, file, captions="label")
    assert [(s.id, s.captions) for s in dataset.samples] == [("0", ("lime thing",)), ("1", ("red thing",))]
    assert [left.id for left in dataset.left_out] == ["2"]
    assert dataset.labels == tuple(names)
    (tmp_path / "labels.txt").write_text("a\nb\n")
    dataset = _open(Hub, file, captions="label", labels=str(tmp_path / "labels.txt"))
    assert dataset.labels == ("a", "b") and dataset.samples[0].captions == ("lime thing",)


def test_captions_bring_no_labels(tmp_path: Path) -> None:
    file = _parquet(tmp_path / "d.parquet", image=list(COLOURS.values()), caption=["a", "b", "c"])
    assert _open(Hub, file).labels == ()
