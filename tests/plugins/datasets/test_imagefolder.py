"""Image folders, with metadata and without."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest
from headprune_datasets.imagefolder import ImageFolder
from PIL import Image

from headprune import DataError, Dataset, DatasetReader, PictureError, UsageError
from headprune.errors import ExitCode
from headprune.testing import DatasetContract


def _picture(file: Path, colour: str = "red") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), colour).save(file)


def _jsonl(folder: Path, *rows: object) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _csv(folder: Path, *rows: list[str]) -> None:
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows(rows)


def _open(folder: Path) -> Dataset:
    dataset: Dataset = ImageFolder.configured({}).open(str(folder))
    return dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, colour in (("a.png", "red"), ("b.png", "lime"), ("deep/c.jpg", "blue")):
        _picture(tmp_path / name, colour)
    return tmp_path


class TestDescribedContract(DatasetContract):
    @pytest.fixture
    def source(self, folder: Path) -> tuple[DatasetReader, str]:
        _jsonl(
            folder,
            {"file_name": "deep/c.jpg", "captions": ["blue", "all blue"]},
            {"file_name": "a.png", "caption": "red"},
            {"file_name": "b.png", "caption": ""},
            {"file_name": "gone.png", "caption": "gone"},
        )
        return ImageFolder(), str(folder)

    @pytest.fixture
    def entries(self) -> int:
        return 4


class TestSortedIntoFoldersContract(DatasetContract):
    @pytest.fixture
    def source(self, folder: Path) -> tuple[DatasetReader, str]:
        _picture(folder / "dark" / "d.png", "navy")
        return ImageFolder.configured({"labels": "folders"}), str(folder)

    @pytest.fixture
    def entries(self) -> int:
        return 4


class TestUndescribedContract(DatasetContract):
    @pytest.fixture
    def source(self, folder: Path) -> tuple[DatasetReader, str]:
        return ImageFolder(), str(folder)

    @pytest.fixture
    def entries(self) -> int:
        return 3


def test_rows_become_samples_in_their_order(folder: Path) -> None:
    _jsonl(
        folder,
        {"file_name": "deep/c.jpg", "captions": ["blue", " all  blue\n"], "label": 3},
        "",
        {"file_name": "./a.png", "caption": "red"},
        {"file_name": "b.png", "text": "grün 緑 \u2028 x"},
    )
    dataset = _open(folder)
    assert [(s.id, s.captions, s.origin) for s in dataset.samples] == [
        ("deep/c.jpg", ("blue", " all  blue\n"), "metadata.jsonl line 1"),
        ("a.png", ("red",), "metadata.jsonl line 3"),
        ("b.png", ("grün 緑 \u2028 x",), "metadata.jsonl line 4"),
    ]
    assert dataset.left_out == ()
    assert dataset.ref == str(folder)
    assert np.asarray(dataset.samples[2].load())[0, 0].tolist() == [0, 255, 0]


def test_csv_rows_become_samples(folder: Path) -> None:
    _csv(
        folder,
        ["captions", "file_name", "label"],
        ['["red", "all, \\"red\\""]', "a.png", "1"],
        ['["two\\nlines",\n "b"]', "b.png", "2"],
        [" ", "deep/c.jpg", "3"],
    )
    dataset = _open(folder)
    assert [(s.id, s.captions, s.origin) for s in dataset.samples] == [
        ("a.png", ("red", 'all, "red"'), "metadata.csv line 2"),
        ("b.png", ("two\nlines", "b"), "metadata.csv line 3"),
    ]
    assert [(out.id, out.reason) for out in dataset.left_out] == [
        ("deep/c.jpg", "metadata.csv line 5: there is no caption")
    ]


def test_a_csv_with_a_byte_order_mark_and_one_caption_a_row(folder: Path) -> None:
    (folder / "metadata.csv").write_bytes("\ufefffile_name,text\r\na.png,null\r\n".encode())
    assert [(s.id, s.captions) for s in _open(folder).samples] == [("a.png", ("null",))]


def test_a_folder_without_metadata_gives_samples_without_captions(folder: Path) -> None:
    (folder / "readme.txt").write_text("")
    (folder / "._a.png").write_bytes(b"of a Mac")
    _picture(folder / "Z.PNG")
    assert [(s.id, s.captions) for s in _open(folder).samples] == [
        (name, ()) for name in ("Z.PNG", "a.png", "b.png", "deep/c.jpg")
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"captions": []}, "there is no caption"),
        ({"captions": None}, "there is no caption"),
        ({"captions": [""]}, "caption 1 of 1 is blank"),
        ({"captions": ["a cat", " \n"]}, "caption 2 of 2 is blank"),
        ({"caption": "  "}, "caption 1 of 1 is blank"),
    ],
)
def test_a_row_without_a_caption_is_left_out_and_named(folder: Path, row: dict[str, object], reason: str) -> None:
    _jsonl(folder, {"file_name": "a.png", "caption": "red"}, "", {"file_name": "b.png", **row})
    dataset = _open(folder)
    assert [s.id for s in dataset.samples] == ["a.png"]
    assert [(out.id, out.reason) for out in dataset.left_out] == [("b.png", f"metadata.jsonl line 3: {reason}")]


@pytest.mark.parametrize("name", ["gone.png", "deep", "n" * 300 + ".png"])
def test_a_row_without_a_picture_is_left_out_and_named(folder: Path, name: str) -> None:
    _jsonl(folder, {"file_name": "a.png", "caption": "red"}, {"file_name": name, "caption": "gone"})
    dataset = _open(folder)
    assert [s.id for s in dataset.samples] == ["a.png"]
    assert [(out.id, out.reason) for out in dataset.left_out] == [
        (name, f"metadata.jsonl line 2: there is no picture {name}")
    ]


def test_a_picture_that_cannot_be_read_is_named_when_it_is_opened(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"")
    _jsonl(folder, {"file_name": "a.png", "caption": "red"})
    (sample,) = _open(folder).samples
    with pytest.raises(PictureError, match=f"{folder}/a.png is empty"):
        sample.load()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file_name": "b.png", "caption": "x"', r"metadata\.jsonl line 2 is no JSON"),
        ("[" * 100_000, r"metadata\.jsonl line 2 is no JSON"),
        ('["b.png", "x"]', r"metadata\.jsonl line 2 is no JSON object"),
        ('{"caption": "x"}', r"metadata\.jsonl line 2: no file_name"),
        ('{"file_name": "b.png"}', r"metadata\.jsonl line 2: no column of captions"),
        (
            '{"file_name": "b.png", "caption": "x", "text": "y"}',
            r"line 2: captions in more than one column: caption, text",
        ),
        ('{"file_name": "b.png", "caption": 7}', r"metadata\.jsonl line 2: caption 1 is a number, not text"),
        ('{"file_name": "b.png", "captions": ["x", null]}', r"metadata\.jsonl line 2: caption 2 is null, not text"),
        (
            '{"file_name": "b.png", "captions": ["", {"a": 1}]}',
            r"metadata\.jsonl line 2: caption 2 is a table, not text",
        ),
        ('{"file_name": "b.png", "caption": "\\ud800"}', r"metadata\.jsonl line 2: caption 1 holds half a character"),
        (
            '{"file_name": "\\ud800.png", "caption": "x"}',
            r"metadata\.jsonl line 2: the file name holds half a character",
        ),
        ('{"file_name": "./a.png", "caption": "x"}', r"metadata\.jsonl line 2: a\.png has a row already, on line 1"),
        ('{"file_name": "../a.png", "caption": "x"}', r"metadata\.jsonl line 2: the file name '\.\./a\.png' leads out"),
        ('{"file_name": "deep/../../a.png", "caption": "x"}', r"metadata\.jsonl line 2: .* leads out of the folder"),
        ('{"file_name": "/etc/passwd", "caption": "x"}', r"metadata\.jsonl line 2: .* leads out of the folder"),
        ('{"file_name": "C:\\\\a.png", "caption": "x"}', r"metadata\.jsonl line 2: .* leads out of the folder"),
        ('{"file_name": "", "caption": "x"}', r"metadata\.jsonl line 2: the file name '' is none"),
        ('{"file_name": 3, "caption": "x"}', r"metadata\.jsonl line 2: the file name 3 is none"),
        ('{"file_name": "a\\u0000.png", "caption": "x"}', r"metadata\.jsonl line 2: the file name .* is none"),
    ],
)
def test_a_malformed_row_is_an_error_that_names_its_line(folder: Path, line: str, message: str) -> None:
    _jsonl(folder, {"file_name": "a.png", "caption": "red"}, line)
    with pytest.raises(DataError, match=message) as caught:
        _open(folder)
    assert caught.value.exit_code == ExitCode.FAILED
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"metadata\.csv line 1 does not name each column"),
        ("file_name,caption,caption\n", r"metadata\.csv line 1 does not name each column once"),
        ("file_name,caption\na.png,a red, red picture\n", r"metadata\.csv line 2 has 3 cells for 2 columns"),
        ("file_name,caption\n\na.png\n", r"metadata\.csv line 3 has 1 cells for 2 columns"),
        ('file_name,caption\na.png,"red" one\n', r"metadata\.csv line 2: "),
        ('file_name,caption\na.png,red\nb.png,"green\n', r"metadata\.csv line 3: "),
        ("file_name,captions\na.png,red\n", r"metadata\.csv line 2: the captions are no JSON list"),
        ('file_name,captions\na.png,"""red"""\n', r"metadata\.csv line 2: the captions are text, not a JSON list"),
        ("file_name,captions\na.png,[1]\n", r"metadata\.csv line 2: caption 1 is a number, not text"),
        ("picture,caption\na.png,red\n", r"metadata\.csv line 2: no file_name"),
        ("file_name,caption\n", r"metadata\.csv has no rows"),
    ],
)
def test_a_malformed_csv_is_an_error_that_names_its_line(folder: Path, text: str, message: str) -> None:
    (folder / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        _open(folder)


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_a_file_that_is_not_utf8_is_named_with_its_line(folder: Path, name: str) -> None:
    rows = b'{"file_name": "a.png", "caption": "red"}\n' if name.endswith("l") else b"file_name,caption\n"
    (folder / name).write_bytes(rows + "b.png,grün\n".encode("latin-1"))
    with pytest.raises(DataError, match=f"{name} line 2 is not UTF-8"):
        _open(folder)


def test_two_metadata_files_are_refused(folder: Path) -> None:
    _jsonl(folder, {"file_name": "a.png", "caption": "red"})
    _csv(folder, ["file_name", "caption"], ["a.png", "green"])
    with pytest.raises(DataError, match=r"both metadata\.jsonl and metadata\.csv"):
        _open(folder)


def test_a_folder_that_is_not_there_or_holds_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        _open(tmp_path / "gone")
    with pytest.raises(DataError, match="there is no folder ''"):
        ImageFolder.configured({}).open("")
    with pytest.raises(DataError, match="holds no pictures"):
        _open(tmp_path)


def test_the_time_grows_with_the_rows_and_not_with_their_square(folder: Path) -> None:
    def seconds(rows: int) -> float:
        _jsonl(folder, *({"file_name": f"{row}.png", "captions": ["a"] * 5} for row in range(rows)))
        begin = time.process_time()
        assert len(_open(folder).left_out) == rows
        return time.process_time() - begin

    seconds(500)
    assert seconds(40_000) < 30 * seconds(4_000)


def test_labels_are_read_from_a_file(folder: Path) -> None:
    (folder / "labels.txt").write_text("red\ngreen\n")
    for described in (False, True):
        if described:
            _jsonl(folder, {"file_name": "a.png", "caption": "red"})
        dataset = ImageFolder.configured({"labels": str(folder / "labels.txt")}).open(str(folder))
        assert dataset.labels == ("red", "green")
        assert dataset.samples[0].captions == (("red",) if described else ())
    assert _open(folder).labels == ()


def test_folders_are_labels_and_captions_where_they_are_asked_for(folder: Path) -> None:
    _picture(folder / "blueish/more/d.png")
    dataset = ImageFolder.configured({"labels": "folders"}).open(str(folder))
    assert [(sample.id, sample.captions) for sample in dataset.samples] == [
        ("blueish/more/d.png", ("more",)),
        ("deep/c.jpg", ("deep",)),
    ]
    assert dataset.labels == ("deep", "more")
    assert [left.id for left in dataset.left_out] == ["a.png", "b.png"]
    assert all(sample.captions == () for sample in _open(folder).samples)


def test_folders_beside_metadata_or_without_folders_are_refused(folder: Path) -> None:
    (folder / "deep/c.jpg").unlink()
    with pytest.raises(DataError, match="no folders with pictures"):
        ImageFolder.configured({"labels": "folders"}).open(str(folder))
    _jsonl(folder, {"file_name": "a.png", "caption": "red"})
    with pytest.raises(UsageError, match=r"metadata\.jsonl"):
        ImageFolder.configured({"labels": "folders"}).open(str(folder))
