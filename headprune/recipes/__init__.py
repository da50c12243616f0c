"""Recipes: every setting of a run in one file, and where each setting came from."""

from headprune.recipes.layers import parse_layers as parse_layers
from headprune.recipes.load import Resolved as Resolved
from headprune.recipes.load import dumps as dumps
from headprune.recipes.load import read as read
from headprune.recipes.load import resolve as resolve
from headprune.recipes.load import schema_json as schema_json
from headprune.recipes.load import uses_demo_encoder as uses_demo_encoder
from headprune.recipes.load import without_demo as without_demo
from headprune.recipes.load import write as write
from headprune.recipes.schema import Recipe as Recipe
