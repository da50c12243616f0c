"""The run folder: who may write into it, and what stays of it when a run fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from headprune.errors import HeadpruneError, UsageError, notice
from headprune.files import cannot_write, make_folder, refuse_unless_free, remove_leftovers, unmake, writing
from headprune.runs.canonical import canonical
from headprune.runs.lock import LOCK, lock
from headprune.runs.opening import FILE, DamagedStoreError, damaged
from headprune.runs.repair import last_aside, repair, unfinished
from headprune.runs.sessions import FAILED, FINISHED, INTERRUPTED, Log
from headprune.runs.store import RunStore

if TYPE_CHECKING:
    from filelock import BaseFileLock

_IDENTITY = "identity"
_RECIPE = "recipe.toml"
_PATCH = "patch.safetensors"
_OWN = {_RECIPE, FILE, f"{FILE}-wal", f"{FILE}-shm", f"{FILE}-journal", LOCK}


class RunFolder:
    """A run folder that is open, used in a `with` block.

    Attributes:
        path: the folder.
        store: its captions and scores.
        resumed: whether an earlier run of the same identity is gone on with.
    """

    def __init__(
        self, path: Path, store: RunStore, resumed: bool, made: list[Path], held: BaseFileLock | None = None
    ) -> None:
        self.path = path
        self.store = store
        self.resumed = resumed
        self._made = made
        self._held = held

    @classmethod
    def claim(
        cls, out: str | Path, identity: Mapping[str, Any], recipe: str, environment: Mapping[str, Any] | None = None
    ) -> RunFolder:
        """Take `out` for a run: a new or empty folder, or one that holds a run of the same identity, which goes on.

        Until the `with` block ends no other process can claim it. Of a store that is damaged, what is whole is kept.

        Args:
            identity: everything that determines the run's results, JSON-able.
            recipe: the resolved recipe as TOML, for people to read and for `--recipe`.
            environment: what this session runs on, JSON-able.

        When the `with` block fails before a caption, a score or a further file was written, all that was made here
        is removed again; otherwise the folder stays, and the same command goes on with it.

        Raises:
            UsageError: `out` holds something else, or a run of another identity.
            HeadpruneError: `out` cannot be written, or another process works in it.
        """
        path = Path(out).absolute()
        try:
            # Where a run was killed before it had a store, its lock tells that the folder is its.
            if not (path / FILE).is_file() and not (path / LOCK).is_file():
                refuse_unless_free(path)
            made = make_folder(path)
            try:
                held = lock(path)
            except BaseException:
                unmake(made)
                raise
        except OSError as error:
            raise cannot_write(path, error) or error from error
        resumed = (path / FILE).is_file() or bool(last_aside(path))
        try:
            store = _opened(path, identity, recipe)
        except BaseException:
            if not resumed:
                _remove(path, made)
            held.release()
            raise
        run = cls(path, store, resumed, made, held)
        try:
            store.log = Log(store, environment or {})
            if store.mended:
                store.log.error(DamagedStoreError(store.mended))
        except BaseException as error:
            run.__exit__(type(error), error, None)
            raise
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the run that `path` holds, to read it.

        Raises:
            HeadpruneError: `path` holds no run, or its store is damaged.
        """
        run = cls(Path(path).absolute(), RunStore.open(path, create=False), True, [])
        # One that was killed early has neither.
        if run.patch.is_file() and not (run.path / FILE).stat().st_size:
            run.store.close()
            raise damaged(run.path / FILE, "it is empty")
        return run

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        worthless = kind is not None and not self.resumed and self._holds_nothing()
        try:
            if self.store.log is not None:
                _end_session(self.store.log, error)
        finally:
            self.store.close()
            if worthless:
                _remove(self.path, self._made)
            if self._held is not None:
                self._held.release()

    @property
    def patch(self) -> Path:
        """Where the run's patch is, once it is finished."""
        return self.path / _PATCH

    @property
    def recipe(self) -> Path:
        """Where the run's resolved recipe is."""
        return self.path / _RECIPE

    def identity(self) -> dict[str, Any]:
        """Everything that determines this run's results, as it was claimed with; empty when nothing was recorded."""
        found: dict[str, Any] = json.loads(self.store.meta(_IDENTITY) or "{}")
        return found

    def _holds_nothing(self) -> bool:
        try:
            return self.store.is_empty() and {file.name for file in self.path.iterdir()} <= _OWN
        except (HeadpruneError, OSError):
            return False


def _end_session(log: Log, error: BaseException | None) -> None:
    try:
        if error is None:
            log.end(FINISHED)
        elif isinstance(error, KeyboardInterrupt):
            log.end(INTERRUPTED)
        else:
            log.error(error)
            log.end(FAILED)
    except HeadpruneError:
        # A disk that is full takes no note of it: what the run itself failed by is told.
        if error is None:
            raise


def _opened(path: Path, identity: Mapping[str, Any], recipe: str) -> RunStore:
    for name in (_RECIPE, _PATCH):
        remove_leftovers(path / name)
    # The store is there before the recipe is.
    emptied = (path / _RECIPE).is_file() and (path / FILE).is_file() and not (path / FILE).stat().st_size
    try:
        aside = unfinished(path)
        store = repair(path, aside) if aside else RunStore.open(path)
    except DamagedStoreError:
        store = repair(path)
    if emptied:
        store.mended = f"{FILE} was empty: nothing of it could be kept, all is made again"
    if store.mended:
        notice(store.mended)
    try:
        _settle(path, store, identity)
        _keep_recipe(path / _RECIPE, store, recipe)
    except BaseException:
        store.close()
        raise
    return store


def _keep_recipe(file: Path, store: RunStore, recipe: str) -> None:
    """Have the file hold the recipe that the run was first given; where it is gone or damaged, it is written again."""
    first = store.meta(_RECIPE)
    if first is None:
        first = recipe
        store.set_meta(_RECIPE, recipe)
    if not file.is_file() or file.read_bytes() != first.encode():
        with writing(file) as part:
            part.write_bytes(first.encode())


def _settle(path: Path, store: RunStore, identity: Mapping[str, Any]) -> None:
    """Record whose run this is, or make sure that it is this one's."""
    text = canonical(dict(identity))
    recorded = store.meta(_IDENTITY)
    if recorded is None:
        store.set_meta(_IDENTITY, text)
    elif recorded != text:
        there, here = json.loads(recorded), json.loads(text)
        differing = [key for key in sorted({*there, *here}) if there.get(key) != here.get(key)]
        told = "; ".join(f"{key} {_shown(there, key)}, not {_shown(here, key)}" for key in differing[:3])
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise UsageError(
            f"{path} holds another run: {told}{more}", "use another folder, or the settings that it was begun with"
        )


def _shown(identity: Mapping[str, Any], key: str) -> str:
    return canonical(identity[key]) if key in identity else "unset"


def _remove(path: Path, made: list[Path]) -> None:
    """Remove the files of a run and the folders that were made for it; a folder that was there before stays."""
    for name in _OWN:
        (path / name).unlink(missing_ok=True)
    unmake(made)
