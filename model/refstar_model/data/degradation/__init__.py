"""What ruins a photograph: one table, recipes drawn from it, and two executors, OpenCV and torch."""

from refstar_model.data.degradation.levels import LEVELS, LONE_LEVELS, moderate, old, severe
from refstar_model.data.degradation.opencv import degrade
from refstar_model.data.degradation.recipe import Chain, Family, Jpeg, Recipe, draw_family, draw_recipe
from refstar_model.data.degradation.table import CHAINS, TABLE, Table
from refstar_model.data.degradation.tone import Tone, apply_tone, draw_tone

__all__ = [
    "CHAINS",
    "LEVELS",
    "LONE_LEVELS",
    "TABLE",
    "Chain",
    "Family",
    "Jpeg",
    "Recipe",
    "Table",
    "Tone",
    "apply_tone",
    "degrade",
    "draw_family",
    "draw_recipe",
    "draw_tone",
    "moderate",
    "old",
    "severe",
]
