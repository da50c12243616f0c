"""The supported families, each a declaration: which class loads it, where its tower keeps its parts, how it speaks."""

from __future__ import annotations

from headprune_transformers.families.captioners import CAPTIONERS
from headprune_transformers.families.chat import CHAT_MODELS
from headprune_transformers.families.choosers import CHOOSERS

FAMILIES = {family.model_type: family for family in (*CAPTIONERS, *CHAT_MODELS, *CHOOSERS)}
