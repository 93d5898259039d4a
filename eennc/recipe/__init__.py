"""What the user asks for: `passes.yaml`, or the passes as inline text; built and checked before anything runs."""

from eennc.recipe.inline import build_backend
from eennc.recipe.recipe import SPLITS, Recipe, SplitSource, recipe_of

__all__ = ["SPLITS", "Recipe", "SplitSource", "build_backend", "recipe_of"]
