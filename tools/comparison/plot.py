"""comparison.png: accuracies of all variants, and curves of their runs."""

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from engine.plots import curves
from engine.plots import style as plot_style
from engine.plots.curves import Series
from engine.run_dir import progress_csv, results_csv
from tools.comparison.table import Row

COLORS = (
  plot_style.BLUE,
  plot_style.ORANGE,
  plot_style.GREEN,
  plot_style.RED,
  plot_style.PURPLE,
  plot_style.GRAY,
)
LINES = '-', '--', ':'
LONGEST_NAME = 48  # characters
MAX_POINTS = 2000  # of a curve


def draw(rows: Sequence[Row], title: str, path: str | os.PathLike[str]) -> None:
  """Draws each run's accuracy and the means, then curves over steps.

  Args:
    rows: rows of the table, one per variant.
    title: text above the panels.
    path: the PNG file to write.
  """
  panels = [
    (panel, name)
    for read, name in ((_accuracies, 'accuracy'), (_losses, 'training loss'))
    if (panel := [_mean([*_series(row, read)]) for row in rows])
    != [None] * len(rows)
  ]
  heights = [0.6 + 0.42 * len(rows), *(2.6 for _ in panels)]
  figure = Figure(
    figsize=(9, 0.8 + sum(heights) + 0.3 * len(panels)),
    dpi=100,
    layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08),
  )
  first, *others = figure.subplots(
    len(heights), squeeze=False, gridspec_kw={'height_ratios': heights}
  )[:, 0]
  figure.suptitle(plot_style.legible(title, 100), fontsize=11, parse_math=False)
  _draw_accuracies(first, rows)
  for axes, (panel, name) in zip(others, panels, strict=True):
    _draw_curves(axes, panel, name)
  for axes in figure.axes:
    axes.grid(color='#dddddd', linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
  plot_style.save(figure, path)


def _styles() -> Iterator[tuple[str, str]]:
  """Yields line style and color per variant: all colors for each line style."""
  return itertools.cycle(itertools.product(LINES, COLORS))


def _draw_accuracies(axes: Axes, rows: Sequence[Row]) -> None:
  """Draws a line per variant: a dot for each run, a bar at the mean."""
  styles = zip(rows, _styles(), strict=False)
  for number, (row, (_, color)) in enumerate(styles):
    axes.plot(
      row.done,
      [number] * len(row.done),
      'o',
      color=color,
      alpha=0.6,
      markersize=6,
    )
    if row.mean is not None:
      axes.plot(row.mean, number, '|', color='black', markersize=17, mew=2)
      spread = '' if row.deviation is None else f' ± {row.deviation:.4f}'
      _annotate(axes, number, f'{row.mean:.4f}{spread}')
    else:
      _annotate(axes, number, 'diverged' if row.diverged else 'not done yet')
  axes.set_ylim(len(rows) - 0.4, -0.6)
  axes.margins(x=0.08)
  axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
  axes.set_xlabel('accuracy: each run, and the mean (bar)')
  if not any(row.done for row in rows):
    axes.set_xticks([])


def _annotate(axes: Axes, number: int, text: str) -> None:
  """Writes a text at the height of a variant, to the right of the panel."""
  axes.annotate(
    text,
    (1.01, number),
    xycoords=('axes fraction', 'data'),
    va='center',
    fontsize=9,
    annotation_clip=False,
  )


def _draw_curves(axes: Axes, means: Sequence[Series | None], name: str) -> None:
  """Draws a curve per variant, in the colors of the first panel."""
  for series, (line, color) in zip(means, _styles(), strict=False):
    if series is not None:
      marker = '.' if len(series[0]) <= 40 else ''
      axes.plot(
        *series, color=color, linestyle=line, marker=marker, linewidth=1.4
      )
  axes.set_ylabel(name)
  axes.set_xlabel('step; mean over seeds, colors as above')


def _series(
  row: Row, read: Callable[[os.PathLike[str]], Series]
) -> Iterator[Series]:
  """Yields the curves of a variant's runs, without empty ones."""
  for train_dir in row.train_dirs:
    steps, values = read(train_dir)
    if len(steps):
      yield steps, values


def _mean(runs: Sequence[Series]) -> Series | None:
  """Returns the mean at the steps that all runs have; None without any."""
  if not runs:
    return None
  shared = functools.reduce(np.intersect1d, (steps for steps, _ in runs))
  values = [v[np.searchsorted(steps, shared)] for steps, v in runs]
  return (shared, np.mean(values, axis=0)) if len(shared) else None


def _losses(train_dir: os.PathLike[str]) -> Series:
  """Reads the training loss of a run and smooths it."""
  progress = progress_csv.read(os.path.join(train_dir, progress_csv.FILE))
  is_finite = np.isfinite(progress['loss'])
  steps, losses = progress['step'][is_finite], progress['loss'][is_finite]
  stride = -(-max(len(steps), 1) // MAX_POINTS)
  steps, indices = np.unique(steps, return_index=True)
  if not len(steps):
    return steps, losses
  return steps[::stride], curves.smoothed(losses[indices])[::stride]


def _accuracies(train_dir: os.PathLike[str]) -> Series:
  """Reads the accuracies during training; empty for a single evaluation."""
  by_step = {
    row['global_step']: row['Accuracy']
    for row in results_csv.read(
      os.path.join(train_dir, 'eval', results_csv.FILE)
    )
    if {'global_step', 'Accuracy'} <= row.keys()
  }
  steps = sorted(by_step) if len(by_step) > 1 else []
  return np.array(steps, int), np.array([by_step[step] for step in steps])


def _name(row: Row) -> str:
  """Returns a variant's name, as far as it can be drawn."""
  return plot_style.legible(row.name, LONGEST_NAME)
