"""train_dir/curves.png: loss, learning rate and validation accuracy by step."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from absl import logging
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from engine import picture, progress, results

FILE = 'curves.png'
# Ten for each pixel across: more only costs time.
MOST_POINTS = 10_000
# The smoothed loss is the mean of this share of the points around.
SMOOTHING = 1 / 40
# A loss that falls further than this is drawn on a logarithmic scale.
LOG_RANGE = 50.0
# Beyond it, in medians, a spike is cut: it would flatten all the rest.
HIGHEST = 1000.0
# Below it, in maxima, a logarithmic scale says nothing.
DEEPEST = 1e-9
# Beyond it floats overflow when axes add their margins.
LARGEST = 1e30

Paths = str | os.PathLike | Iterable[str | os.PathLike]
Series = tuple[np.ndarray, np.ndarray]


def draw(train_dir: str | os.PathLike, eval_results: Paths = ()) -> str | None:
  """Draws curves.png from progress.csv and the evaluations' results.csv.

  A picture is never worth a training run: whatever goes wrong is logged.

  Args:
    train_dir: holds progress.csv and receives the picture.
    eval_results: path or paths of results.csv; they need not exist.

  Returns:
    The picture's path, or None if it could not be drawn.
  """
  path = os.path.join(train_dir, FILE)
  if isinstance(eval_results, str | os.PathLike):
    eval_results = [eval_results]
  try:
    history = _history(os.path.join(train_dir, progress.FILE))
    accuracies = _accuracies(eval_results, history)
    picture.save(_figure(history, accuracies), path)
  except Exception as error:
    logging.warning('%s could not be drawn: %r', path, error)
    return None
  return path


def _history(path: str) -> dict[str, np.ndarray]:
  """Rows of progress.csv without those that a resumed run did again."""
  history = progress.read(path, MOST_POINTS)
  steps = history['step']
  later = np.minimum.accumulate(steps[::-1])[::-1]  # Smallest from here on.
  kept = np.append(steps[:-1] < later[1:], True)[: len(steps)]
  return {name: column[kept] for name, column in history.items()}


def _accuracies(
  paths: Iterable[str | os.PathLike], history: Mapping[str, np.ndarray]
) -> dict[str, Series]:
  """Split -> steps and accuracies; the last word on a step counts."""
  splits: dict[str, dict[int, float]] = {}
  for path in paths:
    for row in results.read_results_csv(path):
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
  """Whether training did again, since then, steps that lead to the evaluated."""
  before = np.searchsorted(history['step'], row['global_step'], 'right')
  return before > 0 and row.get('time', '') < history['time'][before - 1]


def _figure(
  history: Mapping[str, np.ndarray], accuracies: Mapping[str, Series]
) -> Figure:
  """Panels above one another that share the steps."""
  heights = [3, 2, 1.2] if accuracies else [3, 1.2]
  figure = Figure(
    figsize=(10, 1 + 1.2 * sum(heights)), dpi=100, layout='constrained'
  )
  figure.get_layout_engine().set(w_pad=0.1, h_pad=0.06)
  loss, *between, rate = figure.subplots(
    len(heights), sharex=True, gridspec_kw={'height_ratios': heights}
  )
  _draw_loss(loss, history['step'], history['loss'])
  for axes in between:
    _draw_accuracies(axes, accuracies)
  _draw_rate(rate, history['step'], history['learning_rate'])
  _finish(figure, rate)
  return figure


def _draw_loss(axes: Axes, steps: np.ndarray, losses: np.ndarray) -> None:
  """Raw faint, smoothed strong; a line where the loss was not finite."""
  axes.set_ylabel('training loss')
  broken = steps[~np.isfinite(losses)]
  if broken.size:
    axes.axvline(
      broken[0],
      color=picture.RED,
      linestyle='--',
      label=f'not finite at step {broken[0]:,}',
    )
  steps, losses = _usable(steps, losses)
  if steps.size:
    middle = np.median(losses)
    losses = np.minimum(losses, HIGHEST * middle if middle > 0 else LARGEST)
    smooth = smoothed(losses)
    name = 'loss' if np.array_equal(smooth, losses) else 'loss, smoothed'
    axes.plot(steps, losses, color=picture.BLUE, alpha=0.25, linewidth=0.8)
    axes.plot(
      steps,
      smooth,
      color=picture.BLUE,
      marker=_marker(steps),
      label=f'{name}: {smooth[-1]:.4g} at step {steps[-1]:,}',
    )
    _scale_loss(axes, losses, smooth)
  _legend(axes)


def _scale_loss(axes: Axes, losses: np.ndarray, smooth: np.ndarray) -> None:
  """Logarithmic if the range asks; single spikes may leave the panel."""
  low, high = smooth.min(), smooth.max()
  if 0 < LOG_RANGE * low < high:
    axes.set_yscale('log')
    top = min(losses.max(), 10 * high)
    bottom = max(losses.min(), low / 10, DEEPEST * top)
    axes.set_ylim(bottom / 1.3, top * 1.3)
  elif high > low:
    top = min(losses.max(), high + 2 * (high - low))
    margin = 0.06 * (top - losses.min())
    axes.set_ylim(losses.min() - margin, top + margin)


def _draw_accuracies(axes: Axes, accuracies: Mapping[str, Series]) -> None:
  """A line per split, with a star at its best."""
  axes.set_ylabel('accuracy')
  colours = (picture.ORANGE, picture.GREEN, picture.PURPLE, picture.GRAY)
  for number, (split, (steps, values)) in enumerate(accuracies.items()):
    steps, values = _usable(steps, values)
    if not steps.size:
      continue
    best = int(values.argmax())
    colour = colours[number % len(colours)]
    name = picture.legible(split, 30) or 'evaluation'
    axes.plot(steps, values, color=colour, marker=_marker(steps))
    axes.plot(
      steps[best],
      values[best],
      color=colour,
      marker='*',
      markersize=14,
      markeredgecolor='black',
      linestyle='none',
      label=f'{name}, best: {values[best]:.4f} at step {steps[best]:,}',
    )
  _legend(axes)


def _draw_rate(axes: Axes, steps: np.ndarray, rates: np.ndarray) -> None:
  """The learning rate."""
  axes.set_ylabel('learning rate')
  steps, rates = _usable(steps, rates)
  if not steps.size:
    return
  axes.plot(steps, rates, color=picture.GRAY, marker=_marker(steps))
  # By the median: a cosine's end near 0 asks for nothing.
  if 0 < 10 * np.median(rates) < rates.max():
    axes.set_yscale('log')


def _finish(figure: Figure, last: Axes) -> None:
  """Grids, frames and the steps below the last panel."""
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
  """Both where the value is finite, and within what axes can show."""
  finite = np.isfinite(values)
  return steps[finite], np.clip(values[finite], -LARGEST, LARGEST)


def smoothed(values: np.ndarray) -> np.ndarray:
  """Means over a centred window, of which the ends see what there is."""
  window = np.ones(2 * int(len(values) * SMOOTHING / 2) + 1)
  # Sums of neighbours and no running sum: one huge loss would drown the rest.
  sums = np.convolve(values, window, 'same')
  return sums / np.convolve(np.ones(len(values)), window, 'same')


def _marker(steps: np.ndarray) -> str:
  """Dots while points are few; a lone point has no line to be seen by."""
  return '.' if len(steps) <= 40 else ''


def _legend(axes: Axes) -> None:
  """Above the panel, where it hides no curve."""
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
