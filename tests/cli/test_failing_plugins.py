"""Each way in which a plugin may be wrong: whose fault it is, where, and what to do; nothing that was made is lost."""

from __future__ import annotations

import pytest

HEAD = """
import sys
import headprune
from PIL import Image

class Base(headprune.Scorer):
    def score(self, batch):
        return [0.5] * len(batch)

class Reading(headprune.DatasetReader):
    def open(self, ref):
        samples = tuple(headprune.Sample(*given) for given in self.given())
        return headprune.Dataset(ref, samples)

class Tiny(headprune.Edit):
    comparable = headprune.Comparable.ACROSS
    removes = True

    def variants(self, capture, heads, context):
        return headprune.scaled(capture, 1 - headprune.one_hot(heads, context.heads))

"""
SCORERS = {
    "text": ("def score(self, batch): return ['x'] * len(batch)", "could not convert string to float"),
    "none": ("def score(self, batch): return None", "returned scores of shape () for 12 items"),
    "too few": ("def score(self, batch): return [0.5]", "returned 1 scores for 12 items"),
    "nested": ("def score(self, batch): return [[0.5]] * len(batch)", "returned scores of shape (12, 1) for 12 items"),
    "nan": ("def score(self, batch): return [float('nan')] * len(batch)", "a score that is not finite for"),
    "generator": ("def score(self, batch): yield 0.5", "not 'generator'"),
    "raises": ("def score(self, batch): raise KeyError('luck')", "failed at bad.py line {}: KeyError: 'luck'"),
    "ends the process": ("def score(self, batch): sys.exit(0)", "failed at bad.py line {}: SystemExit: 0"),
    "never ends": ("def score(self, batch): return self.score(batch)", "failed at bad.py line {}: RecursionError"),
    "wants more": ("def score(self, batch, more): return []", "missing 1 required positional argument: 'more'"),
}
BEFORE = {
    "misspelt need": ("needs = frozenset({'golds'})", "needs 'golds', which there is not"),
    "need that is no set": ("needs = 'gold'", "needs 'gold', which there is not"),
    "takes no settings": ("def __init__(self): pass", "takes 1 positional argument but 2 were given"),
    "settings that are none": ("Settings = {'a': 1}", "has no attribute 'model_validate'"),
    "describes an object": ("def describe(self): return {'x': object()}", "describes itself by what is no plain JSON"),
    "describes NaN": ("def describe(self): return {'x': float('nan')}", "describes itself by what is no plain JSON"),
}
DATASETS = {
    "list": ("def open(self, ref): return ['a']", "returned list, not a headprune.Dataset"),
    "same id": ("def given(self): return [('a', (), int)] * 5", "two samples of x have the id 'a'"),
    "number for an id": ("def given(self): return [(1, (), int)]", "a sample's id is text, not 1"),
    "one text": ("def given(self): return [('a', 'a thing', int)]", "are a tuple of texts, not 'a thing'"),
    "no picture": (
        "def given(self): return [(str(n), (), lambda: 3) for n in range(5)]",
        "opens as int, not as an RGB",
    ),
    "grey": (
        "def given(self): return [(str(n), (), lambda: Image.new('L', (8, 8))) for n in range(5)]",
        "opens as a picture in mode L, not as an RGB",
    ),
    "raises": ("def open(self, ref): return 1 / 0", "failed at bad.py line {}: ZeroDivisionError"),
}
EDITS = {
    "no rows": ("", "returned Tensor, not headprune.Rows"),
    "misspelt need": ("needs = frozenset({'mean'})", "needs 'mean', which there is not"),
    "raises": ("def variants(self, *given): return 1 / 0", "failed at bad.py line {}: ZeroDivisionError"),
}
LINE = len(HEAD.splitlines()) + 2


def bad(place, base: str, body: str) -> None:
    (place / "bad.py").write_text(f"{HEAD}class Bad({base}):\n    {body or 'pass'}\n")


def refused(place, words: tuple[object, ...], said: str) -> str:
    done = place.run(*words, "--out", "run")
    text = " ".join(done.stderr.split())
    assert done.exit_code == 3 and said.format(LINE) in text, text
    assert "bad.py" in text and "next:" in text and "bug in headprune" not in text
    return text


@pytest.mark.parametrize("case", SCORERS)
def test_a_scorer_that_is_wrong_loses_no_caption(place, score, case):
    body, said = SCORERS[case]
    bad(place, "Base", body)
    words = (*score, "--layers", 0, "--samples", 3, "--scorer", "./bad.py:Bad")
    assert "what was made so far is kept: headprune runs resume" in refused(place, words, said)
    again = (*score, "--layers", 0, "--samples", 3, "--scorer", "./bad.py:Bad", "--out", "run")
    before = place.run(*again).stderr
    assert "captions: 15 of 15" in before and "captions: 0 of 15" not in before


@pytest.mark.parametrize("case", BEFORE)
def test_what_can_be_known_before_is_said_before(place, score, case):
    body, said = BEFORE[case]
    bad(place, "Base", body)
    refused(place, (*score, "--samples", 3, "--scorer", "./bad.py:Bad"), said)
    assert not (place / "run").exists()


@pytest.mark.parametrize("case", DATASETS)
def test_a_dataset_that_is_wrong(place, score, case):
    body, said = DATASETS[case]
    bad(place, "Reading", body)
    refused(place, (*score, "--samples", 3, "--data", "x", "--dataset", "./bad.py:Bad"), said)
    assert not (place / "run").exists()


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_that_is_wrong(place, score, case):
    body, said = EDITS[case]
    bad(place, "Tiny", body)
    refused(place, (*score, "--samples", 3, "--edit", "./bad.py:Bad"), said)


@pytest.mark.parametrize("method", ["load", "outline"])
def test_an_adapter_that_answers_nothing(place, score, method):
    given = "from headprune.hooks.catalogue import catalogue\n" + HEAD
    base = "catalogue().load('adapter', 'transformers')"
    (place / "bad.py").write_text(f"{given}class Bad({base}):\n    def {method}(self, request): return None\n")
    wanted = {"load": "Adapter", "outline": "Outline"}[method]
    words = (*score, "--samples", 3, "--adapter", "./bad.py:Bad")
    refused(place, words, f"adapter './bad.py:Bad' returned NoneType, not a headprune.{wanted}")


def test_the_rest_of_headprune_works_beside_it(place, score):
    bad(place, "Base", "def score(self, batch): raise KeyError('luck')")
    assert place.document("plugins", "list")["broken"] == []
    assert place.run(*score, "--samples", 2, "--out", "well").exit_code == 0
