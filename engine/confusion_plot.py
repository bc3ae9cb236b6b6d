"""The confusion matrix as a picture, from 2 classes to thousands."""

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from engine import picture

# Up to here each cell has room for its count.
MOST_COUNTED = 20
# Up to here every class has a tick label; above, about so many in all.
MOST_NAMED, THINNED = 110, 70
# Above this a lone cell would be too small to be seen: several share a dot.
MOST_DOTS = 500
LONGEST_NAME = 24


def draw(
  confusion: np.ndarray,
  class_names: Sequence[str],
  title: str,
  path: str | os.PathLike,
) -> None:
  """Draws shares of each true class by colour, and counts where they fit.

  Args:
    confusion: int [classes, classes], records by true and predicted label.
    class_names: a name for each class.
    title: stands above.
    path: the PNG file.
  """
  classes = len(confusion)
  size = -(-classes // MOST_DOTS)
  width, height = _side(classes) + 2.6, _side(classes) + 2.2
  figure = Figure(figsize=(width, height), dpi=100, layout='constrained')
  figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
  axes = figure.subplots()
  dots = _largest(_shares(confusion), size)
  edge = len(dots) * size - 0.5
  image = axes.imshow(
    dots,
    cmap=_colours(),
    # Square root: a confusion of 1% must be seen.
    norm=PowerNorm(0.5, 0, 1),
    extent=(-0.5, edge, edge, -0.5),
    interpolation='nearest',
  )
  axes.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5))
  bar = figure.colorbar(
    image, ax=axes, aspect=30, shrink=0.9 if classes <= 6 else 0.6
  )
  bar.set_ticks([0, 0.05, 0.2, 0.5, 1])
  bar.set_label('share of the true class' + _blocks(size))
  longest = int(8 * width)  # Characters that fit across.
  lines = [picture.legible(line, longest) for line in title.splitlines()]
  figure.suptitle('\n'.join(lines), fontsize=12, parse_math=False)
  axes.set_xlabel('predicted class')
  axes.set_ylabel('true class')
  _name(axes, class_names)
  if classes <= MOST_COUNTED:
    _count(axes, confusion)
  picture.save(figure, path)


def _side(classes: int) -> float:
  """Inches of the matrix: 0.55 a counted cell, room for a line otherwise."""
  if classes <= MOST_COUNTED:
    return max(2.5, 0.55 * classes)
  return min(11.0, max(8.0, 0.13 * classes))


def _colours() -> matplotlib.colors.Colormap:
  """One hue from white to dark blue; gray for classes without records."""
  return matplotlib.colormaps['Blues'].with_extremes(bad='#e8e8e8')


def _shares(confusion: np.ndarray) -> np.ndarray:
  """Rows divided by their sums; NaN for classes without records."""
  support = confusion.sum(axis=1, keepdims=True)
  nothing = np.full(confusion.shape, np.nan)
  return np.divide(confusion, support, out=nothing, where=support > 0)


def _largest(shares: np.ndarray, size: int) -> np.ndarray:
  """The largest of each block of `size` by `size` shares."""
  starts = np.arange(0, len(shares), size)
  shares = np.fmax.reduceat(shares, starts, axis=0)
  return np.fmax.reduceat(shares, starts, axis=1)


def _blocks(size: int) -> str:
  """Says that several cells share a dot, if they do."""
  return f', largest of {size} × {size} classes' if size > 1 else ''


def _name(axes: Axes, class_names: Sequence[str]) -> None:
  """Puts class names on both axes, as many as can be read."""
  classes = len(class_names)
  step = 1 if classes <= MOST_NAMED else -(-classes // THINNED)
  places = range(0, classes, step)
  names = [
    picture.legible(class_names[place], LONGEST_NAME, otherwise=str(place))
    for place in places
  ]
  size = 9 if classes <= MOST_COUNTED else 7
  style = {'fontsize': size, 'parse_math': False}
  axes.set_yticks(places, names, **style)
  longest = max(map(len, names))
  if classes > MOST_COUNTED:
    style['rotation'] = 90
  elif longest > 5:
    style |= {'rotation': 45, 'ha': 'right', 'rotation_mode': 'anchor'}
  axes.set_xticks(places, names, **style)


def _count(axes: Axes, confusion: np.ndarray) -> None:
  """Writes the counts that are not 0 into the cells."""
  shares = _shares(confusion)
  for row, column in np.argwhere(confusion):
    axes.text(
      column,
      row,
      _short(int(confusion[row, column])),
      ha='center',
      va='center',
      fontsize=9,
      color='white' if shares[row, column] > 0.3 else 'black',
    )


def _short(count: int) -> str:
  """A count in at most five characters: 99999, 100k, 3.4M."""
  if count < 100_000:
    return str(count)
  return f'{count / 1000:.0f}k' if count < 999_500 else f'{count / 1e6:.3g}M'
