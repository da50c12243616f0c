"""Means over a dataset of what each layer reads (section 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headprune.errors import UsageError
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, traces
from headprune.types import Form, Sample


@dataclass(frozen=True, slots=True)
class InputMeans:
    """Means over pictures of each layer's input Z[l].

    Attributes:
        of: layer -> [T, d], or [1, d] where the mean is over tokens too; float64, on the CPU.
        per_token: whether it is one for each token position.
        form: of the pictures, where it is: only such pictures have the same positions.
        samples: pictures that it was taken over.
    """

    of: Mapping[int, Tensor]
    per_token: bool
    form: Form
    samples: int

    def like(self, layer: int, states: Tensor, form: Form) -> Tensor:
        """The mean input of a layer as the states of one picture, [1, T, d].

        Args:
            layer: 0-based.
            states: [B, T, d] of pictures of `form`, whose shape, dtype and device it gets.

        Raises:
            UsageError: means of token positions do not fit pictures of this form.
        """
        if self.per_token and form != self.form:
            raise _of_one_form()
        mean = self.of[layer].to(states.dtype).to(states.device)
        return mean.expand(1, *states.shape[1:])


def mean_inputs(
    adapter: Adapter,
    samples: Sequence[Sample],
    layers: Sequence[int],
    batch: Batch,
    per_token: bool = True,
    progress: Callable[[int], None] = lambda done: None,
) -> InputMeans:
    """Means of the inputs of `layers` (0-based) over the samples: one pass, summed in float64.

    Args:
        per_token: whether token positions are kept apart; else every token of every picture counts the same.
        progress: called with the number of pictures seen.

    Raises:
        UsageError: there is no sample, or token positions are to be kept apart in pictures of several forms.
    """
    if not samples:
        raise UsageError("there is no picture to take means over", "give data with pictures")
    sums: dict[int, Tensor] = {}
    forms: set[Form] = set()
    done = tokens = 0
    for some, traced in traces(adapter, samples, batch, layers):
        forms.add(traced.form)
        if per_token and len(forms) > 1:
            raise _of_one_form()
        for layer, capture in traced.captures.items():
            total = _summed(capture.residual)
            total = total if per_token else total.sum(dim=0, keepdim=True)
            sums[layer] = sums[layer] + total if layer in sums else total
        done += len(some.samples)
        tokens += len(some.samples) * traced.captures[layers[0]].residual.shape[1]
        progress(done)
    return InputMeans(
        of={layer: total / (done if per_token else tokens) for layer, total in sums.items()},
        per_token=per_token,
        form=forms.pop() if per_token else None,
        samples=done,
    )


def _summed(states: Tensor) -> Tensor:
    """[B, T, d] -> [T, d] float64 on the CPU; on the device as far as it can: Apple's has no float64."""
    here = states.cpu() if states.device.type == "mps" else states
    return here.sum(dim=0, dtype=torch.float64).cpu()


def _of_one_form() -> UsageError:
    return UsageError(
        "token positions have a mean over pictures of one size only, and these differ",
        "--means all takes one mean over all tokens; or make all pictures the same size",
    )
