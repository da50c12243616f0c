"""What a recipe's plugins and settings make of Algorithm 1."""

from __future__ import annotations

from collections.abc import Callable

from headprune.edits.edit import Edit
from headprune.errors import UsageError
from headprune.hooks.catalogue import catalogue, make, make_any_scorer
from headprune.hooks.kinds import GradientScorer
from headprune.recipes.layers import parse_layers
from headprune.recipes.schema import Recipe
from headprune.scoring.settings import ScoreSettings
from headprune.towers.batches import Batch
from headprune.types import Generation, Geometry


def settings_for(recipe: Recipe) -> Callable[[Geometry, Batch, Generation], ScoreSettings]:
    """The recipe's plugins, made before anything is loaded, as a mistyped name shall cost no waiting; and, once the
    model is known, all that Algorithm 1 is run with.

    Raises:
        UsageError: an option is wrong, or settings do not go together. PluginError: a plugin is unknown or broken.
    """
    scorer = make_any_scorer(recipe.scorer, dict(recipe.scorer_options))
    if isinstance(scorer, GradientScorer):
        _refuse_edits(recipe)
    edit: Edit = make("edit", recipe.edit, (Edit,), dict(recipe.edit_options))

    def settings(geometry: Geometry, batch: Batch, generation: Generation) -> ScoreSettings:
        return ScoreSettings(
            layers=parse_layers(recipe.layers, geometry.live, geometry.dead),
            edit=edit,
            edit_name=recipe.edit,
            scorer=scorer,
            scorer_name=recipe.scorer,
            edit_origin=catalogue().origin("edit", recipe.edit),
            scorer_origin=catalogue().origin("scorer", recipe.scorer),
            batch=batch,
            decode_at=recipe.decode_at,
            schedule=recipe.schedule,
            temperature=recipe.temperature,
            generation=generation,
            seed=recipe.seed,
            patience=recipe.patience,
        )

    return settings


def _refuse_edits(recipe: Recipe) -> None:
    """See that nothing is asked for that a scorer which takes derivatives does not do."""
    for name in ("edit", "schedule"):
        asked = getattr(recipe, name)
        if asked != Recipe.model_fields[name].default:
            raise UsageError(
                f"scorer {recipe.scorer!r} takes derivatives on the unchanged model: {name} plays no part",
                f"leave --{name} {getattr(asked, 'value', asked)} out",
            )
