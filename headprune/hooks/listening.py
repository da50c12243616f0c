"""A run that is listened to: its listener hears of it, and can do it no harm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headprune.errors import HeadpruneError, notice
from headprune.events import LayerScored, Progress, RunFailed, RunFinished, RunStarted
from headprune.hooks.blame import blaming
from headprune.hooks.kinds import Listener
from headprune.redact import redacted


class Listened:
    """Tells a listener what it hears of in a run. Made by `listened`."""

    def __init__(self, listener: Listener | None, name: str, progress: Callable[[Progress], None]) -> None:
        self._listener = listener
        self._name = name
        self._progress = progress

    def progressed(self, progress: Progress) -> None:
        """As `Listener.progressed`; whoever started the run hears of it first."""
        self._progress(progress)
        self._tell(lambda listener: listener.progressed(progress))

    @property
    def layer_scored(self) -> Callable[[LayerScored], None] | None:
        """As `Listener.layer_scored`; None where there is no listener."""
        if self._listener is None:
            return None
        return lambda layer: self._tell(lambda listener: listener.layer_scored(layer))

    def finished(self, run: RunFinished) -> None:
        """As `Listener.finished`."""
        self._tell(lambda listener: listener.finished(run))

    def failed(self, run: RunFailed) -> None:
        """As `Listener.failed`."""
        self._tell(lambda listener: listener.failed(run))

    def _tell(self, what: Callable[[Listener], None]) -> None:
        if self._listener is None:
            return
        try:
            with blaming(f"listener {self._name!r}", self._listener):
                what(self._listener)
        except HeadpruneError as error:
            self._listener = None
            notice(f"{error.message}; the run goes on without it ({error.hint})")


@contextmanager
def listened(
    listener: Listener | None, name: str, run: RunStarted, progress: Callable[[Progress], None]
) -> Iterator[Listened]:
    """A run that `listener` hears of, from its start on; it is told if the block fails.

    Args:
        listener: None where nobody listens.
        name: what messages call it.
        run: what begins.
        progress: hears how far it is, whether or not there is a listener.

    Raises:
        PluginError: the listener failed when it was told of the start; later failures of it are announced.
    """
    if listener is not None:
        with blaming(f"listener {name!r}", listener):
            listener.started(run)
    told, start = Listened(listener, name, progress), time.monotonic()
    try:
        yield told
    # An interruption, too, ends a run.
    except BaseException as error:
        told.failed(RunFailed(type(error).__name__, redacted(str(error)), time.monotonic() - start))
        raise
