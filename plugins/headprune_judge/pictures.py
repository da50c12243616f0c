"""Pictures as they are sent, each made once though many captions are about it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image

from headprune_judge.question import encoded

_KEPT = 32


class Pictures:
    """The last few pictures as data URLs. May be used by several threads.

    Args:
        max_side: pixels of the longer side, at most.
    """

    def __init__(self, max_side: int) -> None:
        self._max_side = max_side
        self._lock = threading.Lock()
        # What opens a picture need not be hashable; it is kept, so that its id stays its own.
        self._kept: OrderedDict[int, tuple[Callable[[], Image.Image], str]] = OrderedDict()

    def encoded(self, load: Callable[[], Image.Image]) -> str:
        """The picture that `load` opens."""
        with self._lock:
            held = self._kept.get(id(load))
        if held is not None:
            return held[1]
        url = encoded(load(), self._max_side)
        with self._lock:
            self._kept[id(load)] = (load, url)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return url
