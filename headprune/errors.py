"""One family of exceptions: what went wrong in a line, what to try next, and the exit code of the command line."""

from __future__ import annotations

import warnings
from enum import IntEnum


class ExitCode(IntEnum):
    """What a `headprune` process ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PLUGIN = 3
    MISFIT = 4
    INTERRUPTED = 130


class HeadpruneError(Exception):
    """Base of everything headprune raises on purpose.

    Args:
        message: what is wrong, one line, naming the thing that is wrong.
        hint: the next step to try, one line.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(HeadpruneError):
    """An option, a recipe or an argument does not make sense."""

    exit_code = ExitCode.USAGE


class PluginError(HeadpruneError):
    """A plugin is unknown, broken, or does not keep its contract."""

    exit_code = ExitCode.PLUGIN


class PatchError(HeadpruneError):
    """A patch cannot be read, or was made for another model."""

    exit_code = ExitCode.MISFIT


class ModelError(HeadpruneError):
    """A model is missing, of an unsupported family, or did not do what its layout promises."""


class NumberError(ModelError):
    """A model makes of a row of states what is no number.

    Args:
        row: which of those that it was given.
        dtype: what it computes in.
    """

    def __init__(self, row: int, dtype: str) -> None:
        wider = "try --dtype bfloat16 or float32, where the model was made for them"
        exact = dtype in ("torch.float32", "torch.float64")
        super().__init__(
            f"the model says what is no number (NaN or infinite, {dtype})",
            "its weights may be damaged: fetch the model again" if exact else wider,
        )
        self.row = row
        self.dtype = dtype

    def __reduce__(self) -> tuple[type[NumberError], tuple[int, str]]:
        return NumberError, (self.row, self.dtype)


class DataError(HeadpruneError):
    """A dataset or a file of it is missing or cannot be read."""


class PictureError(DataError):
    """One picture cannot be read; the dataset goes on without it, and says so."""


class SampleError(DataError):
    """One sample cannot be worked on: its picture is gone, or the model makes of it what is no number. A run goes on
    without it, up to a limit.

    Args:
        sample: its id.
        reason: what is wrong with it.
    """

    def __init__(self, sample: str, reason: str, hint: str = "") -> None:
        super().__init__(f"sample {sample}: {reason}", hint)
        self.sample = sample
        self.reason = reason

    def __reduce__(self) -> tuple[type[SampleError], tuple[str, str, str]]:
        return SampleError, (self.sample, self.reason, self.hint)


class ServiceError(PluginError):
    """A service that a plugin asks does not answer now, and may later.

    Args:
        answered: whether it has answered before, in this process. Where it has, a run waits for it; where it never
            has, its address may be wrong, and the run ends at once.
    """

    def __init__(self, message: str, hint: str = "", answered: bool = False) -> None:
        super().__init__(message, hint)
        self.answered = answered


class Notice(UserWarning):
    """Something a user should know though nothing failed: a fallback, a doubt. The command line prints it on stderr."""


def notice(message: str) -> None:
    """Announce a fallback or a doubt."""
    warnings.warn(message, Notice, stacklevel=2)
