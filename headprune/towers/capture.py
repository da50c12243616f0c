"""One pass of the tower, and what each layer did in it.

Notation (METHOD.md): B pictures, T tokens, width d, H heads of width dh. Layer indices are 0-based, so layer l reads
Z[l] and writes Z[l+1]. "What is read" of a tower are the states that the model's connector takes from it: Z[L],
[B, T, d], for most; Z at several depths side by side, [B, T, n*d], where it takes more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from headprune.errors import ModelError
from headprune.towers.calls import Call, call_of, first_tensor
from headprune.towers.layout import Site
from headprune.types import Form


@dataclass(frozen=True, slots=True)
class Capture:
    """What one layer read, thought and said.

    Attributes:
        layer: 0-based index.
        residual: [B, T, d], the layer's input Z[l].
        heads: [B, T, H*dh], the head outputs x side by side, as the output projection reads them.
        output: [B, T, d], the layer's output Z[l+1].
        attended: the attention module's whole answer, whose first tensor a replay puts another in place of.
        calls: how the tower called each of its layers, this one's and all others'.
        earlier: depth -> Z, [B, T, d], of the depths up to this layer's input that are read.
        form: of the pictures.
    """

    layer: int
    residual: Tensor
    heads: Tensor
    output: Tensor
    attended: Any
    calls: Sequence[Call]
    earlier: Mapping[int, Tensor]
    form: Form

    @property
    def call(self) -> Call:
        """How the tower called this layer."""
        return self.calls[self.layer]


@dataclass(frozen=True, slots=True)
class Trace:
    """One tower pass over pictures of one form: captures by layer; and by depth (0: embeddings) what is read of a
    tower that stops there, [B, T, d] or [B, T, n*d]."""

    captures: dict[int, Capture]
    states: dict[int, Tensor]
    form: Form


def read(reads: Sequence[int], earlier: Mapping[int, Tensor], depth: int, last: Tensor) -> Tensor:
    """What is read of a tower that stops at `depth` with states `last`, [R, T, d] -> [R, T, n*d].

    Of depths that it did not come to, its last states are read: the layers in between do nothing.

    Args:
        reads: the n depths that are read.
        earlier: depth -> Z of those before `depth`; R rows each, or B where rows are variants of B pictures.
    """
    if all(wanted >= depth for wanted in reads):
        return last if len(reads) == 1 else last.repeat(1, 1, len(reads))
    parts = [last if wanted >= depth else earlier[wanted] for wanted in reads]
    return torch.cat([part.repeat(len(last) // len(part), 1, 1) for part in parts], dim=-1)


def trace(
    sites: tuple[Site, ...],
    run: Callable[[], object],
    pictures: int,
    reads: Sequence[int],
    form: Form = None,
    capture: Collection[int] = (),
    depths: Collection[int] = (),
) -> Trace:
    """Run the tower once and keep what was asked for, differentiable where gradients are on.

    Args:
        sites: the tower's layers.
        run: runs the tower's own forward, once.
        pictures: B, pictures that it runs on.
        reads: the depths of Z that are read.
        form: of the pictures, kept with what is found.
        capture: layers to capture, 0-based.
        depths: depths at which the tower might stop, 0..L.

    Raises:
        ModelError: a layer was not called exactly once, or not with states of that many pictures.
    """
    wanted = {*depths, *(depth for depth in reads if depth <= max([*capture, *depths], default=0))}
    noted = {max(depth - 1, 0) for depth in wanted}
    recorders = [_Recorder(site, pictures, site.index in capture, site.index in noted) for site in sites]
    with ExitStack() as stack:
        for recorder in recorders:
            stack.enter_context(recorder.listening())
        run()
    found = {depth: recorders[depth - 1].output() if depth else recorders[0].residual() for depth in wanted}
    calls = tuple(recorder.call() for recorder in recorders)
    captures = {}
    for layer in capture:
        earlier = {depth: found[depth] for depth in reads if depth <= layer}
        captures[layer] = recorders[layer].capture(calls, earlier, form)
    return Trace(captures, {depth: read(reads, found, depth, found[depth]) for depth in depths}, form)


class _Recorder:
    """Listens to one layer for one pass: to how it is called, and to what it reads and says as far as is wanted."""

    def __init__(self, site: Site, pictures: int, whole: bool, states: bool) -> None:
        self._site = site
        self._pictures = pictures
        self._whole = whole
        self._states = states or whole
        self._seen: dict[str, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        handles: list[RemovableHandle] = [
            self._site.layer.register_forward_pre_hook(self._on_enter, with_kwargs=True),
        ]
        if self._states:
            handles.append(self._site.layer.register_forward_hook(self._on_leave))
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
        call, given = call_of(module, self._pictures, args, kwargs)
        self._once("call", call)
        if self._states:
            self._once("input", call.states(given))

    def _on_leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._once("output", self.call().states(first_tensor(output)))

    def _on_project(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        given = args[0]
        call = self.call()
        if given.shape[:-1] != (call.rows, *call.inner[:-1]):
            raise ModelError(
                f"layer {self._site.index} has head outputs {list(given.shape)} for states of {call.rows} rows",
                "this family needs a layout of its own",
            )
        self._once("head outputs", call.states(given))

    def _on_attend(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._once("attention output", output)

    def _get(self, what: str) -> Any:
        if what not in self._seen:
            raise ModelError(
                f"{what} of layer {self._site.index} never came: its hook did not fire",
                "the layout does not fit this model",
            )
        return self._seen[what]

    def call(self) -> Call:
        found: Call = self._get("call")
        return found

    def residual(self) -> Tensor:
        states: Tensor = self._get("input")
        return states

    def output(self) -> Tensor:
        states: Tensor = self._get("output")
        return states

    def capture(self, calls: Sequence[Call], earlier: Mapping[int, Tensor], form: Form) -> Capture:
        return Capture(
            self._site.index,
            self.residual(),
            self._get("head outputs"),
            self.output(),
            self._get("attention output"),
            calls,
            earlier,
            form,
        )
