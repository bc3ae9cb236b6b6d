"""Training recipes: files of flags in recipes/, which --recipe names.

A recipe is written in absl's flagfile syntax. Its flags replace defaults; flags
of the command line win over it. engine/config/flags.py reads it.
"""

import pathlib

FOLDER = pathlib.Path(__file__).parents[2] / 'recipes'

# What --recipe can name.
RECIPES = tuple(sorted(path.name for path in FOLDER.iterdir()))
