"""Ctrl-C in a long run: the first one lets it finish what it is in the middle of, a second one does not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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


@contextmanager
def finishing() -> Iterator[Interrupted]:
    """Within the context SIGINT does not raise at once, where that is ours to say: in the main thread, and where
    nobody else handles it."""
    interrupted = Interrupted()
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupted
        return
    signal.signal(signal.SIGINT, interrupted.ask)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
