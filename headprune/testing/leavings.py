"""What code may leave behind in a model and in the process that runs it, beside what it answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as all_modules
from torch.utils._python_dispatch import TorchDispatchMode

State = Mapping[str, Any]
"""By what a human would call it."""


def _numpys_state() -> tuple[Any, ...]:
    # The array in it compares number by number.
    return tuple(tuple(part) if isinstance(part, np.ndarray) else part for part in np.random.get_state())


# Each with how it is read and how it is set.
_PROCESS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "whether gradients are on": (torch.is_grad_enabled, torch.set_grad_enabled),
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "whether algorithms are deterministic": (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    "the precision of float32 products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's random numbers": (torch.get_rng_state, torch.set_rng_state),
    "numpy's random numbers": (_numpys_state, np.random.set_state),
    "Python's random numbers": (random.getstate, random.setstate),
}


def state_of_process() -> State:
    """Settings and random numbers of the process, and hooks that fire on every module."""
    return {name: read() for name, (read, _) in _PROCESS.items()} | {
        f"{name.removeprefix('_global_')} on every module": dict(hooks) for name, hooks in _hooks_on_all().items()
    }


@contextmanager
def restored() -> Iterator[None]:
    """Whatever is changed of the process within the context, behind it it is as before."""
    before = {name: read() for name, (read, _) in _PROCESS.items()}
    hooks_before = {name: dict(hooks) for name, hooks in _hooks_on_all().items()}
    try:
        yield
    finally:
        for name, (_, write) in _PROCESS.items():
            write(before[name])
        for name, hooks in _hooks_on_all().items():
            hooks.clear()
            hooks.update(hooks_before[name])


def _hooks_on_all() -> dict[str, dict[Any, Any]]:
    return {
        name: hooks
        for name, hooks in vars(all_modules).items()
        if name.startswith("_global_") and isinstance(hooks, dict)
    }


def state_of(model: nn.Module) -> State:
    """Weights with their gradients and hooks, and whatever hangs on a module: hooks, a forward of its own, its mode."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            # Most are dicts of hooks, and empty.
            if value or not isinstance(value, dict):
                found[f"{attribute} of {name or 'the model'}"] = dict(value) if isinstance(value, dict) else value
    for name, weight in [*model.named_parameters(), *model.named_buffers()]:
        found[name] = weight.detach().clone()
        found[f"the gradient of {name}"] = {"wanted": weight.requires_grad, "there": weight.grad}
        found[f"hooks on the gradient of {name}"] = dict(weight._backward_hooks or {})
    return found


def differences(before: State, after: State) -> list[str]:
    """What is not as it was."""
    gone = object()
    names = {**before, **after}
    return [name for name in names if not _same(before.get(name, gone), after.get(name, gone))]


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype is other.dtype and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(one[key] is other[key] for key in one)
    return type(one) is type(other) and bool(one == other)


class RunsOut(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within the context, memory runs out once, at one of torch's operations; the others run and are counted.

    Args:
        at: which one, 0-based; None for never.
    """

    def __init__(self, at: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.at = at
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        if self.at is not None and self.operations == self.at + 1:
            raise torch.OutOfMemoryError(f"out of memory in {func}, as this contract has it")
        return func(*args, **(kwargs or {}))
