"""One writer a run: the lock on its folder, which the system lets go of when its owner ends, however it ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headprune.errors import HeadpruneError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = "run.lock"
# Seconds: whoever asks whether a folder is locked holds the lock for a moment.
_PATIENCE = 1.0


def lock(folder: Path) -> BaseFileLock:
    """Take a run folder for this process; `release()` gives it back.

    Raises:
        HeadpruneError: another process has it; it is named, with when it began.
    """
    from filelock import FileLock, Timeout

    taken = FileLock(folder / LOCK, timeout=_PATIENCE, thread_local=False)
    try:
        taken.acquire()
    except Timeout:
        raise _in_use(folder) from None
    return taken


def refuse_locked(folder: Path) -> None:
    """See that nobody works in a run folder now, before more is done than to look.

    Raises:
        HeadpruneError: another process has it; it is named, with when it began.
    """
    if is_locked(folder):
        raise _in_use(folder)


def _in_use(folder: Path) -> HeadpruneError:
    owner = _owner(folder)
    return HeadpruneError(
        f"{folder} is in use{f' by {owner}' if owner else ''}", "wait until that run ends, or use another folder"
    )


def is_locked(folder: Path) -> bool:
    """Whether a process works in a run folder now. Leaves no trace, and asks of folders that others own, too."""
    try:
        import fcntl
    except ImportError:  # Windows
        return _cannot_be_locked(folder)
    try:
        with (folder / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none, or who may not even read it
        return False
    return False


def _cannot_be_locked(folder: Path) -> bool:
    from filelock import FileLock, Timeout

    if not (folder / LOCK).is_file():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0, thread_local=False):
            return False
    except (Timeout, OSError):
        return True


def _owner(folder: Path) -> str:
    """Who works in a run folder, and since when, as its store says."""
    from headprune.runs.sessions import last_session, to_the_minute
    from headprune.runs.store import RunStore

    try:
        with RunStore.open(folder, create=False) as store:
            session = last_session(store)
    except HeadpruneError:
        return ""
    if session is None:
        return ""
    return f"process {session.process} of {session.user} on {session.host}, since {to_the_minute(session.started)} UTC"
