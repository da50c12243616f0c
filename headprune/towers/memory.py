"""How much fits at once: found by trying, and halved when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import torch

from headprune.errors import ModelError, notice

T = TypeVar("T")
_CPU_BUDGET = 1 << 30
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Room:
    """How many rows or pictures are done at once; halved, for good, whenever memory runs out.

    Args:
        size: how many to begin with.
        what: what they are, for messages.
    """

    def __init__(self, size: int, what: str) -> None:
        self.size = max(1, size)
        self._what = what

    def pieces(self, total: int, work: Callable[[int, int], T], each: int = 1) -> Iterator[tuple[int, int, T]]:
        """`work(start, stop)` over 0..total in pieces that fit, in order, with what it answered.

        Args:
            total: how many there are.
            work: does some of them.
            each: how much of the size one of them takes.

        Raises:
            ModelError: not even one fits.
        """
        start = 0
        while start < total:
            stop = min(start + max(1, self.size // each), total)
            try:
                done = work(start, stop)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self._halve(stop - start, each, error)
            else:
                yield start, stop, done
                start = stop
                continue
            # Out of the handler: until there, the error's frames hold what filled the memory.
            release()

    def _halve(self, tried: int, each: int, error: BaseException) -> None:
        if tried == 1:
            raise ModelError(
                f"memory does not hold {each} {self._what} at once",
                "try --batch-size 1, a smaller --dtype, --device cpu, or a larger device",
            ) from error
        self.size = tried // 2 * each
        notice(f"out of memory with {tried * each} {self._what} at once: going on with {self.size}")


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a device or on the CPU."""
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or should_reduce_batch_size(error)


def release() -> None:
    """Give memory that nothing uses any more back to the device."""
    from accelerate.utils.memory import clear_device_cache

    clear_device_cache(garbage_collection=True)


def budget(device: torch.device) -> int:
    """Bytes that batches may take: a quarter of what is free on CUDA, 1 GiB on a CPU."""
    return torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else _CPU_BUDGET


def measured(device: torch.device, work: Callable[[], T]) -> tuple[T, int | None]:
    """What `work` answers, and by how many bytes memory in use grew meanwhile at its peak.

    None where that cannot be known: on a CPU it takes Linux, which counts whole pages of the whole process. It sums
    up its threads' counts now and then only, so a peak can come out a little below what was there before: that is 0.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        return work(), torch.cuda.max_memory_allocated(device) - before
    before_work = _resident(reset=True)
    answer = work()
    peak = _resident()
    return answer, max(0, peak - before_work) if peak is not None and before_work is not None else None


def _resident(reset: bool = False) -> int | None:
    """The largest resident size of this process in bytes, since it was last reset; None where no one counts it."""
    try:
        if reset:
            _CLEAR.write_text("5")
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith("VmHWM:")), None)
    return int(found.split()[1]) * 1024 if found else None
