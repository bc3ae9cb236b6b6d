"""train_dir/curves.png: loss, learning rate and validation accuracy."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from engine.plots import style as plot_style
from engine.run_dir import progress_csv, results_csv

FILE = 'curves.png'
# Ten points for each pixel of width: more would only take time.
MAX_POINTS = 10_000
# Share of all points that the smoothing window spans.
SMOOTHING = 1 / 40
# Smallest ratio of losses that is drawn on a logarithmic scale.
MIN_LOG_RANGE = 50.0
# Spikes are cut at this multiple of the median: they would flatten the curve.
MAX_SPIKE = 1000.0
# A logarithmic scale ends at this share of its maximum.
MIN_DEPTH = 1e-9
# Larger values would overflow when matplotlib adds margins to the axes.
MAX_VALUE = 1e30

Paths = str | os.PathLike | Iterable[str | os.PathLike]
Series = tuple[np.ndarray, np.ndarray]


def draw(train_dir: str | os.PathLike, eval_results: Paths = ()) -> str | None:
  """Draws curves.png from progress.csv and the evaluations' results.csv.

  Errors are logged and never raised, because a plot must not end a training.

  Args:
    train_dir: the folder of progress.csv, in which the plot is written.
    eval_results: one or more paths of results.csv; they need not exist.

  Returns:
    The path of the plot, or None if it could not be drawn.
  """
  path = os.path.join(train_dir, FILE)
  if isinstance(eval_results, str | os.PathLike):
    eval_results = [eval_results]
  with plot_style.log_failure(path):
    history = _history(os.path.join(train_dir, progress_csv.FILE))
    accuracies = _accuracies(eval_results, history)
    plot_style.save(_figure(history, accuracies), path)
    return path
  return None


def _history(path: str) -> dict[str, np.ndarray]:
  """Returns the rows of progress.csv, without steps that were repeated later.

  A resumed run repeats the steps after its checkpoint.
  """
  history = progress_csv.read(path, MAX_POINTS)
  steps = history['step']
  # The smallest step from each row to the end.
  smallest = np.minimum.accumulate(steps[::-1])[::-1]
  is_last = np.append(steps[:-1] < smallest[1:], True)[: len(steps)]
  return {name: column[is_last] for name, column in history.items()}


def _accuracies(
  paths: Iterable[str | os.PathLike], history: Mapping[str, np.ndarray]
) -> dict[str, Series]:
  """Returns steps and accuracies by split; for a step, its last evaluation."""
  splits: dict[str, dict[int, float]] = {}
  for path in paths:
    for row in results_csv.read(path):
      if 'Accuracy' in row and 'global_step' in row:
        if _is_abandoned(row, history):
          continue
        split = splits.setdefault(row.get('split', ''), {})
        split[row['global_step']] = row['Accuracy']
  return {
    name: (np.array(sorted(split)), np.array([split[s] for s in sorted(split)]))
    for name, split in splits.items()
  }


def _is_abandoned(
  row: Mapping[str, Any], history: Mapping[str, np.ndarray]
) -> bool:
  """Whether training was later resumed from before this evaluation's step."""
  before = np.searchsorted(history['step'], row['global_step'], 'right')
  return bool(before > 0 and row.get('time', '') < history['time'][before - 1])


def _figure(
  history: Mapping[str, np.ndarray], accuracies: Mapping[str, Series]
) -> Figure:
  """Returns a figure of panels above one another that share the step axis."""
  heights = [3, 2, 1.2] if accuracies else [3, 1.2]
  figure = Figure(
    figsize=(10, 1 + 1.2 * sum(heights)),
    dpi=100,
    layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06),
  )
  loss, *accuracy, rate = figure.subplots(
    len(heights), sharex=True, gridspec_kw={'height_ratios': heights}
  )
  _draw_loss(loss, history['step'], history['loss'])
  for axes in accuracy:
    _draw_training_accuracy(axes, history['step'], history['accuracy'])
    _draw_accuracies(axes, accuracies)
  _draw_rate(rate, history['step'], history['learning_rate'])
  _style_axes(figure, rate)
  return figure


def _draw_loss(axes: Axes, steps: np.ndarray, losses: np.ndarray) -> None:
  """Draws the loss, its smoothed curve, and where it was first not finite."""
  axes.set_ylabel('training loss')
  broken = steps[~np.isfinite(losses)]
  if broken.size:
    axes.axvline(
      broken[0],
      color=plot_style.RED,
      linestyle='--',
      label=f'not finite at step {broken[0]:,}',
    )
  steps, losses = _usable(steps, losses)
  if steps.size:
    median = np.median(losses)
    losses = np.minimum(losses, MAX_SPIKE * median if median > 0 else MAX_VALUE)
    smooth = smoothed(losses)
    name = 'loss' if np.array_equal(smooth, losses) else 'loss, smoothed'
    axes.plot(steps, losses, color=plot_style.BLUE, alpha=0.25, linewidth=0.8)
    axes.plot(
      steps,
      smooth,
      color=plot_style.BLUE,
      marker=_marker(steps),
      label=f'{name}: {smooth[-1]:.4g} at step {steps[-1]:,}',
    )
    _scale_loss(axes, losses, smooth)
  _legend(axes)


