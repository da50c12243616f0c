"""Which layers, as people write it: `all`, `last:4`, `24-28`, `3,7`, or a list of these. 0-based; -1 is the last."""

from __future__ import annotations

import re
from collections.abc import Iterator

from headprune.errors import UsageError

_PART = re.compile(r"(?P<all>all)|last:(?P<last>[0-9]{1,6})|(?P<first>-?[0-9]{1,6})(?:-(?P<end>-?[0-9]{1,6}))?")
_FORMS = "write all, last:4, 24-28, 3,7 or -1 (0-based, -1 is the last layer)"


def check_layers(text: str) -> str:
    """`text` itself, when it can be read as layers of some tower.

    Raises:
        UsageError: it cannot.
    """
    for part in _parts(text):
        if part["last"] is not None and int(part["last"]) == 0:
            raise UsageError(f"layers {text!r}: last:0 is no layer", _FORMS)
    return text


def parse_layers(text: str, layers: int, dead: int = 0) -> tuple[int, ...]:
    """The layers that `text` names in a tower of `layers` layers: 0-based, sorted, each once.

    Args:
        dead: layers behind these that nothing reads, and that are not counted.

    Raises:
        UsageError: `text` cannot be read, or names a layer that the tower does not have, or a dead one.
    """
    chosen: set[int] = set()
    for part in _parts(check_layers(text)):
        if part["all"]:
            chosen.update(range(layers))
        elif part["last"]:
            chosen.update(range(_index(-int(part["last"]), layers, dead, part[0]), layers))
        else:
            first = _index(int(part["first"]), layers, dead, part[0])
            end = _index(int(part["end"]), layers, dead, part[0]) if part["end"] else first
            if end < first:
                raise UsageError(f"layers {part[0]!r} run backwards", f"write {end}-{first}")
            chosen.update(range(first, end + 1))
    return tuple(sorted(chosen))


def _parts(text: str) -> Iterator[re.Match[str]]:
    for part in text.split(","):
        found = _PART.fullmatch(part.strip())
        if not found:
            raise UsageError(f"layers {text!r} cannot be read", _FORMS)
        yield found


def _index(written: int, layers: int, dead: int, part: str) -> int:
    if not -layers <= written < layers:
        behind = f"; behind them nothing is read: {dead} dead" if dead else ""
        has = f"the tower has layers 0 to {layers - 1} (or -{layers} to -1){behind}"
        raise UsageError(f"layers {part!r}: {has}", _FORMS)
    return written % layers
