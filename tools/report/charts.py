"""Charts as SVG: places of lines, bars and ticks, which the template draws."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

from engine.evaluation.calibration import ReliabilityBins
from engine.plots import curves
from engine.plots import style as plot_style
from tools.report.run import Run

# Size of a chart and room for the labels at its sides, in SVG's units.
WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 66, 16, 12, 46
# Points of a line: more would not be seen.
MAX_POINTS = 300


@dataclasses.dataclass(frozen=True)
class Tick:
  """A labeled place on an axis; `second` is a label below the first."""

  place: float
  label: str
  second: str = ''


@dataclasses.dataclass(frozen=True)
class Line:
  """A line of a chart.

  Attributes:
    name: its name and last value.
    number: 0, 1, …; color and dashes follow from it.
    path: the d of an SVG path.
    dots: places of the points, if they are few.
    faint: whether it stands behind the others, without a name.
  """

  name: str
  number: int
  path: str
  dots: Sequence[tuple[float, float]]
  faint: bool = False


@dataclasses.dataclass(frozen=True)
class Chart:
  """A chart: its axes, ticks and lines."""

  title: str
  x_name: str
  y_name: str
  x_ticks: Sequence[Tick]
  y_ticks: Sequence[Tick]
  lines: Sequence[Line]


@dataclasses.dataclass(frozen=True)
class Bar:
  """A bin of the reliability diagram: its bar, and what it stands for."""

  x: float
  y: float
  width: float
  height: float
  low: float
  high: float
  count: int
  confidence: float
  accuracy: float


@dataclasses.dataclass(frozen=True)
class _Series:
  """Steps and finite values of a line."""

  name: str
  number: int
  steps: np.ndarray
  values: np.ndarray
  faint: bool = False


def of_run(run: Run) -> list[Chart]:
  """Returns the charts of loss, accuracy and learning rate that have values."""
  history = run.history
  plain = history['cross_entropy']
  is_plain = bool(np.isfinite(plain).any())
  loss = plain if is_plain else history['loss']
  charts = (
    ('Loss' if is_plain else 'Loss, with L2 in training', loss, 'loss'),
    ('Accuracy', history['accuracy'], 'Accuracy'),
  )
  drawn = []
  for title, values, metric in charts:
    lines = _noisy('training', history['step'], values)
    evaluated = curves.series(run.evaluations, metric)
    for number, (split, (steps, scores)) in enumerate(evaluated.items(), 1):
      lines += _finite(split or 'evaluation', number, steps, scores)
    drawn.append(_chart(run, title, metric.lower(), lines))
  rates = _finite('', 0, history['step'], history['learning_rate'])
  drawn.append(_chart(run, 'Learning rate', 'learning rate', rates))
  return [chart for chart in drawn if chart]


def _finite(
  name: str,
  number: int,
  steps: np.ndarray,
  values: np.ndarray,
  faint: bool = False,
) -> list[_Series]:
  """Returns the line of the finite values; [] without any."""
  usable = np.isfinite(values) & (np.abs(values) < curves.MAX_VALUE)
  if not usable.any():
    return []
  return [_Series(name, number, steps[usable], values[usable], faint)]


def _noisy(name: str, steps: np.ndarray, values: np.ndarray) -> list[_Series]:
  """Returns the line of noisy values, faint, and that of smoothed ones."""
  raw = _finite('', 0, steps, values, faint=True)
  return [
    line
    for each in raw
    for line in (
      each,
      _Series(name, 0, each.steps, curves.smoothed(each.values)),
    )
  ]


def _chart(
  run: Run, title: str, y_name: str, lines: Sequence[_Series]
) -> Chart | None:
  """Places lines on axes that hold them; None without lines."""
  if not lines:
    return None
  first = min(int(line.steps.min()) for line in lines)
  last = max(int(line.steps.max()) for line in lines)
  x = _scale(first, max(last, first + 1), LEFT, WIDTH - RIGHT)
  y, ticks = _vertical([line.values for line in lines], y_name)
  epochs = run.epochs_per_step
  return Chart(
    title=title,
    x_name='step, and epoch below' if epochs else 'step',
    y_name=y_name,
    x_ticks=[
      Tick(x(step), f'{step:,.0f}', f'{step * epochs:.3g}' if epochs else '')
      for step in _nice(first, max(last, first + 1), 5)
    ],
    y_ticks=[Tick(y(value), f'{value:.4g}') for value in ticks],
    lines=[_line(line, x, y) for line in lines],
  )


def _vertical(
  values: Sequence[np.ndarray], name: str
) -> tuple[Callable[[float], float], list[float]]:
  """Returns the scale of a vertical axis, and the values of its ticks."""
  bottom, top = float(HEIGHT - BOTTOM), float(TOP)
  low = min(float(each.min()) for each in values)
  high = max(float(each.max()) for each in values)
  if name == 'accuracy':
    limits = plot_style.accuracy_limits((low, high), curves.MIN_ACCURACY_SPAN)
    low, high = max(0.0, limits[0]), min(1.0, limits[1])
  elif _is_wide(values, low, high, name):
    ticks = LogLocator(numticks=6).tick_values(low, high)
    log = _scale(math.log(low), math.log(high), bottom, top)
    inside = [float(tick) for tick in ticks if low <= tick <= high]
    return lambda value: log(math.log(value)), inside
  if high == low:
    margin = abs(high) / 10 or 1.0
    low, high = low - margin, high + margin
  return _scale(low, high, bottom, top), _nice(low, high, 5)


def _is_wide(
  values: Sequence[np.ndarray], low: float, high: float, name: str
) -> bool:
  """Whether a logarithmic scale is needed.

  Of a learning rate, for more than a cosine schedule's end near 0.
  """
  if name == 'loss':
    return 0 < curves.MIN_LOG_RANGE * low < high
  return low > 0 and 10 * float(np.median(values[0])) < high


def _scale(
  low: float, high: float, start: float, end: float
) -> Callable[[float], float]:
  """Returns the linear function from low..high to start..end."""
  return lambda value: start + (value - low) / (high - low) * (end - start)


def _nice(low: float, high: float, count: int) -> list[float]:
  """Returns about `count` round numbers from low to high."""
  locator = MaxNLocator(count, steps=[1, 2, 5, 10])
  ticks = locator.tick_values(low, high)
  return [float(tick) for tick in ticks if low <= tick <= high]


def _line(
  line: _Series, x: Callable[[float], float], y: Callable[[float], float]
) -> Line:
  """Draws a line through at most MAX_POINTS of its points."""
  stride = -(-len(line.steps) // MAX_POINTS)
  chosen = [*range(0, len(line.steps), stride)]
  if chosen[-1] != len(line.steps) - 1:
    chosen.append(len(line.steps) - 1)
  points = [
    (round(x(float(line.steps[i])), 1), round(y(float(line.values[i])), 1))
    for i in chosen
  ]
  last = f'{line.name}: {line.values[-1]:.4g}' if line.name else ''
  return Line(
    name=last,
    number=line.number,
    path='M' + 'L'.join(f'{a} {b}' for a, b in points),
    dots=points if len(points) <= 20 and not line.faint else (),
    faint=line.faint,
  )


def reliability(bins: ReliabilityBins) -> list[Bar]:
  """Returns the bars of the bins that have records, over confidence 0 to 1."""
  count = len(bins.counts)
  x, y = diagram_scales()
  return [
    Bar(
      x=round(x(b / count), 1),
      y=round(y(float(bins.accuracy[b])), 1),
      width=round(x(1 / count) - x(0), 1),
      height=round(y(0) - y(float(bins.accuracy[b])), 1),
      low=b / count,
      high=(b + 1) / count,
      count=int(bins.counts[b]),
      confidence=float(bins.confidence[b]),
      accuracy=float(bins.accuracy[b]),
    )
    for b in range(count)
    if bins.counts[b]
  ]


def diagram_scales() -> tuple[
  Callable[[float], float], Callable[[float], float]
]:
  """Returns the scales of the reliability diagram's axes, from 0 to 1."""
  return (
    _scale(0, 1, LEFT, WIDTH - RIGHT),
    _scale(0, 1, HEIGHT - BOTTOM, TOP),
  )


def ticks(values: Iterable[float]) -> tuple[list[Tick], list[Tick]]:
  """Returns the ticks of the reliability diagram's axes."""
  x, y = diagram_scales()
  values = list(values)
  return (
    [Tick(x(value), f'{value:g}') for value in values],
    [Tick(y(value), f'{value:g}') for value in values],
  )