def _scale_loss(axes: Axes, losses: np.ndarray, smooth: np.ndarray) -> None:
  """Sets the scale, logarithmic for a large range; it may cut single spikes."""
  low, high = smooth.min(), smooth.max()
  if 0 < MIN_LOG_RANGE * low < high:
    axes.set_yscale('log')
    top = min(losses.max(), 10 * high)
    bottom = max(losses.min(), low / 10, MIN_DEPTH * top)
    axes.set_ylim(bottom / 1.3, top * 1.3)
  elif high > low:
    top = min(losses.max(), high + 2 * (high - low))
    margin = 0.06 * (top - losses.min())
    axes.set_ylim(losses.min() - margin, top + margin)


def _draw_training_accuracy(
  axes: Axes, steps: np.ndarray, accuracies: np.ndarray
) -> None:
  """Draws the smoothed accuracy of the batches, if the run logged it."""
  steps, accuracies = _usable(steps, accuracies)
  if steps.size:
    smooth = smoothed(accuracies)
    axes.plot(
      steps,
      smooth,
      color=plot_style.BLUE,
      linestyle=':',
      label=f'training: {smooth[-1]:.4f}',
    )


def _draw_accuracies(axes: Axes, accuracies: Mapping[str, Series]) -> None:
  """Draws a line for each split, with a star at its best accuracy."""
  axes.set_ylabel('accuracy')
  colors = (
    plot_style.ORANGE,
    plot_style.GREEN,
    plot_style.PURPLE,
    plot_style.GRAY,
  )
  for number, (split, (steps, values)) in enumerate(accuracies.items()):
    steps, values = _usable(steps, values)
    if not steps.size:
      continue
    best = int(values.argmax())
    color = colors[number % len(colors)]
    name = plot_style.legible(split, 30) or 'evaluation'
    axes.plot(steps, values, color=color, marker=_marker(steps))
    axes.plot(
      steps[best],
      values[best],
      color=color,
      marker='*',
      markersize=14,
      markeredgecolor='black',
      linestyle='none',
      label=f'{name}, best: {values[best]:.4f} at step {steps[best]:,}',
    )
  _legend(axes)


def _draw_rate(axes: Axes, steps: np.ndarray, rates: np.ndarray) -> None:
  """Draws the learning rate."""
  axes.set_ylabel('learning rate')
  steps, rates = _usable(steps, rates)
  if not steps.size:
    return
  axes.plot(steps, rates, color=plot_style.GRAY, marker=_marker(steps))
  # The median, because a cosine schedule's end near 0 needs no such scale.
  if 0 < 10 * np.median(rates) < rates.max():
    axes.set_yscale('log')


def _style_axes(figure: Figure, last: Axes) -> None:
  """Draws grids and frames, and labels the steps below the last panel."""
  for axes in figure.axes:
    axes.grid(color='#dddddd', linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
  figure.align_ylabels()
  last.set_xlabel('step')
  last.xaxis.set_major_locator(
    MaxNLocator(nbins=9, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
  )
  last.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f'{x:,.0f}'))


def _usable(steps: np.ndarray, values: np.ndarray) -> Series:
  """Returns the steps with finite values, and the values, clipped for axes."""
  finite = np.isfinite(values)
  return steps[finite], np.clip(values[finite], -MAX_VALUE, MAX_VALUE)


def smoothed(values: np.ndarray) -> np.ndarray:
  """Returns means over a centered window, which is cut off at the ends.

  Args:
    values: float [N].
  """
  window = np.ones(2 * int(len(values) * SMOOTHING / 2) + 1)
  # No running sum: in it, one huge loss would cancel all later digits.
  sums = np.convolve(values, window, 'same')
  return sums / np.convolve(np.ones(len(values)), window, 'same')


def _marker(steps: np.ndarray) -> str:
  """Returns a dot if there are few points: a single one would have no line."""
  return '.' if len(steps) <= 40 else ''


def _legend(axes: Axes) -> None:
  """Draws the legend above the panel, where it hides no curve."""
  if axes.get_legend_handles_labels()[0]:
    legend = axes.legend(
      loc='lower left',
      bbox_to_anchor=(0, 1),
      ncols=3,
      frameon=False,
      borderaxespad=0.2,
      prop={'size': 9},
    )
    for text in legend.get_texts():
      text.set_parse_math(False)
  else:
    axes.set_title('nothing logged yet', fontsize=9, loc='left')
