"""What tables look like on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headprune.cli.expense import expense_table
from headprune.cli.output import interval, shown, table

if TYPE_CHECKING:
    from headprune.evaluation.auto import AutoPruning
    from headprune.evaluation.table1 import Evaluation, Side
    from headprune.jobs.check import Checked
    from headprune.patch.patch import Array, Patch
    from headprune.scoring.algorithm import ScoreResult
    from headprune.scoring.estimate import Estimate
    from headprune.types import Geometry, Interval

# A head that stands out from its layer, by how many standard deviations, gets a colour.
_SHADES = ((-1.5, "bold red"), (-0.75, "yellow"), (0.75, "default"), (1.5, "green"), (np.inf, "bold green"))

_OUTCOMES = {"kept": "green", "broken": "bold red", "left out": "yellow"}


def head_table(result: ScoreResult) -> RenderableType:
    """Importance of each head of a finished score, layers by heads, with the widest interval of each layer.

    Times 100, and not in percent: CIDEr has no upper end, and some scorers count in nats.
    """
    info = result.patch.info
    low, high = result.importance_limits
    half = np.max(high - low, axis=1, where=np.isfinite(low), initial=0) / 2
    margins = {layer: f"{100 * half[row]:.1f}" for row, layer in enumerate(result.layers)}
    how = f"{info.edit['name']}, {info.scorer['name']}, {len(info.sample_ids)} samples"
    title = f"importance of each head, times 100 ({how})"
    return _heads(title, result.patch.importance, list(result.layers), margins)


def verdict_table(checked: Checked) -> RenderableType:
    """What came of each promise of a plugin; why, below it, where it is not kept."""
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for verdict in checked.verdicts:
        made.add_row(Text(verdict.outcome, style=_OUTCOMES[verdict.outcome]), shown(verdict.promise))
        for line in verdict.why.splitlines():
            made.add_row("", Padding(shown(line), (0, 0, 0, 2)))
    return Group(made, Text(checked.summary, style="bold"))


def patch_table(patch: Patch) -> RenderableType:
    """Where a patch comes from and what it does to each head."""
    info = patch.info
    facts = [
        ("model", f"{info.model.name} ({info.model.geometry})"),
        ("scored on", f"{len(info.sample_ids)} samples of {info.dataset}, seed {info.seed}"),
        ("scorer", str(info.scorer["name"])),
        (
            "edit",
            f"{info.edit['name']}, decoded at {info.decode_at}, {info.schedule}, temperature {info.temperature:g}",
        ),
        ("digest", patch.digest()[:16]),
    ]
    if info.parents:
        facts.append(("composed of", ", ".join(parent[:16] for parent in info.parents)))
    scales = _heads("what each head is multiplied by, in percent", patch.scale, patch.scored, {})
    return Group(table("", ("", ""), facts, left=2), scales)


def _heads(title: str, values: Array, layers: list[int], margins: dict[int, str]) -> RenderableType:
    """Values [L, H] times 100, a row a layer; heads that stand out from their layer are coloured."""
    made = Table(box=None, pad_edge=False, collapse_padding=True, header_style="dim")
    made.add_column("layer", justify="right", style="dim")
    for head in range(values.shape[1]):
        made.add_column(str(head), justify="right")
    if margins:
        made.add_column("±", justify="right", style="dim")
    # A decimal tells small numbers apart; sixteen heads of it would not fit on eighty columns.
    digits = 1 if values.shape[1] <= 12 else 0
    for layer in layers:
        row = values[layer].astype(np.float64)
        there = row[np.isfinite(row)]
        mean, spread = (there.mean(), there.std() or 1.0) if len(there) else (0.0, 1.0)
        cells = [
            Text(f"{100 * value:.{digits}f}", style=_shade((value - mean) / spread))
            if np.isfinite(value)
            else Text("-")
            for value in row
        ]
        made.add_row(str(layer), *cells, *([margins[layer]] if margins else []))
    legend = "layers and heads are 0-based" + ("; ±: widest 95 % bootstrap half-interval" if margins else "")
    # Lines of their own: a table's title and caption would be folded to its width.
    return Group(Text(title, style="bold"), made, Text(legend, style="dim"))


def _shade(deviations: float) -> str:
    return next(style for limit, style in _SHADES if deviations < limit)


def estimate_table(geometry: Geometry, estimate: Estimate, samples: int, available: int) -> RenderableType:
    """What a dry run found."""
    download = "unknown" if estimate.download_bytes is None else _size(estimate.download_bytes)
    rows = [
        ("tower", f"{geometry}, {'CLS first' if geometry.cls else 'no CLS'}"),
        *([("read by nothing", f"layers from {geometry.live}: not scored")] if geometry.dead else []),
        ("samples", f"{samples:,} of {available:,}"),
        ("tower passes", f"{estimate.tower_passes:,}"),
        ("layer replays", f"{estimate.layer_replays:,}"),
        ("captions to generate", f"{estimate.decodes:,}"),
        *([("captions to ask about", f"{estimate.forced:,}")] if estimate.forced else []),
        ("weights in memory", _size(estimate.weight_bytes)),
        ("states of one batch", _size(estimate.working_bytes)),
        ("download", download),
    ]
    computed = table("what would be computed", ("", ""), rows)
    return Group(computed, expense_table(estimate.expense)) if estimate.expense else computed


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.1f} {unit}" if unit != "B" else f"{count} B"
        value /= 1024
    return f"{value:.1f} TiB"


def evaluation_table(evaluation: Evaluation, excluded: int, scorer: str) -> RenderableType:
    """Table 1, the paired difference and the control."""
    rows = [_side("before", evaluation.before)]
    if evaluation.after:
        rows.append(_side("after", evaluation.after))
    title = f"table 1: {evaluation.samples} samples, {excluded} scored ones left out"
    parts: list[RenderableType] = [
        table(title, ("", f"{scorer} [95 %]", "convergence layer", "parameters", "ms/image"), rows)
    ]
    if evaluation.difference:
        difference = interval(evaluation.difference, "+.3f")
        parts.append(Text(f"difference {difference}, paired over images: {_verdict(evaluation.difference)}"))
    if evaluation.control:
        control = evaluation.control
        mean, spread = np.mean(control.scores), np.std(control.scores)
        standing = "better than chance" if control.better_than_chance else "no better than chance"
        parts.append(
            Text(
                f"control: {len(control.scores)} random head sets score {mean:.3f} (sd {spread:.3f}); "
                f"the patch beats {control.beaten} of {len(control.scores)}: {standing}"
            )
        )
    return Group(*parts)


def _side(name: str, side: Side) -> tuple[str, ...]:
    convergence = interval(side.convergence_layer, ".2f") if side.convergence_layer else "-"
    return (
        name,
        interval(side.score, ".3f"),
        convergence,
        f"{side.parameters:,}",
        f"{1000 * side.seconds_per_image:.2f}",
    )


def _verdict(difference: Interval) -> str:
    if difference.low > 0:
        return "the patch helps"
    if difference.high < 0:
        return "the patch hurts"
    return "no difference that these images show"


def curve_table(pruning: AutoPruning) -> RenderableType:
    """The curve of `--prune auto`, the chosen fraction marked, and what was chosen why."""
    rows = [
        (
            ">" if point == pruning.chosen else "",
            f"{point.fraction:g}",
            str(point.heads),
            f"{point.score.mean:.3f}",
            interval(point.difference, "+.3f"),
        )
        for point in pruning.curve
    ]
    title = f"--prune auto: {pruning.validation} validation samples, heads ranked by the other {pruning.ranking}"
    columns = ("", "fraction", "heads", pruning.scorer, "difference [95 %]")
    return Group(table(title, columns, rows), *map(Text, _choice(pruning)))


def _choice(pruning: AutoPruning) -> list[str]:
    chosen, start, bound = pruning.chosen, pruning.curve[0].score.mean, pruning.bound
    within = f"within {100 * pruning.max_drop:g} % of {start:.3f} ({bound:.3f} or more)"
    lines = [f"chosen: fraction={chosen.fraction:g}, the largest {within}, as all smaller ones are"]
    if not chosen.heads:
        lines = [f"chosen: fraction=0, no head is pruned: {pruning.curve[1].fraction:g} is not {within}"]
    if pruning.unchanged != pruning.curve[0].score:
        before = pruning.unchanged.mean
        lines.append(f"the model as it is scores {before:.3f}; fraction 0 has its heads scaled ({pruning.scale})")
    return lines
