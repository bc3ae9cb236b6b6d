"""comparison.png: accuracies of all variants, and curves of their runs."""

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from engine.config.jobs import PNG
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
MARKERS = 'o', 's', '^'
LEGEND_COLUMNS = 4
RUNS_BELOW = 0.25  # the dots of the runs below the error bar, in lines
LONGEST_NAME = 48  # characters
MAX_POINTS = 2000  # of a curve
MIN_SPAN = 0.05  # of an axis of accuracies: less would magnify noise

# Steps, means and standard deviations; these are NaN for a single run.
Spread = tuple[np.ndarray, np.ndarray, np.ndarray]


def draw(
  rows: Sequence[Row],
  title: str,
  split: str,
  path: str | os.PathLike[str],
  plot_format: str = PNG,
) -> None:
  """Draws accuracies with their spread over seeds, then curves over steps.

  Args:
    rows: rows of the table, one per variant.
    title: text above the panels.
    split: the split whose accuracies are drawn.
    path: the PNG file to write.
    plot_format: also draw it in this format.
  """
  accuracies = functools.partial(_accuracies, split=split)
  panels = [
    (panel, name)
    for read, name in ((accuracies, 'accuracy'), (_losses, 'training loss'))
    if (panel := [_spread([*_series(row, read)]) for row in rows])
    != [None] * len(rows)
  ]
  heights = [0.6 + 0.42 * len(rows), *(2.6 for _ in panels)]
  legend_lines = -(-len(rows) // LEGEND_COLUMNS) if panels else 0
  figure = Figure(
    figsize=(9, 1 + sum(heights) + 0.3 * len(panels) + 0.25 * legend_lines),
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
  for axes in others[1:]:
    axes.sharex(others[0])
  if others:
    others[-1].set_xlabel('step')
    _draw_legend(figure, rows)
  for axes in figure.axes:
    axes.grid(color='#dddddd', linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
  plot_style.save(figure, path, plot_format)


def _draw_legend(figure: Figure, rows: Sequence[Row]) -> None:
  """Draws one legend below all panels: a line for each variant."""
  lines = [
    Line2D([], [], color=color, linestyle=line, marker=marker, label=_name(row))
    for row, (line, color, marker) in zip(rows, _styles(), strict=False)
  ]
  seeds = max((len(row.train_dirs) for row in rows), default=0)
  spread = '; bands: one standard deviation' if seeds > 1 else ''
  legend = figure.legend(
    handles=lines,
    loc='outside lower center',
    ncols=min(len(rows), LEGEND_COLUMNS),
    frameon=False,
    title=f'curves: mean over seeds{spread}',
    prop={'size': 9},
  )
  for text in legend.get_texts():
    text.set_parse_math(False)


def _styles() -> Iterator[tuple[str, str, str]]:
  """Yields line style, color and marker per variant; colors change first."""
  pairs = itertools.product(zip(LINES, MARKERS, strict=True), COLORS)
  return itertools.cycle((line, c, marker) for (line, marker), c in pairs)


def _draw_accuracies(axes: Axes, rows: Sequence[Row]) -> None:
  """Draws a line per variant: a dot per run, mean and standard deviation."""
  styles = zip(rows, _styles(), strict=False)
  for number, (row, (_, color, marker)) in enumerate(styles):
    places = [number + RUNS_BELOW] * len(row.done)
    axes.plot(row.done, places, '.', color=color, alpha=0.6)
    if row.mean is not None:
      axes.errorbar(
        row.mean,
        number,
        xerr=row.deviation,
        color=color,
        marker=marker,
        markersize=7,
        capsize=5,
        linewidth=1.6,
      )
      spread = '' if row.deviation is None else f' ± {row.deviation:.4f}'
      _annotate(axes, number, f'{row.mean:.4f}{spread}')
    else:
      _annotate(axes, number, 'diverged' if row.diverged else 'not done yet')
  axes.set_ylim(len(rows) - 0.4, -0.6)
  axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
  axes.set_xlabel(
    'accuracy: mean and standard deviation over seeds; dots: each run'
  )
  ends = [
    row.mean + sign * (row.deviation or 0)
    for row in rows
    for sign in (-1, 1)
    if row.mean is not None
  ]
  done = [value for row in rows for value in row.done]
  axes.set_xlim(*plot_style.accuracy_limits([*done, *ends], MIN_SPAN))
  if not done:
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


def _draw_curves(axes: Axes, means: Sequence[Spread | None], name: str) -> None:
  """Draws a curve per variant, and a band of one standard deviation."""
  for spread, (line, color, marker) in zip(means, _styles(), strict=False):
    if spread is None:
      continue
    steps, mean, deviation = spread
    few = len(steps) <= 40
    axes.plot(
      steps,
      mean,
      color=color,
      linestyle=line,
      marker=marker if few else '',
      markersize=4,
      linewidth=1.4,
    )
    if np.isfinite(deviation).any():
      low, high = mean - deviation, mean + deviation
      axes.fill_between(steps, low, high, color=color, alpha=0.12, linewidth=0)
  axes.set_ylabel(name)


def _series(
  row: Row, read: Callable[[os.PathLike[str]], Series]
) -> Iterator[Series]:
  """Yields the curves of a variant's runs, without empty ones."""
  for train_dir in row.train_dirs:
    steps, values = read(train_dir)
    if len(steps):
      yield steps, values


def _spread(runs: Sequence[Series]) -> Spread | None:
  """Returns mean and deviation at the steps that all runs have; else None."""
  if not runs:
    return None
  shared = functools.reduce(np.intersect1d, (steps for steps, _ in runs))
  values = [v[np.searchsorted(steps, shared)] for steps, v in runs]
  if not len(shared):
    return None
  several = len(values) > 1
  deviation = np.std(values, axis=0, ddof=1) if several else np.nan * shared
  return shared, np.mean(values, axis=0), deviation


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


def _accuracies(train_dir: os.PathLike[str], split: str) -> Series:
  """Reads the accuracies on a split; empty for a single evaluation."""
  by_step = {
    row['global_step']: row['Accuracy']
    for row in results_csv.read(
      os.path.join(train_dir, 'eval', results_csv.FILE)
    )
    if {'global_step', 'Accuracy'} <= row.keys() and row.get('split') == split
  }
  steps = sorted(by_step) if len(by_step) > 1 else []
  return np.array(steps, int), np.array([by_step[step] for step in steps])


def _name(row: Row) -> str:
  """Returns a variant's name, as far as it can be drawn."""
  return plot_style.legible(row.name, LONGEST_NAME)
