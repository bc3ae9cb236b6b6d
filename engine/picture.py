"""What the drawing files share: colours, legible text, saving."""

import functools
import os
import threading

from matplotlib import font_manager
from matplotlib.figure import Figure

import files

# Okabe and Ito's colours, which the colour-blind can tell apart.
BLUE, ORANGE, GREEN = '#0072B2', '#E69F00', '#009E73'
RED, PURPLE, GRAY = '#D55E00', '#CC79A7', '#666666'

# Fonts and their caches are shared within matplotlib, and drawing is not
# safe from two threads at once.
_drawing = threading.Lock()


def save(figure: Figure, path: str | os.PathLike) -> None:
  """Writes the figure as a PNG, atomically."""
  with _drawing, files.replacing(path) as temporary:
    figure.savefig(temporary, format='png')


def legible(text: str, longest: int, otherwise: str = '') -> str:
  """One line of at most `longest` characters which the font can draw.

  Args:
    text: any text, in any script.
    longest: how many characters to keep; the end gives way to an ellipsis.
    otherwise: what to say when the font has less than half of the text.
  """
  line = ' '.join(str(text).split())
  known = _characters()
  drawable = ''.join(c if ord(c) in known else '\N{WHITE SQUARE}' for c in line)
  if 2 * drawable.count('\N{WHITE SQUARE}') > len(line.replace(' ', '')):
    return otherwise
  if len(drawable) > longest:
    return drawable[: longest - 1].rstrip() + '…'
  return drawable


@functools.cache
def _characters() -> frozenset[int]:
  """The code points that the default font holds."""
  path = font_manager.findfont(font_manager.FontProperties())
  return frozenset(font_manager.get_font(path).get_charmap())
