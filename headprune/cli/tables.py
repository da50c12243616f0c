"""What tables look like on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headprune.cli.output import table

if TYPE_CHECKING:
    from headprune.evaluation.table1 import Evaluation, Side
    from headprune.patch.patch import Patch
    from headprune.scoring.algorithm import ScoreResult
    from headprune.scoring.estimate import Estimate
    from headprune.types import Geometry, Interval

# Beside its number a head gets a colour: what it is multiplied by, from silent to twice as loud.
_SHADES = ((0.9, "red"), (0.98, "yellow"), (1.02, "default"), (1.1, "green"), (np.inf, "bold green"))


def head_table(result: ScoreResult) -> RenderableType:
    """Layers by heads of a finished score, with the widest interval of each layer."""
    low, high = result.alpha_limits
    heads = result.patch.info.model.heads
    spread = heads * (high - low).max(axis=1)
    return _heads(result.patch, {layer: f"{50 * spread[row]:.0f}" for row, layer in enumerate(result.layers)})


def patch_table(patch: Patch) -> RenderableType:
    """Where a patch comes from and what it does to each head."""
    info = patch.info
    facts = [
        (
            "model",
            f"{info.model.name} ({info.model.layers} layers x {info.model.heads} heads of {info.model.head_width})",
        ),
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
    return Group(table("", ("", ""), facts, left=2), _heads(patch, {}))


def _heads(patch: Patch, margins: dict[int, str]) -> Table:
    made = Table(
        title="what each head is multiplied by, in percent",
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=None,
        pad_edge=False,
        collapse_padding=True,
        header_style="dim",
    )
    made.add_column("layer", justify="right", style="dim")
    for head in range(patch.info.model.heads):
        made.add_column(str(head), justify="right")
    if margins:
        made.add_column("±", justify="right", style="dim")
    for layer in patch.scored:
        cells = [_shaded(float(value)) for value in patch.scale[layer]]
        made.add_row(str(layer), *cells, *([margins[layer]] if margins else []))
    made.caption = "layers and heads are 0-based" + (
        "; ±95%: widest bootstrap half-interval of the layer" if margins else ""
    )
    made.caption_justify = "left"
    return made


def _shaded(value: float) -> Text:
    return Text(f"{100 * value:.0f}", style=next(style for limit, style in _SHADES if value < limit))


def estimate_table(geometry: Geometry, estimate: Estimate, samples: int, available: int) -> Table:
    """What a dry run found."""
    download = "unknown" if estimate.download_bytes is None else _size(estimate.download_bytes)
    rows = [
        ("tower", str(geometry)),
        ("samples", f"{samples:,} of {available:,}"),
        ("tower passes", f"{estimate.tower_passes:,}"),
        ("layer replays", f"{estimate.layer_replays:,}"),
        ("captions to generate", f"{estimate.decodes:,}"),
        ("weights in memory", _size(estimate.weight_bytes)),
        ("states of one batch", _size(estimate.working_bytes)),
        ("download", download),
    ]
    return table("what would be computed", ("", ""), rows)


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
        difference = _interval(evaluation.difference, "+.3f")
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
    convergence = _interval(side.convergence_layer, ".2f") if side.convergence_layer else "-"
    return (
        name,
        _interval(side.score, ".3f"),
        convergence,
        f"{side.parameters:,}",
        f"{1000 * side.seconds_per_image:.2f}",
    )


def _interval(interval: Interval, form: str) -> str:
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def _verdict(difference: Interval) -> str:
    if difference.low > 0:
        return "the patch helps"
    if difference.high < 0:
        return "the patch hurts"
    return "no difference that these images show"
