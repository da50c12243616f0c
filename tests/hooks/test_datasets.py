"""From what is typed as DATA to the reader that opens it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from headprune import open_dataset
from headprune.demo.dataset import HELD_OUT, REFERENCES
from headprune.errors import DataError, ExitCode, UsageError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`photos/` with one picture, and a COCO file `captions.json` that describes it; the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "metadata.jsonl").write_text('{"file_name": "a.png", "caption": "red"}\n')
    coco = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 7, "caption": "a red square"}],
    }
    (tmp_path / "captions.json").write_text(json.dumps(coco))
    return tmp_path


@pytest.mark.parametrize("typed", ["photos", "./photos", "imagefolder:photos", "{}/photos"])
def test_a_folder_is_an_image_folder(place: Path, typed: str):
    (sample,) = open_dataset(typed.format(place)).samples
    assert (sample.id, sample.captions, sample.load().size) == ("a.png", ("red",), (8, 8))


def test_a_readers_name_takes_the_rest(place: Path):
    (sample,) = open_dataset("coco:captions.json:photos/").samples
    assert (sample.id, sample.captions) == ("7", ("a red square",))


def test_the_demo_has_a_name_of_its_own():
    data = open_dataset("demo")
    assert data.ref == "demo" and len(data) == HELD_OUT and len(data.samples[0].captions) == REFERENCES
    with pytest.raises(UsageError, match="demo data takes nothing"):
        open_dataset("demo:more")


def test_a_folder_with_a_slash_is_a_folder_before_it_is_a_hub_id(place: Path):
    (place / "owner").mkdir()
    (place / "photos").rename(place / "owner" / "photos")
    assert open_dataset("owner/photos").samples[0].id == "a.png"


def test_anything_else_with_one_slash_is_a_dataset_of_the_hub():
    with pytest.raises(DataError, match="no-such-owner/no-such-data"):
        open_dataset("no-such-owner/no-such-data")


@pytest.mark.parametrize("typed", ["nowhere", "./no/where", "/no/where/at/all", "nosuch:thing"])
def test_data_that_is_not_there(place: Path, typed: str):
    with pytest.raises(DataError, match="is not there") as caught:
        open_dataset(typed)
    assert "imagefolder" in caught.value.hint and "owner/name" in caught.value.hint
    assert caught.value.exit_code == ExitCode.FAILED


def test_an_option_that_the_reader_does_not_have(place: Path):
    with pytest.raises(UsageError, match="ImageFolder has no option 'colour'"):
        open_dataset("photos", {"colour": "red"})
