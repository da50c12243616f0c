"""Files of labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from headprune import DataError, read_labels


def written(folder: Path, content: bytes) -> Path:
    (folder / "labels.txt").write_bytes(content)
    return folder / "labels.txt"


def test_one_a_line_without_space_and_blank_lines(tmp_path):
    file = written(tmp_path, "\ufeffa dog\r\n\n  grün\u2028x \nword".encode())
    assert read_labels(file) == ("a dog", "grün\u2028x", "word")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a dog\nb\n a dog\n", "line 3: 'a dog' stands on line 1 already"),
        (b"\n \n", "holds no labels"),
        (b"a\xff", "not UTF-8"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(tmp_path, content, told):
    with pytest.raises(DataError, match=told) as caught:
        read_labels(written(tmp_path, content))
    assert caught.value.hint and "\n" not in caught.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path / "none.txt")
