"""Data flow (Eq. 3-6): what each head, the attention's bias and the MLP add to the residual stream.

Exact at every token: Z[l+1] - Z[l] = g2*MLP + g1*(sum_h c[h] + b), layers 0-based. The bias belongs to no head.
"""

from __future__ import annotations

from dataclasses import dataclass

from headprune.scoring.statistics import Floats


@dataclass(frozen=True, slots=True)
class Parts:
    """One quantity of every part of a layer's update, n pictures and L layers.

    Attributes:
        heads: [n, L, H], of each head's contribution g1*c[h]; NaN where a sliced layer has no such head.
        bias: [n, L], of the output projection's bias, g1*b.
        mlp: [n, L], of the MLP's answer, g2*MLP.
    """

    heads: Floats
    bias: Floats
    mlp: Floats


@dataclass(frozen=True, slots=True)
class Flow:
    """A layer's update u = Z[l+1] - Z[l] and its parts, at one token or averaged over all of them.

    Projection and share are NaN where a layer changes nothing.

    Attributes:
        norm: |part|, in the units of the residual stream.
        projection: <part, u> / |u|, how far the part goes in the update's direction, in the same units; the parts'
            sum is |u|.
        share: <part, u> / <u, u>; the parts' sum is 1.
        update: [n, L], |u|.
    """

    norm: Parts
    projection: Parts
    share: Parts
    update: Floats


@dataclass(frozen=True, slots=True)
class Sources:
    """Where one picture's contributions come from: of source token i, g1 * a[h][j, i] (v[h][i] W[h]), at the reading
    token j, or averaged over all reading tokens.

    Attributes:
        norm: [L, H, T], its norm; NaN where a sliced layer has no such head.
        projection: [L, H, T], its projection on the update of token j; over i they sum to the head's.
    """

    norm: Floats
    projection: Floats


@dataclass(frozen=True, slots=True)
class DataFlow:
    """The data flow of n pictures through L layers, in the order they were asked for.

    Attributes:
        samples: the pictures' ids, [n].
        layers: 0-based, [L].
        token: j, the reading token, 0-based; None for the mean over all tokens.
        at: at token j; None where `token` is.
        mean: each quantity, averaged over all tokens.
        sources: of each picture; T is its own.
        error: [n, L], the largest |u - sum of the parts| at any token, relative to the largest number in the states.
    """

    samples: tuple[str, ...]
    layers: tuple[int, ...]
    token: int | None
    at: Flow | None
    mean: Flow
    sources: tuple[Sources, ...]
    error: Floats

    @property
    def chosen(self) -> Flow:
        """At the reading token, or the mean where there is none."""
        return self.at or self.mean
