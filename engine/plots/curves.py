"""train_dir/curves.png: loss, accuracy and learning rate over steps and epochs."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from engine.config import job_file
from engine.config.jobs import PNG
from engine.plots import style as plot_style
from engine.run_dir import progress_csv, results_csv
from errors import UserError

FILE = 'curves.png'
# Ten points for each pixel of width: more would only take time.
MAX_POINTS = 10_000
# Smallest and largest share of all points that the smoothing window spans.
MIN_SMOOTHING, MAX_SMOOTHING = 1 / 40, 1 / 10
# Noise that smoothing leaves where it may, as a share of the curve's range.
NOISE_LEFT = 0.02
# A loss with L2 is drawn beside that without if it is larger by this share.
MIN_L2 = 0.02
# Smallest span of the accuracy axis.
MIN_ACCURACY_SPAN = 0.2
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
# Split -> step -> row of results.csv.
Evaluations = Mapping[str, Mapping[int, Mapping[str, Any]]]


def draw(
  train_dir: str | os.PathLike,
  eval_results: Paths = (),
  plot_format: str = PNG,
) -> str | None:
  """Draws curves.png from progress.csv and the evaluations' results.csv.

  Errors are logged and never raised, because a plot must not end a training.

  Args:
    train_dir: the folder of progress.csv, in which the plot is written.
    eval_results: one or more paths of results.csv; they need not exist.
    plot_format: also draw it in this format.

  Returns:
    The path of the plot, or None if it could not be drawn.
  """
  path = os.path.join(train_dir, FILE)
  with plot_style.log_failure(path):
    plot_style.save(figure(train_dir, eval_results), path, plot_format)
    return path
  return None


def figure(train_dir: str | os.PathLike, eval_results: Paths = ()) -> Figure:
  """Composes the figure that `draw` writes."""
  if isinstance(eval_results, str | os.PathLike):
    eval_results = [eval_results]
  history = read_history(os.path.join(train_dir, progress_csv.FILE))
  evaluations = read_evaluations(eval_results, history)
  job = _job(train_dir)
  return _figure(history, evaluations, title(job), epochs_per_step(job))


def _job(train_dir: str | os.PathLike) -> Mapping[str, Any]:
  """Returns the content of job.json; {} if there is none, or it is damaged."""
  try:
    return job_file.read(os.fspath(train_dir)) or {}
  except UserError:
    return {}


def title(job: Mapping[str, Any]) -> str:
  """'lenet with cbam_block on digits'; '' for an unknown job."""
  if not job:
    return ''
  options = job['options']
  module, placement = (
    options.get(f'attention_{part}') for part in ('module', 'placement')
  )
  attention = f' with {module}' if module else ''
  place = f'@{placement}' if placement else ''
  return (
    f'{options["model_name"]}{attention}{place} on {options["dataset_name"]}'
  )


def epochs_per_step(job: Mapping[str, Any]) -> float | None:
  """Returns the share of an epoch that a step makes; None if not recorded."""
  images, records = job.get('images_per_step'), job.get('num_records')
  return images / records if images and records else None


def read_history(path: str) -> dict[str, np.ndarray]:
  """Returns the rows of progress.csv, without steps that were repeated later.

  A resumed run repeats the steps after its checkpoint.
  """
  history = progress_csv.read(path, MAX_POINTS)
  steps = history['step']
  # The smallest step from each row to the end.
  smallest = np.minimum.accumulate(steps[::-1])[::-1]
  is_last = np.append(steps[:-1] < smallest[1:], True)[: len(steps)]
  return {name: column[is_last] for name, column in history.items()}


def read_evaluations(
  paths: Iterable[str | os.PathLike], history: Mapping[str, np.ndarray]
) -> Evaluations:
  """Returns the evaluations by split and step; of a step, its last one."""
  splits: dict[str, dict[int, Mapping[str, Any]]] = {}
  for path in paths:
    for row in results_csv.read(path):
      if 'Accuracy' in row and 'global_step' in row:
        if _is_abandoned(row, history):
          continue
        split = splits.setdefault(row.get('split', ''), {})
        split[row['global_step']] = row
  return splits


def series(evaluations: Evaluations, metric: str) -> dict[str, Series]:
  """Returns the steps and values of a metric by split; NaN if not measured."""
  return {
    name: (
      np.array(sorted(rows)),
      np.array([rows[step].get(metric, np.nan) for step in sorted(rows)]),
    )
    for name, rows in evaluations.items()
  }


def _is_abandoned(
  row: Mapping[str, Any], history: Mapping[str, np.ndarray]
) -> bool:
  """Whether training was later resumed from before this evaluation's step."""
  before = np.searchsorted(history['step'], row['global_step'], 'right')
  return bool(before > 0 and row.get('time', '') < history['time'][before - 1])


