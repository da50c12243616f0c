"""The model card of an exported model: what it was, what was done to it, and how it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TITLE = {
    "fold": "Pruned heads are silent; all sizes are the base model's, so it loads as that does.",
    "slice": "Pruned heads are gone from the vision tower's weights. Those that are left are counted anew from 0; "
    "`kept` in the model's configuration says what each was called in the unpruned model.",
}


def model_card(record: Mapping[str, Any], loading: str, evaluation: Mapping[str, Any] | None) -> str:
    """Markdown for an exported folder.

    Args:
        record: what was done: `base`, `how`, `pruned`, and what is known of `backend`, `base_revision`, `patch`,
            `scale`, `prune`.
        loading: Python that loads the folder, FOLDER standing for its path.
        evaluation: the document of `headprune evaluate --json` for the same patch, scale and pruning, if there is one.
    """
    pruned = [tuple(head) for head in record["pruned"]]
    known = {
        "base model": record["base"],
        "revision": record.get("base_revision"),
        "patch (sha256)": record.get("patch"),
        "how": record["how"],
        "scale": record.get("scale"),
        "pruning rule": record.get("prune"),
        "heads pruned": len(pruned),
    }
    facts = [f"| {name} | {_code(value)} |" for name, value in known.items() if value is not None]
    by_layer: dict[int, list[str]] = {}
    for layer, head in pruned:
        by_layer.setdefault(layer, []).append(str(head))
    heads = [f"| {layer} | {', '.join(numbers)} |" for layer, numbers in by_layer.items()]
    parts = [
        f"---\nlibrary_name: {record.get('backend', 'transformers')}\ntags:\n- headprune\n---",
        f"# {_code(record['base'])}, pruned by headprune",
        f"Heads of the vision tower were weighed and pruned. {_TITLE[record['how']]}",
        "\n".join(["| | |", "|---|---|", *facts]),
        "## Heads that were pruned",
        "\n".join(["| layer (0-based) | heads (0-based) |", "|---|---|", *heads]) if heads else "None.",
        "## How it does",
        _measured(evaluation) if evaluation else "Not evaluated when this was exported: `headprune evaluate` does it.",
        "## How to load it",
        f"```python\nimport headprune\n\nmodel = headprune.load_model(FOLDER)\n```\n\nor\n\n```python\n{loading}\n```",
        "The base model's licence and limits apply.",
    ]
    return "\n\n".join(parts) + "\n"


def _measured(evaluation: Mapping[str, Any]) -> str:
    name = _code(evaluation["scorer"])
    rows = [
        f"| {side} | {_interval(evaluation[side]['score'])} | {evaluation[side]['parameters']:,} | "
        f"{1000 * evaluation[side]['seconds_per_image']:.2f} |"
        for side in ("before", "after")
    ]
    control = evaluation.get("control")
    chance = ""
    if control:
        chance = f" It beats {control['beaten']} of {len(control['scores'])} random head sets of the same size."
    return (
        f"On {evaluation['samples']} pictures that the heads were not weighed on, with the patch applied in memory "
        f"(so `after` has the parameters of the unpruned model):\n\n"
        f"| | {name} [95 %] | parameters | ms an image |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"Difference, paired over pictures: {_interval(evaluation['difference'], '+.3f')}.{chance}"
    )


def _interval(interval: Mapping[str, float], form: str = ".3f") -> str:
    return f"{interval['mean']:{form}} [{interval['low']:{form}}, {interval['high']:{form}}]"


def _code(text: object) -> str:
    """A name that someone typed, kept from being Markdown."""
    return "`" + " ".join(str(text).replace("`", "'").replace("|", "/").split()) + "`"
