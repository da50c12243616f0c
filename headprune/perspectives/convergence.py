"""Convergence (section 4.3): from which layer on the answer stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headprune.errors import UsageError
from headprune.hooks.kinds import Scorer
from headprune.perspectives.linguistic import captions_by_layer
from headprune.scoring.importance import scored
from headprune.scoring.statistics import Floats, limits, mean_interval, mean_intervals
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch
from headprune.types import Generation, Interval, Sample, ScoreItem


@dataclass(frozen=True, slots=True)
class Convergence:
    """How convergence is judged: by `scorer` at `tau`, or by equal captions where `scorer` is None."""

    scorer: Scorer | None
    tau: float = 0.95


@dataclass(frozen=True, slots=True)
class Converged:
    """Where the words of a model stand still (METHOD.md, Convergence; figure 3), of n pictures.

    Attributes:
        layers: those that were looked at, 0-based; the last is the last one that the model reads.
        captions: [n][layers], D(Z[l+1]).
        scores: [n, layers], of captions against gold; of a scorer that needs none, against the last layer's.
        curve: [layers], mean of the scores over pictures.
        tol: how near the last layer's mean score counts as there, as a share of it.
        plateau: the first layer from which on every layer's mean score is within `tol` of the last one's.
            None where that is 0, of which there is no share.
        plateau_limits: its 95 % bootstrap limits.
        tau: the least score against the last caption that counts as saying the same; None where captions had to be
            equal.
        convergence_layers: [n], the first layer from which on a picture's captions say the same as its last.
        convergence_layer: their mean over pictures.
    """

    layers: tuple[int, ...]
    captions: tuple[tuple[str, ...], ...]
    scores: Floats
    curve: tuple[Interval, ...]
    tol: float
    plateau: int | None
    plateau_limits: tuple[float, float] | None
    tau: float | None
    convergence_layers: Floats
    convergence_layer: Interval


def converged(
    adapter: Adapter,
    samples: Sequence[Sample],
    layers: Sequence[int],
    scorer: Scorer,
    convergence: Convergence,
    generation: Generation,
    batch: Batch,
    tol: float = 0.02,
    seed: int = 0,
) -> Converged:
    """From which of `layers` on the words of a model score as its last layer's do, and say the same.

    One tower pass a picture; the words of many layers and pictures are generated together.

    Args:
        layers: 0-based, sorted, the last that the model reads among them.
        scorer: fitted, where it needs gold captions.
        convergence: how a picture's captions are told to say the same.
        tol: of the plateau, relative.
        seed: of the bootstrap over pictures.

    Raises:
        UsageError: the last layer is not among `layers`, or the scorer needs gold captions and a sample has none.
    """
    last = adapter.geometry.live - 1
    if last not in layers:
        raise UsageError(
            f"convergence compares with the last layer, which is not among the layers {list(layers)}",
            f"add {last} to --layers",
        )
    said = captions_by_layer(adapter, samples, layers, generation, batch)
    items = [
        ScoreItem(caption, row[-1], sample.captions, sample.load, sample.id, layer)
        for sample, row in zip(samples, said, strict=True)
        for layer, caption in zip(layers, row, strict=True)
    ]
    scores: Floats = scored(scorer, items).reshape(len(samples), len(layers))
    numbers = np.asarray(layers)
    stands = scores[:, -1].mean() != 0
    low, high = limits(scores, seed, lambda means: numbers[plateau(means, tol)])
    found: Floats = numbers[convergence_layers(said, convergence.scorer, convergence.tau).astype(int)].astype(float)
    return Converged(
        layers=tuple(layers),
        captions=tuple(map(tuple, said)),
        scores=scores,
        curve=mean_intervals(scores, seed),
        tol=tol,
        plateau=int(numbers[plateau(scores.mean(axis=0), tol)]) if stands else None,
        plateau_limits=(float(low), float(high)) if stands else None,
        tau=convergence.tau if convergence.scorer else None,
        convergence_layers=found,
        convergence_layer=mean_interval(found, seed),
    )


def convergence_layers(captions: Sequence[Sequence[str]], scorer: Scorer | None, tau: float = 0.95) -> Floats:
    """The convergence layer of each image, [n], 0-based.

    It is the first layer from which on every caption scores at least `tau` against the last layer's.

    Args:
        captions: [n][L], D(Z[l]) of every layer.
        scorer: compares a caption with the last one (the paper: BERTScore F1); None asks for equal captions.
        tau: the least score that counts as the same.
    """
    layers = len(captions[0])
    if scorer is None:
        agrees = np.array([[said == row[-1] for said in row] for row in captions])
    else:
        items = [ScoreItem(said, row[-1]) for row in captions for said in row]
        agrees = (scored(scorer, items) >= tau).reshape(-1, layers)
        agrees[:, -1] = True
    result: Floats = _standing(agrees).astype(np.float64)
    return result


def plateau(scores: Floats, tol: float = 0.02) -> NDArray[np.intp]:
    """The plateau layer of each of [..., L] mean scores, 0-based: the first from which on all lie within `tol`.

    That is |score[l] - score[L]| <= tol * |score[L]|, above as well as below; the last layer's score may be negative.
    Where it is 0 there is no share of it, and only scores of 0 count as there.
    """
    return _standing(np.isclose(scores, scores[..., -1:], rtol=tol, atol=0))


def _standing(agrees: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Where the run of agreement that ends at the last of [..., L] layers begins."""
    # Counted from the last layer back.
    run: NDArray[np.intp] = np.cumprod(agrees[..., ::-1], axis=-1).sum(axis=-1)
    begins: NDArray[np.intp] = agrees.shape[-1] - run
    return begins