def _figure(
  history: Mapping[str, np.ndarray],
  evaluations: Evaluations,
  heading: str = '',
  epochs_per_step: float | None = None,
) -> Figure:
  """Returns a figure of panels above one another that share the step axis."""
  has_accuracy = evaluations or np.isfinite(history['accuracy']).any()
  heights = [3, 2, 1.2] if has_accuracy else [3, 1.2]
  figure = Figure(
    figsize=(10, 1.3 + 1.2 * sum(heights)),
    dpi=100,
    layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06),
  )
  loss, *accuracy, rate = figure.subplots(
    len(heights), sharex=True, gridspec_kw={'height_ratios': heights}
  )
  heading = plot_style.legible(heading, 100)
  if heading:
    figure.suptitle(heading, fontsize=12, parse_math=False)
  _draw_losses(loss, history, series(evaluations, 'loss'))
  for axes in accuracy:
    _draw_accuracies(axes, history, series(evaluations, 'Accuracy'))
  _draw_rate(rate, history['step'], history['learning_rate'])
  _style_axes(figure, rate, epochs_per_step)
  return figure


def _draw_losses(
  axes: Axes, history: Mapping[str, np.ndarray], evaluated: Mapping[str, Series]
) -> None:
  """Draws training and evaluation loss, and where it was first not finite."""
  axes.set_ylabel('loss')
  all_steps = history['step']
  broken = all_steps[~np.isfinite(history['loss'])]
  if broken.size:
    axes.axvline(
      broken[0],
      color=plot_style.RED,
      linestyle='--',
      label=f'not finite at step {broken[0]:,}',
    )
  steps, losses = _usable(all_steps, history['loss'])
  plain_steps, plain = _usable(all_steps, history['cross_entropy'])
  # Evaluation has no L2 loss: compare the cross entropy, where it was logged.
  has_plain = 0 < len(plain) == len(losses)
  if has_plain and np.median(losses) > (1 + MIN_L2) * np.median(plain):
    total = smoothed(losses)
    axes.plot(
      steps,
      total,
      color=plot_style.GRAY,
      linewidth=0.9,
      linestyle='--',
      label=f'training with L2: {total[-1]:.4g}',
    )
  if has_plain:
    steps, losses = plain_steps, plain
  if steps.size:
    smooth = _draw_noisy(axes, steps, losses, 'training')
    _scale_loss(axes, losses, smooth, [v for _, v in evaluated.values()])
  for name, color, steps, values in _splits(evaluated):
    axes.plot(
      steps,
      values,
      color=color,
      marker=_marker(steps),
      label=f'{name}: {values[-1]:.4g} at step {steps[-1]:,}',
    )
  _legend(axes)


def _draw_noisy(
  axes: Axes, steps: np.ndarray, values: np.ndarray, name: str
) -> np.ndarray:
  """Draws values faintly, and their smoothed curve, which it returns."""
  median = np.median(values)
  values = np.minimum(values, MAX_SPIKE * median if median > 0 else MAX_VALUE)
  smooth = smoothed(values)
  remark = '' if np.array_equal(smooth, values) else ' (smoothed)'
  axes.plot(steps, values, color=plot_style.BLUE, alpha=0.25, linewidth=0.8)
  axes.plot(
    steps,
    smooth,
    color=plot_style.BLUE,
    marker=_marker(steps),
    label=f'{name}{remark}: {smooth[-1]:.4g}',
  )
  return smooth


