"""The style of all plots: colors, legible text, saving.

Importing this module does not load matplotlib, which takes half a second.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from absl import logging

import files

if TYPE_CHECKING:
  from matplotlib.figure import Figure

# Okabe and Ito's palette, which is safe for color-blind readers.
BLUE, ORANGE, GREEN = '#0072B2', '#E69F00', '#009E73'
RED, PURPLE, GRAY = '#D55E00', '#CC79A7', '#666666'

# Matplotlib is not thread-safe: fonts and their caches are shared.
_drawing = threading.Lock()


@contextlib.contextmanager
def log_failure(path: str | os.PathLike) -> Iterator[None]:
  """Logs a warning, and raises nothing, if the body fails to draw a plot.

  A missing plot must not end a run that has computed the numbers in it.

  Args:
    path: the file of the plot, for the warning.
  """
  try:
    yield
  except Exception as error:
    logging.warning('%s could not be drawn: %r', path, error)


def save(figure: Figure, path: str | os.PathLike) -> None:
  """Writes the figure as a PNG, atomically."""
  with _drawing, files.replacing(path) as temporary:
    figure.savefig(temporary, format='png')


def legible(text: str, longest: int, otherwise: str = '') -> str:
  """Returns a text as one line in characters that the font contains.

  Args:
    text: any text, in any script.
    longest: maximum length; a longer text is cut and ends with an ellipsis.
    otherwise: returned if the font contains less than half of the text.
  """
  line = ' '.join(str(text).split())
  characters = _font_characters()
  drawable = ''.join(
    c if ord(c) in characters else '\N{WHITE SQUARE}' for c in line
  )
  if 2 * drawable.count('\N{WHITE SQUARE}') > len(line.replace(' ', '')):
    return otherwise
  if len(drawable) > longest:
    return drawable[: longest - 1].rstrip() + '…'
  return drawable


@functools.cache
def _font_characters() -> frozenset[int]:
  """Returns the code points that the default font contains."""
  from matplotlib import font_manager

  path = font_manager.findfont(font_manager.FontProperties())
  return frozenset(font_manager.get_font(path).get_charmap())
