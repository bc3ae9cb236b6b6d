"""The style of all plots: colors, legible text, saving.

Importing this module does not load matplotlib, which takes half a second.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import pathlib
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from absl import logging

import files
from engine.config.jobs import PNG

if TYPE_CHECKING:
  from matplotlib.figure import Figure

# Okabe and Ito's palette, which is safe for color-blind readers.
BLUE, ORANGE, GREEN = '#0072B2', '#E69F00', '#009E73'
RED, PURPLE, GRAY = '#D55E00', '#CC79A7', '#666666'

# Equal plots are equal files: without the date, and with ids that do not change.
_NO_DATE = {'svg': {'Date': None}, 'pdf': {'CreationDate': None}}
_VECTOR_STYLE = {
  'svg.hashsalt': 'plot',
  # Outlines look the same everywhere; conferences refuse Type 3 fonts.
  'svg.fonttype': 'path',
  'pdf.fonttype': 42,
}

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


def save(
  figure: Figure, path: str | os.PathLike, plot_format: str = PNG
) -> None:
  """Writes the figure as a PNG, and beside it in another format; atomically.

  The PNG is always written, as pages and other programs refer to it.

  Args:
    figure: the figure.
    path: the PNG file.
    plot_format: one of FORMATS.
  """
  import matplotlib

  with _drawing, matplotlib.rc_context(_VECTOR_STYLE):
    for kind in dict.fromkeys((PNG, plot_format)):
      with files.replacing(beside(path, kind)) as temporary:
        figure.savefig(temporary, format=kind, metadata=_NO_DATE.get(kind))


def beside(path: str | os.PathLike, plot_format: str) -> pathlib.Path:
  """Returns the path of a plot in another format: curves.svg, curves.pdf."""
  path = pathlib.Path(path)
  return path if plot_format == PNG else path.with_suffix(f'.{plot_format}')


def accuracy_limits(
  values: Iterable[float], least: float
) -> tuple[float, float]:
  """Returns limits of an axis of accuracies, within 0 to 1 but for a margin.

  Args:
    values: the accuracies.
    least: smallest span, so that the noise of equal values is not magnified.
  """
  values = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
  low, high = min(values), max(values)
  missing = max(0.0, least - (high - low))
  low, high = low - missing / 2, high + missing / 2
  # Move into 0 to 1, and keep the span.
  shift = min(0.0, 1 - high) or max(0.0, -low)
  margin = 0.05 * (high - low)
  return low + shift - margin, high + shift + margin


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
