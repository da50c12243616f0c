"""The tokenizer without Java: against what Stanford's tokenizer said, and against the tokenizer itself."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from headprune_cider import ptb_java
from headprune_cider.ptb import collapse, tokenize
from headprune_cider.ptb_java import JavaTokenizer

from headprune import HeadpruneError, UsageError

# Caption, and what Stanford's PTBTokenizer 3.4.1 with pycocoevalcap's options makes of it.
CASES = {
    "": "",
    " \t ": "",
    "A man's dog isn't here; can't won't.": "a man 's dog is n't here ca n't wo n't",
    "DON'T cannot gonna.": "do n't can not gon na",
    "It\u2019s they're I'd we'll I've I'm": "it 's they 're i 'd we 'll i 've i 'm",
    "a black-and-white photo (of a dog)": "a black-and-white photo -lrb- of a dog -rrb-",
    "[x] {y}": "-lsb- x -rsb- -lcb- y -rcb-",
    "He said \"hello\" and 'bye'.": "he said hello and bye",
    "a 3.5 inch 1,000 dollars $5.00 10% #1 @home": "a 3.5 inch 1,000 dollars $ 5.00 10 % # 1 @home",
    "Mr. Smith and Dr. Jones on St. Peter's St.": "mr. smith and dr. jones on st. peter 's st.",
    "U.S. flag at 5 p.m. vs. 10:30am": "u.s. flag at 5 p.m. vs. 10:30 am",
    "no. he said No. 5": "no he said no. 5",
    "miss. Miss. la. La.": "miss miss. la la.",
    "ready to bat., see": "ready to bat. see",
    "wait... what -- no - yes—ok": "wait what no yes ok",
    "rock 'n' roll 'em 'til '90s 90's dogs'": "rock 'n' roll 'em 'til '90s 90 's dogs",
    "d'Artagnan o'clock y'all ma'am 'tis": "d'artagnan o'clock y' all ma'am 't is",
    "café naïve 日本語 привет": "café naïve 日本語 привет",
    "a&b AT&T R&B black & white &amp; C++": "a & b at&t r&b black & white & c++",
    "<b>bold</b> <unk> <3": "<b> bold </b> <unk> < 3",
    "the end.Another hello,world a/b and/or": "the end.another hello world a/b and/or",
    "1/2 ½ 3-1/2 24/7 2-year-old 1990-1995": "1/2 1/2 3-1/2 24/7 2-year-old 1990-1995",
    "wow!! what?! so! yes?": "wow !! what ?! so yes",
    "it was great :)": "it was great :-rrb-",
    "a \U0001f415 dog": "a dog",
    "half- man` dog_cat *a* 5' 6\" tall": "half man dog_cat * a * 5 6 tall",
    "see http://www.x.com/a?b=c or me@x.org": "see http://www.x.com/a?b=c or me@x.org",
}


@pytest.mark.parametrize("caption", CASES, ids=ascii)
def test_as_stanfords(caption: str) -> None:
    assert tokenize(caption) == tuple(CASES[caption].split())


def test_the_cases_are_stanfords(java: None) -> None:
    assert [" ".join(tokens) for tokens in JavaTokenizer()(list(CASES))] == list(CASES.values())


def test_every_coco_caption_as_stanfords(coco: dict[str, Any]) -> None:
    lines = [(image["candidate"], image["candidate_ptb"]) for image in coco["images"]]
    for image in coco["images"]:
        lines += zip(image["references"], image["references_ptb"], strict=True)
    other = [(line, tokens) for line, tokens in lines if tokenize(line) != tuple(tokens.split())]
    assert len(lines) == 1202
    assert other == []


@pytest.mark.parametrize("space", ["\n", "\r", "\v", "\f", "\u2028", "\x85", "\u00a0"], ids=ascii)
def test_white_space_of_any_kind(space: str) -> None:
    assert collapse(f" a{space}{space}dog ") == "a dog"
    assert tokenize(f"a{space}dog") == ("a", "dog")


def test_java_does_not_shift_captions(java: None) -> None:
    captions = ["a\rdog", "", "two\u2028men", "x\n\ny", "", "plan b.", "The end", ""]
    tokenizer = JavaTokenizer()
    found = tokenizer(captions)
    assert [" ".join(tokens) for tokens in found[:6]] == ["a dog", "", "two men", "x y", "", "plan b."]
    assert tokenizer(captions[::-1])[::-1] == found
    assert tokenizer([captions[5]]) == [found[5]]


def test_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptb_java.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match=r"`java`.*tokenizer=ptb"):
        JavaTokenizer()


def test_without_pycocoevalcap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptb_java.shutil, "which", lambda name: "/usr/bin/java")
    monkeypatch.setitem(__import__("sys").modules, "pycocoevalcap.tokenizer", None)
    with pytest.raises(UsageError, match=r"pip install 'headprune\[ptb\]'"):
        JavaTokenizer()


@pytest.mark.parametrize(("code", "out"), [(1, b""), (0, b"a\n")])
def test_java_that_fails(java: None, monkeypatch: pytest.MonkeyPatch, code: int, out: bytes) -> None:
    ran = Mock(returncode=code, stdout=out, stderr=b"Error: no main class\n")
    monkeypatch.setattr(ptb_java.subprocess, "run", lambda *args, **options: ran)
    with pytest.raises(HeadpruneError, match="no main class"):
        JavaTokenizer()(["a", "b"])
