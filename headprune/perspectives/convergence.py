"""Convergence (section 4.3): from which layer on the answer stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headprune.hooks.kinds import Scorer
from headprune.scoring.importance import scored
from headprune.scoring.statistics import Floats
from headprune.types import Interval, ScoreItem


@dataclass(frozen=True, slots=True)
class ConvergenceCurve:
    """Where the words of a model stand still (METHOD.md, Convergence; figure 3). Layers are 0-based; L are live.

    Attributes:
        samples: [n], ids.
        captions: [n][L], D(Z[l]) of every layer.
        scores: [n, L], of each caption against gold; of a scorer that needs none, against the last layer's caption.
        curve: [L], mean of the scores over samples, with its bootstrap interval.
        tol: how near the last layer's mean counts as there, relative to it.
        plateau: the first layer from which on every layer's mean is within `tol` of the last one's.
        plateau_limits: 95 % bootstrap limits of the plateau.
        tau: the least score against the last caption that counts as the same.
        convergence_layers: [n], the first layer from which on the sample's captions say the same as the last.
        convergence_layer: its mean over samples, with its bootstrap interval.
    """

    samples: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    scores: Floats
    curve: tuple[Interval, ...]
    tol: float
    plateau: int
    plateau_limits: tuple[float, float]
    tau: float
    convergence_layers: Floats
    convergence_layer: Interval


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
    # Counted from the last layer back: the run of agreement that ends there.
    standing = np.cumprod(agrees[:, ::-1], axis=1).sum(axis=1)
    result: Floats = (layers - standing).astype(np.float64)
    return result
