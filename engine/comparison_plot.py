"""A comparison as a picture: accuracy by variant, and the runs' curves."""

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine import curves, picture, progress, results
from engine.comparison_table import Row
from engine.curves import Series

COLOURS = (
  picture.BLUE,
  picture.ORANGE,
  picture.GREEN,
  picture.RED,
  picture.PURPLE,
  picture.GRAY,
)
LINES = '-', '--', ':'
LONGEST_NAME = 48
MOST_POINTS = 2000


def draw(rows: Sequence[Row], title: str, path: str | os.PathLike) -> None:
  """Draws each run's accuracy and the mean, then curves over steps.

  Args:
    rows: one for each variant.
    title: stands above.
    path: the PNG file.
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
    layout='constrained',
  )
  figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)
  first, *others = figure.subplots(
    len(heights), squeeze=False, gridspec_kw={'height_ratios': heights}
  )[:, 0]
  figure.suptitle(picture.legible(title, 100), fontsize=11, parse_math=False)
  _draw_accuracies(first, rows)
  for axes, (panel, name) in zip(others, panels, strict=True):
    _draw_curves(axes, panel, name)
  for axes in figure.axes:
    axes.grid(color='#dddddd', linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
  picture.save(figure, path)


def _styles() -> Iterator[dict[str, str]]:
  """A colour for each variant, and another line where they run out."""
  for line, colour in itertools.cycle(itertools.product(LINES, COLOURS)):
    yield {'color': colour, 'linestyle': line}


def _draw_accuracies(axes: Axes, rows: Sequence[Row]) -> None:
  """A dot for each run and a bar at the mean, best readable from the left."""
  for place, (row, style) in enumerate(zip(rows, _styles(), strict=False)):
    axes.plot(
      row.done,
      [place] * len(row.done),
      'o',
      color=style['color'],
      alpha=0.6,
      markersize=6,
    )
    if row.mean is not None:
      axes.plot(row.mean, place, '|', color='black', markersize=17, mew=2)
      spread = '' if row.deviation is None else f' ± {row.deviation:.4f}'
      _beside(axes, place, f'{row.mean:.4f}{spread}')
    else:
      _beside(axes, place, 'diverged' if row.diverged else 'not done yet')
  axes.set_ylim(len(rows) - 0.4, -0.6)
  axes.margins(x=0.08)
  axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
  axes.set_xlabel('accuracy: each run, and the mean (bar)')
  if not any(row.done for row in rows):
    axes.set_xticks([])


def _beside(axes: Axes, place: int, text: str) -> None:
  """Right of the panel, in the line of a variant."""
  axes.annotate(
    text,
    (1.01, place),
    xycoords=('axes fraction', 'data'),
    va='center',
    fontsize=9,
    annotation_clip=False,
  )


def _draw_curves(axes: Axes, means: Sequence[Series | None], name: str) -> None:
  """A line for each variant, in the colours above."""
  for series, style in zip(means, _styles(), strict=False):
    if series is not None:
      marker = '.' if len(series[0]) <= 40 else ''
      axes.plot(*series, marker=marker, linewidth=1.4, **style)
  axes.set_ylabel(name)
  axes.set_xlabel('step; mean over seeds, colours as above')


def _series(
  row: Row, read: Callable[[os.PathLike], Series]
) -> Iterator[Series]:
  """What there is of each run."""
  for train_dir in row.train_dirs:
    steps, values = read(train_dir)
    if len(steps):
      yield steps, values


def _mean(runs: Sequence[Series]) -> Series | None:
  """The mean at the steps that all runs have; None where there are none."""
  if not runs:
    return None
  shared = functools.reduce(np.intersect1d, (steps for steps, _ in runs))
  values = [v[np.searchsorted(steps, shared)] for steps, v in runs]
  return (shared, np.mean(values, axis=0)) if len(shared) else None


def _losses(train_dir: os.PathLike) -> Series:
  """The smoothed training loss."""
  found = progress.read(os.path.join(train_dir, progress.FILE))
  finite = np.isfinite(found['loss'])
  steps, losses = found['step'][finite], found['loss'][finite]
  every = -(-max(len(steps), 1) // MOST_POINTS)
  steps, places = np.unique(steps, return_index=True)
  if not len(steps):
    return steps, losses
  return steps[::every], curves.smoothed(losses[places])[::every]


def _accuracies(train_dir: os.PathLike) -> Series:
  """Accuracies of the evaluations within training, if there are several."""
  found = {
    row['global_step']: row['Accuracy']
    for row in results.read_results_csv(
      os.path.join(train_dir, 'eval', results.CSV)
    )
    if {'global_step', 'Accuracy'} <= row.keys()
  }
  steps = sorted(found) if len(found) > 1 else []
  return np.array(steps, int), np.array([found[step] for step in steps])


def _name(row: Row) -> str:
  return picture.legible(row.name, LONGEST_NAME)
