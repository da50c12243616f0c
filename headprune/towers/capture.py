"""One pass of the tower, and what each layer did in it.

Notation (METHOD.md): B pictures, T tokens, width d, H heads of width dh. Layer indices are 0-based, so layer l reads
Z[l] and writes Z[l+1].
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from headprune.errors import ModelError
from headprune.towers.layout import Site


@dataclass(frozen=True, slots=True)
class Capture:
    """What one layer read, thought and said.

    Attributes:
        layer: 0-based index.
        residual: [B, T, d], the layer's input Z[l].
        heads: [B, T, H*dh], the head outputs x side by side, as the output projection reads them.
        output: [B, T, d], the layer's output Z[l+1].
        kwargs: what else the tower passed to the layer.
        attended: the attention module's whole answer, whose first tensor a replay puts another in place of.
    """

    layer: int
    residual: Tensor
    heads: Tensor
    output: Tensor
    kwargs: dict[str, Any]
    attended: Any


@dataclass(frozen=True, slots=True)
class Trace:
    """One tower pass: captures by layer, and the inputs of the requested layers as Z by depth (0 = embeddings)."""

    captures: dict[int, Capture]
    states: dict[int, Tensor]


def trace(
    sites: tuple[Site, ...],
    run: Callable[[], object],
    capture: Collection[int] = (),
    depths: Collection[int] = (),
) -> Trace:
    """Run the tower once and keep what was asked for, differentiable where gradients are on.

    Args:
        sites: the tower's layers.
        run: runs the tower's own forward, once.
        capture: layers to capture, 0-based.
        depths: depths of Z to keep, 0..L; Z[0] is the embedding output, Z[L] the last layer's.

    Raises:
        ModelError: a layer was not called exactly once with [B, T, d] states.
    """
    needed = {*capture, *(max(depth - 1, 0) for depth in depths)}
    recorders = {layer: _Recorder(sites[layer], layer in capture) for layer in needed}
    with ExitStack() as stack:
        for recorder in recorders.values():
            stack.enter_context(recorder.listening())
        run()
    states = {}
    for depth in depths:
        recorder = recorders[max(depth - 1, 0)]
        states[depth] = recorder.residual() if depth == 0 else recorder.output()
    return Trace({layer: recorders[layer].capture() for layer in capture}, states)


class _Recorder:
    """Listens to one layer for one pass."""

    def __init__(self, site: Site, whole: bool) -> None:
        self._site = site
        self._whole = whole
        self._seen: dict[str, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        handles: list[RemovableHandle] = [
            self._site.layer.register_forward_pre_hook(self._on_enter, with_kwargs=True),
            self._site.layer.register_forward_hook(self._on_leave),
        ]
        if self._whole:
            handles.append(self._site.output.register_forward_pre_hook(self._on_project))
            handles.append(self._site.attention.register_forward_hook(self._on_attend))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _once(self, what: str, value: Any) -> None:
        if what in self._seen:
            raise ModelError(
                f"{what} of layer {self._site.index} was seen twice in one pass",
                "this family needs a layout of its own",
            )
        self._seen[what] = value

    def _on_enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._once("input", args[0] if args else kwargs["hidden_states"])
        beside = [value for key, value in kwargs.items() if key != "hidden_states"]
        if any(value is not None for value in args[1:]) or any(isinstance(value, Tensor) for value in beside):
            raise ModelError(
                f"layer {self._site.index} takes more than its states, row by row",
                "replaying such a layer needs a layout of its own",
            )
        self._seen["kwargs"] = {key: value for key, value in kwargs.items() if key != "hidden_states"}

    def _on_leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._once("output", first_tensor(output))

    def _on_project(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._once("head outputs", args[0])

    def _on_attend(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._once("attention output", output)

    def _get(self, what: str) -> Any:
        if what not in self._seen:
            raise ModelError(
                f"{what} of layer {self._site.index} never came: its hook did not fire",
                "the layout does not fit this model",
            )
        return self._seen[what]

    def residual(self) -> Tensor:
        states: Tensor = self._get("input")
        return states

    def output(self) -> Tensor:
        states: Tensor = self._get("output")
        return states

    def capture(self) -> Capture:
        heads: Tensor = self._get("head outputs")
        residual = self.residual()
        if heads.dim() != 3 or residual.dim() != 3 or heads.shape[:2] != residual.shape[:2]:
            shapes = f"states {list(residual.shape)} and head outputs {list(heads.shape)}"
            raise ModelError(
                f"layer {self._site.index} has {shapes}, not [B, T, d]", "this family needs a layout of its own"
            )
        return Capture(
            self._site.index, residual, heads, self.output(), self._get("kwargs"), self._get("attention output")
        )


def first_tensor(answer: Any) -> Tensor:
    """The states in a module's answer: the answer itself, or the first of a tuple."""
    states = answer[0] if isinstance(answer, tuple) else answer
    if not isinstance(states, Tensor):
        raise ModelError(
            f"a module answered with {type(states).__name__}, not a tensor", "this family needs a layout of its own"
        )
    return states
