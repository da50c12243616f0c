"""Section 5: BERTScore, ours against bert-score, on captions of rendered scenes and the bundled encoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bert_score import BERTScorer

from benchmarks.effort import Effort
from benchmarks.results import Section, compared
from benchmarks.rounds import interleaved
from benchmarks.task import DisagreementError
from headprune import ScoreItem, Scorer, make_scorer
from headprune.demo import BERT_LAYERS, bert_path
from headprune.demo.dataset import held_out

SCENES, QUICK_SCENES = 250, 10
TOLERANCE = 1e-5
PADDING_TOLERANCE = 0.03
COLD, WARM = "ours, nothing remembered", "ours, asked again"
ONE_CALL, PER_PAIR = "bert-score in one call", "bert-score, a call a pair"

Pairs = list[tuple[str, str]]


def run(effort: Effort) -> Section:
    """Pairs per second; models are loaded off the clock."""
    pairs = pairs_of(QUICK_SCENES if effort.quick else SCENES)
    theirs = BERTScorer(model_type=str(bert_path()), num_layers=BERT_LAYERS, device="cpu")
    fresh, warm = _Fresh(), loaded()
    score(warm, pairs)
    contestants: dict[str, Callable[[], list[float]]] = {
        # First, for it is what the others' scores are held against: bert-score itself, undisturbed by padding.
        PER_PAIR: lambda: [f1 for pair in pairs for f1 in one_call(theirs, [pair])],
        ONE_CALL: partial(one_call, theirs, pairs),
        COLD: lambda: score(fresh.scorer, pairs),
        WARM: partial(score, warm, pairs),
    }
    seconds = interleaved(contestants, effort.rounds, same_scores, before=fresh.renew)
    rates = {name: [len(pairs) / taken for taken in values] for name, values in seconds.items()}
    against = {COLD: (ONE_CALL, None), WARM: (ONE_CALL, None), PER_PAIR: (ONE_CALL, None)}
    sentences = len({sentence for pair in pairs for sentence in pair})
    return Section(
        "bertscore",
        "BERTScore: pairs per second",
        tuple(compared(f"{len(pairs)} pairs, {sentences} sentences", rates, "pairs/s", against)),
        (
            f"ours equals bert-score pair by pair within {TOLERANCE:g}",
            f"bert-score in one call pads, which moves its own scores (by up to {PADDING_TOLERANCE:g} is let pass)",
            "here a ratio above 1 is faster than bert-score in one call",
        ),
    )


def pairs_of(scenes: int) -> Pairs:
    """(candidate, reference): each scene's gold captions against its first; none empty: bert-score fails on those."""
    return [(caption, entry.captions[0]) for entry in held_out(scenes) for caption in entry.captions[1:]]


class _Fresh:
    """Our scorer with its model loaded and nothing remembered, made anew for each run."""

    def __init__(self) -> None:
        self.scorer = loaded()

    def renew(self) -> None:
        self.scorer = loaded()


def loaded() -> Scorer:
    """Our scorer, its model loaded by a pair that is not among those to come."""
    options = {"model_type": str(bert_path()), "num_layers": BERT_LAYERS, "device": "cpu"}
    scorer = make_scorer("bertscore", options)
    score(scorer, [("a", "b")])
    return scorer


def score(scorer: Scorer, pairs: Pairs) -> list[float]:
    """F1 of each pair, by ours."""
    return scorer.score([ScoreItem(candidate, reference) for candidate, reference in pairs])


def one_call(theirs: BERTScorer, pairs: Pairs) -> list[float]:
    """F1 of each pair, by bert-score in one call."""
    candidates, references = zip(*pairs, strict=True)
    f1: list[float] = theirs.score(list(candidates), list(references))[2].tolist()
    return f1


def same_scores(first: str, wanted: list[float], other: str, found: list[float]) -> None:
    """Scores must be equal, up to rounding; to what padding does for bert-score's own batch.

    Raises:
        DisagreementError: they are not; names the first difference.
    """
    tolerance = PADDING_TOLERANCE if other == ONE_CALL else TOLERANCE
    for number, (a, b) in enumerate(zip(wanted, found, strict=True)):
        if abs(a - b) > tolerance:
            raise DisagreementError(f"pair {number}: {first} scores {a:.6f}, {other} {b:.6f}")
