"""The plot of a confusion matrix, for 1 to thousands of classes."""

import os
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from engine.config.jobs import PNG
from engine.confusion import Confusion
from engine.plots import style as plot_style

# Most classes for which each cell has room for its count.
MAX_COUNTED = 20
# Most classes that all have tick labels; of more, about NUM_NAMES have them.
MAX_NAMED, NUM_NAMES = 110, 70
# Most dots on each side: smaller cells would be invisible, and share a dot.
MAX_DOTS = 500
MAX_NAME_LENGTH = 24


def draw(
  confusion: Confusion,
  class_names: Sequence[str],
  title: str,
  path: str | os.PathLike,
  plot_format: str = PNG,
) -> None:
  """Draws the shares of each true class in color, and counts where they fit.

  Args:
    confusion: the number of records by true label (row) and predicted label
      (column).
    class_names: the name of each class.
    title: title of the plot, in one or more lines.
    path: the PNG file to write.
    plot_format: also draw it in this format.
  """
  classes = confusion.num_classes
  size = -(-classes // MAX_DOTS)
  width, height = _side(classes) + 2.6, _side(classes) + 2.2
  layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
  figure = Figure(figsize=(width, height), dpi=100, layout=layout)
  axes = figure.subplots()
  dots = _dots(confusion, size)
  edge = len(dots) * size - 0.5
  image = axes.imshow(
    dots,
    cmap=_colormap(),
    # Square root, so that a confusion of 1% is visible.
    norm=PowerNorm(0.5, 0, 1),
    extent=(-0.5, edge, edge, -0.5),
    interpolation='nearest',
  )
  axes.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5))
  bar = figure.colorbar(
    image, ax=axes, aspect=30, shrink=0.9 if classes <= 6 else 0.6
  )
  bar.set_ticks([0, 0.05, 0.2, 0.5, 1])
  bar.set_label('share of the true class' + _block_note(size))
  line_length = int(8 * width)  # In characters.
  lines = [plot_style.legible(line, line_length) for line in title.splitlines()]
  figure.suptitle('\n'.join(lines), fontsize=12, parse_math=False)
  axes.set_xlabel('predicted class')
  axes.set_ylabel('true class')
  _label_ticks(axes, class_names)
  if classes <= MAX_COUNTED:
    _write_counts(axes, confusion)
  plot_style.save(figure, path, plot_format)


def _side(classes: int) -> float:
  """Returns the side of the matrix in inches.

  A cell with a count takes 0.55 inches; others have the height of a line of
  text, as far as the matrix then fits.
  """
  if classes <= MAX_COUNTED:
    return max(2.5, 0.55 * classes)
  return min(11.0, max(8.0, 0.13 * classes))


def _colormap() -> matplotlib.colors.Colormap:
  """Returns a colormap from white to dark blue; NaN is gray."""
  return matplotlib.colormaps['Blues'].with_extremes(bad='#e8e8e8')


def _dots(confusion: Confusion, size: int) -> np.ndarray:
  """Returns the largest share of its true class in each block of cells.

  Args:
    confusion: the counts.
    size: number of rows and columns of a block.

  Returns:
    float64 [ceil(classes / size)] * 2; NaN in rows of classes without records.
  """
  support = confusion.support()
  true, predicted, counts = confusion.pairs()
  side = -(-confusion.num_classes // size)
  dots = np.full((side, side), np.nan)
  dots[np.unique(true // size)] = 0
  np.maximum.at(dots, (true // size, predicted // size), counts / support[true])
  return dots


def _block_note(size: int) -> str:
  """Returns a note for the label if several cells share a dot."""
  return f', largest of {size} × {size} classes' if size > 1 else ''


def _label_ticks(axes: Axes, class_names: Sequence[str]) -> None:
  """Writes class names on both axes, as many as fit."""
  classes = len(class_names)
  step = 1 if classes <= MAX_NAMED else -(-classes // NUM_NAMES)
  labels = range(0, classes, step)
  names = [
    plot_style.legible(
      class_names[label], MAX_NAME_LENGTH, otherwise=str(label)
    )
    for label in labels
  ]
  size = 9 if classes <= MAX_COUNTED else 7
  style: dict[str, Any] = {'fontsize': size, 'parse_math': False}
  axes.set_yticks(labels, names, **style)
  longest = max(map(len, names))
  if classes > MAX_COUNTED:
    style['rotation'] = 90
  elif longest > 5:
    style |= {'rotation': 45, 'ha': 'right', 'rotation_mode': 'anchor'}
  axes.set_xticks(labels, names, **style)


def _write_counts(axes: Axes, confusion: Confusion) -> None:
  """Writes the counts that are not 0 into their cells."""
  support = confusion.support()
  for row, column, count in zip(*confusion.pairs(), strict=True):
    axes.text(
      column,
      row,
      _short(int(count)),
      ha='center',
      va='center',
      fontsize=9,
      color='white' if count > 0.3 * support[row] else 'black',
    )


def _short(count: int) -> str:
  """Returns a count in at most five characters: 99999, 100k, 3.4M."""
  if count < 100_000:
    return str(count)
  return f'{count / 1000:.0f}k' if count < 999_500 else f'{count / 1e6:.3g}M'
