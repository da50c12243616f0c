"""What VQA's evaluation takes for the same answer (Antol et al., 2015): the rules of its published code, version 2."""

from __future__ import annotations

import re
from functools import lru_cache

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_THOUSANDS = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_ARTICLES = frozenset({"a", "an", "the"})
_UP_TO_TEN = "zero one two three four five six seven eight nine ten"
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_UP_TO_TEN.split())}
_CONTRACTIONS = """
    'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
    he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't
    needn't not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll
    somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd
    there'd've there're there's they'd they'd've they'll they're they've wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""
# Each is known by one apostrophe that is missing: "dont", "couldnt've", "couldn'tve".
_WHOLE = {
    whole[:place] + whole[place + 1 :]: whole
    for whole in _CONTRACTIONS.split()
    for place, letter in enumerate(whole)
    if letter == "'"
}


@lru_cache(maxsize=100_000)
def normalized(answer: str) -> str:
    """`answer` in lower case without punctuation and articles, numbers up to ten in digits, contractions with their
    apostrophe, one space between words.

    A mark goes without a trace where one like it stands next to a space, or where the answer holds a number such as
    1,000; else a space takes its place.
    """
    given = text = " ".join(answer.split())
    thousands = _THOUSANDS.search(given) is not None
    for mark in _MARKS:
        beside_space = f"{mark} " in given or f" {mark}" in given
        text = text.replace(mark, "" if thousands or beside_space else " ")
    words = (_DIGITS.get(word, word) for word in _FULL_STOP.sub("", text).lower().split())
    return " ".join(_WHOLE.get(word, word) for word in words if word not in _ARTICLES)
