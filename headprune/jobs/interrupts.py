"""Ctrl-C or SIGTERM in a long run: the first lets it finish what it is in the middle of, a second one does not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from headprune.errors import notice


class Interrupted:
    """Whether somebody has asked the run to stop."""

    def __init__(self) -> None:
        self.asked = False

    def stop_if_asked(self) -> None:
        """Call it where nothing would be lost.

        Raises:
            KeyboardInterrupt: somebody has asked.
        """
        if self.asked:
            raise KeyboardInterrupt

    def ask(self, number: int, frame: FrameType | None) -> None:
        """A signal's handler.

        Raises:
            KeyboardInterrupt: it came a second time.
        """
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        notice("interrupted: the batch that is worked on is finished and stored first; once more stops at once")


# What Ctrl-C sends, and what schedulers do before they kill; each with who handles it where nobody else does.
_SIGNALS: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


@contextmanager
def finishing() -> Iterator[Interrupted]:
    """Within the context SIGINT and SIGTERM do not end the process at once, where that is ours to say: in the main
    thread, and where nobody else handles them."""
    interrupted = Interrupted()
    main = threading.current_thread() is threading.main_thread()
    ours = {number: own for number, own in _SIGNALS.items() if main and signal.getsignal(number) is own}
    for number in ours:
        signal.signal(number, interrupted.ask)
    try:
        yield interrupted
    finally:
        for number, own in ours.items():
            signal.signal(number, own)
