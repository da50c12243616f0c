"""Writing files and folders so that nothing half-written is ever left where somebody looks for a result; reading no
more of a file than its kind may have."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headprune.errors import HeadpruneError, UsageError

_FULL = "free some space or choose another place, then run the same command again"
_DENIED = "choose a place you may write to, or change its permissions"
_NEXT_STEP = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "the system limits the size of a file there: raise the limit or choose another place",
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: _DENIED,
    errno.ENOTDIR: "a part of that path is a file: choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
}


class TooLarge(Exception):
    """A file that holds more than is read of one of its kind."""


def read_limited(path: Path, largest: int) -> bytes:
    """What a file of at most `largest` bytes holds; a pipe is read to its end.

    Raises:
        TooLarge: it holds more; a file is not read then. OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= largest:
            data = file.read(size)
            # A pipe says that it holds nothing, and a file may grow.
            while len(data) <= largest and (more := file.read(2**16)):
                data += more
            if len(data) <= largest:
                return data
    raise TooLarge(f"it is larger than {largest:,} bytes")


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, beside `path` and with its suffix; it becomes `path` when the block ends well.

    An existing file is replaced in one step. On any exception, an interruption included, `path` is as it was and
    folders made on the way to it are removed again.

    Raises:
        UsageError: `path` is there and is not a plain file.
        HeadpruneError: it cannot be written (no space, no permission).
    """
    target = Path(path).resolve()
    part = _beside(target)
    with _worded(target, part), _made(target.parent):
        if target.exists() and not target.is_file():
            raise UsageError(f"{path} is there and is not a file", "name a file to write")
        try:
            yield part
            _flush(part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def writing_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty folder to fill; it becomes `path`, absent or an empty folder until then, when the block ends well.

    On any exception, an interruption included, `path` is as it was and folders made on the way to it are removed again.

    Raises:
        UsageError: `path` is a file or a folder that holds something.
        HeadpruneError: it cannot be written (no space, no permission).
    """
    target = Path(path).resolve()
    # An empty folder that is there may be a mount or the current folder, which cannot be renamed over: fill it.
    in_place = os.path.exists(target)  # noqa: PTH110 - unlike Path.exists, False for a name that is too long
    part = target / _beside(target).name if in_place else _beside(target)
    with _worded(target, part), _made(target.parent):
        refuse_unless_free(target)
        part.mkdir()
        try:
            yield part
            if in_place:
                _move_up(part, target)
            else:
                part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _beside(target: Path) -> Path:
    """A new hidden name in the target's folder, with its suffix: writers tell the format by it."""
    return target.with_name(f".{target.stem[:100]}.{os.urandom(4).hex()}{target.suffix}")


def remove_leftovers(target: Path) -> None:
    """Remove what writers of `target` that were killed have left beside it; call it where nobody is writing it."""
    named = re.compile(rf"\.{re.escape(target.stem[:100])}\.[0-9a-f]{{8}}{re.escape(target.suffix)}")
    for file in target.parent.iterdir():
        if named.fullmatch(file.name):
            file.unlink(missing_ok=True)


def refuse_unless_free(folder: Path) -> None:
    """Raise UsageError unless `folder` is absent or an empty folder."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "choose another --out")
    if folder.exists() and next(folder.iterdir(), None) is not None:
        raise UsageError(f"{folder} is not empty", "choose another --out, or empty it yourself")


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and those that lead to it; return the ones that were not there, outermost first.

    Raises:
        HeadpruneError: no folder can be made there, as below /proc.
        OSError: there is no space or permission, as `cannot_write` words it.
    """
    made: list[Path] = []
    try:
        for step in [*reversed(folder.parents), folder]:
            if not step.exists():
                step.mkdir(exist_ok=True)
                made.append(step)
    except FileNotFoundError as error:
        unmake(made)
        raise HeadpruneError(f"cannot make {folder}", "choose another place") from error
    except BaseException:
        unmake(made)
        raise
    return made


def unmake(made: list[Path]) -> None:
    """Remove folders that `make_folder` made, as far as they are empty."""
    for folder in reversed(made):
        if folder.is_dir() and next(folder.iterdir(), None) is None:
            folder.rmdir()


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder; take it and those made on the way to it back when the block fails."""
    made = make_folder(folder)
    try:
        yield
    except BaseException:
        unmake(made)
        raise


def cannot_write(path: str | Path, error: BaseException) -> HeadpruneError | None:
    """What to tell the user when writing `path` failed for lack of space or permission; None for any other failure."""
    number = _errno_of(error)
    if number not in _NEXT_STEP:
        return None
    return HeadpruneError(f"cannot write {path}: {os.strerror(number)}", _NEXT_STEP[number])


def _errno_of(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    # safetensors writes in Rust and raises its own exception: "... No space left on device (os error 28)"
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


@contextmanager
def _worded(target: Path, part: Path) -> Iterator[None]:
    """Turn a lack of space or permission on the way to `target` into a HeadpruneError that names it."""
    try:
        yield
    except HeadpruneError:
        raise
    except Exception as error:
        named = error.filename if isinstance(error, OSError) else None
        # The block may also read other files: an OSError that names one of those is not about writing.
        ours = named is None or Path(named).is_relative_to(part) or target.is_relative_to(named)
        worded = cannot_write(target, error) if ours else None
        if worded is None:
            raise
        raise worded from error


def _flush(file: Path) -> None:
    """Have the system put the file on the disk before its name says that it is there."""
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())


def _move_up(part: Path, target: Path) -> None:
    """Move what `part` holds into its parent; take it all back when one move fails."""
    moved: list[Path] = []
    try:
        for child in sorted(part.iterdir()):
            child.rename(target / child.name)
            moved.append(target / child.name)
    except BaseException:
        for child in moved:
            child.rename(part / child.name)
        raise
