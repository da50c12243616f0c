"""What a plugin's code raises or prints is said to be the plugin's, with its file and line."""

from __future__ import annotations

import warnings

import pytest

from headprune import DataError, PluginError, ScoreItem, make_scorer
from headprune.errors import Notice
from headprune.hooks.blame import blaming, owner, place
from headprune.scoring.importance import scored

SOURCE = """
import headprune

print("at import")

class Mine(headprune.Scorer):
    def score(self, batch):
        return inner(batch[0].caption)

class Wants(headprune.Scorer):
    def score(self, batch, extra):
        return []

def inner(caption):
    if caption == "raise":
        raise ValueError("no such luck")
    if caption == "print":
        print("said", flush=True)
        return [0.5]
    return [float("nan")] if caption == "nan" else []
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        return make_scorer("./mine.py:Mine", {})


def test_the_line_that_raised_is_named_and_the_file_to_mend(mine, tmp_path):
    with pytest.raises(PluginError) as caught:
        scored(mine, [ScoreItem("raise")])
    assert caught.value.message == "scorer Mine failed at mine.py line 16: ValueError: no such luck"
    assert str(tmp_path / "mine.py") in caught.value.hint
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_call_that_never_came_in_is_blamed_on_the_definition(mine):
    wants = make_scorer("./mine.py:Wants", {})
    with pytest.raises(PluginError, match=r"failed at mine\.py line 10: TypeError: .*'extra'"):
        scored(wants, [ScoreItem("x")])


@pytest.mark.parametrize(("caption", "said"), [("nan", "not finite for 'nan'"), ("none", "returned 0 scores for 1")])
def test_wrong_answers_name_the_method(mine, caption, said):
    with pytest.raises(PluginError, match=said) as caught:
        scored(mine, [ScoreItem(caption)])
    assert caught.value.hint.startswith("mine.py line 7: ")


def test_what_it_prints_goes_to_stderr_and_is_announced(mine, capsys):
    with pytest.warns(Notice, match="scorer Mine prints to stdout"):
        assert scored(mine, [ScoreItem("print")]).tolist() == [0.5]
    captured = capsys.readouterr()
    assert captured.out == "" and "said" in captured.err


def test_what_a_file_prints_when_it_is_imported_too(tmp_path, monkeypatch, capsys):
    (tmp_path / "loud.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    with pytest.warns(Notice, match=r"loud\.py prints to stdout"):
        make_scorer("./loud.py:Mine", {})
    captured = capsys.readouterr()
    assert captured.out == "" and "at import" in captured.err


def test_errors_of_ours_pass(mine):
    with pytest.raises(DataError, match="on purpose"), blaming("scorer Mine", mine):
        raise DataError("on purpose")


def test_what_has_no_file_is_blamed_without_one():
    with pytest.raises(PluginError, match=r"^thing failed: KeyError"), blaming("thing", 3):
        raise KeyError("x")
    assert place(3) == "" and owner(3) == "that plugin"


def test_a_package_is_blamed_by_its_name():
    assert owner(make_scorer("exact", {})) == "the package headprune_ngram"
