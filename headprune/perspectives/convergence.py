"""Convergence (section 4.3): from which layer on the answer stands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headprune.hooks.kinds import Scorer
from headprune.scoring.importance import scored
from headprune.scoring.statistics import Floats
from headprune.types import ScoreItem


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