def _splits(
  evaluated: Mapping[str, Series],
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
  """Yields name, color, steps and finite values of each split that has any."""
  colors = (
    plot_style.ORANGE,
    plot_style.GREEN,
    plot_style.PURPLE,
    plot_style.GRAY,
  )
  for number, (split, series) in enumerate(evaluated.items()):
    steps, values = _usable(*series)
    if steps.size:
      name = plot_style.legible(split, 30) or 'evaluation'
      yield name, colors[number % len(colors)], steps, values


def _scale_loss(
  axes: Axes,
  losses: np.ndarray,
  smooth: np.ndarray,
  evaluated: Iterable[np.ndarray],
) -> None:
  """Sets the scale, logarithmic for a large range; it may cut single spikes."""
  low, high = float(smooth.min()), float(smooth.max())
  for values in evaluated:
    # The axis follows evaluations, unless batch norm has made them absurd.
    usable = _usable(values, values)[1]
    high = max([high, *usable[usable < 4 * high]])
    low = min([low, *usable])
  if _is_wide(low, high):
    axes.set_yscale('log')
    top = min(losses.max(), 10 * high)
    bottom = max(min(losses.min(), low), low / 10, MIN_DEPTH * top)
    axes.set_ylim(bottom / 1.3, max(top, high) * 1.3)
  elif high > low:
    top = max(high, min(losses.max(), high + 0.5 * (high - low)))
    bottom = min(low, losses.min())
    margin = 0.06 * (top - bottom)
    axes.set_ylim(bottom - margin, top + margin)


def _draw_accuracies(
  axes: Axes, history: Mapping[str, np.ndarray], evaluated: Mapping[str, Series]
) -> None:
  """Draws training's accuracy, and a line for each split with its best."""
  axes.set_ylabel('accuracy')
  shown: list[float] = []
  steps, values = _usable(history['step'], history['accuracy'])
  if steps.size:
    shown += [*_draw_noisy(axes, steps, values, 'training')]
  for name, color, steps, values in _splits(evaluated):
    shown += [*values]
    best = int(values.argmax())
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
  axes.set_ylim(*plot_style.accuracy_limits(shown, MIN_ACCURACY_SPAN))
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


def _style_axes(
  figure: Figure, last: Axes, epochs_per_step: float | None
) -> None:
  """Draws grids and frames, and labels steps and epochs below the last panel."""
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
  if epochs_per_step:
    ratio = epochs_per_step
    epochs = last.secondary_xaxis(
      -0.42, functions=(lambda step: step * ratio, lambda epoch: epoch / ratio)
    )
    epochs.set_xlabel('epoch')
    epochs.xaxis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))


def _usable(steps: np.ndarray, values: np.ndarray) -> Series:
  """Returns the steps with finite values, and the values, clipped for axes."""
  finite = np.isfinite(values)
  return steps[finite], np.clip(values[finite], -MAX_VALUE, MAX_VALUE)


def smoothed(values: np.ndarray) -> np.ndarray:
  """Returns means over a centered window, which is cut off at the end.

  At the start, where losses fall steeply, the window shrinks on both sides.

  Args:
    values: float [N].
  """
  half = _half_window(values)
  window = np.ones(2 * half + 1)
  # No running sum: in it, one huge loss would cancel all later digits.
  sums = np.convolve(values, window, 'same')
  means = sums / np.convolve(np.ones(len(values)), window, 'same')
  means[:half] = [values[: 2 * i + 1].mean() for i in range(half)]
  return means


def _half_window(values: np.ndarray) -> int:
  """Returns the points on each side of a smoothing window.

  The mean of n points has the n-th part of their variance: as many are taken as
  leave a noise of NOISE_LEFT of the curve's range.
  """
  count = len(values)
  if count < 3:
    return 0
  low, high = _range(values)
  if _is_wide(low, high):
    # As it will be drawn.
    values = np.log(np.maximum(values, MIN_DEPTH * high))
    low, high = _range(values)
  # The median difference of normal values is 0.954 standard deviations.
  noise = float(np.median(np.abs(np.diff(values)))) / 0.954
  tiny = float(np.finfo(float).tiny)
  allowed = max(NOISE_LEFT * (high - low), tiny)
  wanted = min(noise / max(allowed, noise / count), count) ** 2 if noise else 0
  return int(np.clip(wanted, MIN_SMOOTHING * count, MAX_SMOOTHING * count) / 2)


def _range(values: np.ndarray) -> tuple[float, float]:
  """Returns what nine tenths of the values lie within."""
  return float(np.percentile(values, 5)), float(np.percentile(values, 95))


def _is_wide(low: float, high: float) -> bool:
  """Whether the range of a loss calls for a logarithmic scale."""
  return bool(0 < MIN_LOG_RANGE * low < high)


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
