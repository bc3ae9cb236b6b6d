"""The table of a comparison: comparison.csv and comparison.md."""

import dataclasses
import pathlib
import statistics
import warnings
from collections.abc import Mapping, Sequence

from scipy import stats
from tabulate import tabulate

import files
from engine.run_dir import csv_log

CSV, MARKDOWN = 'comparison.csv', 'comparison.md'
_DIFFERENCE = 'difference', 'difference_low', 'difference_high'

# Heading -> alignment of the column in Markdown.
_COLUMNS = {
  'attention': 'left',
  'parameters': 'right',
  'multiply-adds': 'right',
  'step': 'right',
  'steps': 'right',
  'accuracy': 'left',
  'difference': 'left',
}

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Row:
  """Cost and results of a variant.

  Attributes:
    name: the variant's name, such as 'cbam_block(ratio=16)@class'.
    parameters: number of trainable parameters.
    multiply_adds: multiply-adds of one image.
    step_seconds: median duration of a training step; None if not measured.
    steps: number of training steps of a run that does not stop early.
    accuracies: seed -> accuracy, None if the run is not evaluated yet.
    diverged: seeds of the runs that diverged.
    train_dirs: folders of the runs.
  """

  name: str
  parameters: int
  multiply_adds: int
  step_seconds: float | None
  steps: int
  accuracies: Mapping[int, float | None]
  diverged: Sequence[int] = ()
  train_dirs: Sequence[pathlib.Path] = ()

  @property
  def done(self) -> list[float]:
    """Accuracies of the evaluated runs."""
    return [value for value in self.accuracies.values() if value is not None]

  @property
  def mean(self) -> float | None:
    """Mean accuracy; None without an evaluated run."""
    return statistics.fmean(self.done) if self.done else None

  @property
  def deviation(self) -> float | None:
    """Sample standard deviation of the accuracies; None for fewer than two."""
    return statistics.stdev(self.done) if len(self.done) > 1 else None

  def difference(self, other: 'Row') -> tuple[float, float, float] | None:
    """Compares the mean accuracy with that of another variant.

    Returns:
      The difference and the ends of its 95 % confidence interval, which is
      Welch's (Biometrika 34, 1947), of unequal variances; None if it is not
      known: of fewer than two runs each, or of equal accuracies in each.
    """
    deviations = self.deviation, other.deviation
    if None in deviations or not any(deviations):
      return None
    with warnings.catch_warnings():
      # SciPy doubts a variance of 0, which is that of equal accuracies.
      warnings.simplefilter('ignore', RuntimeWarning)
      test = stats.ttest_ind(self.done, other.done, equal_var=False)
    low, high = test.confidence_interval(CONFIDENCE)
    return statistics.fmean(self.done) - statistics.fmean(other.done), low, high


def write(rows: Sequence[Row], title: str, folder: pathlib.Path) -> None:
  """Writes comparison.csv and comparison.md into a folder."""
  cells = [_csv_cells(row, rows[0]) for row in rows]
  csv_log.write(folder / CSV, list(cells[0]), cells)
  text = '\n'.join([f'{title}:', '', *lines(rows), '', _legend(rows)])
  files.write_text(folder / MARKDOWN, text + '\n')


def _csv_cells(row: Row, first: Row) -> dict[str, str | int | float | None]:
  """Returns column -> value; None if it is not known yet."""
  seconds = row.step_seconds
  difference = _difference(row, first) or (None, None, None)
  seeds = {f'accuracy_seed_{s}': value for s, value in row.accuracies.items()}
  return {
    'attention': row.name,
    'parameters': row.parameters,
    'multiply_adds': row.multiply_adds,
    'step_ms': None if seconds is None else f'{1000 * seconds:.3f}',
    'steps': row.steps,
    'runs': len(row.done),
    'diverged': len(row.diverged),
    'accuracy_mean': row.mean,
    'accuracy_std': row.deviation,
    **dict(zip(_DIFFERENCE, difference, strict=True)),
    **seeds,
  }


def lines(rows: Sequence[Row]) -> list[str]:
  """Returns the lines of the table in Markdown."""
  text = tabulate(
    [_markdown_cells(row, rows[0]) for row in rows],
    list(_COLUMNS),
    tablefmt='pipe',
    colalign=list(_COLUMNS.values()),
    disable_numparse=True,
  )
  return text.splitlines()


def _markdown_cells(row: Row, first: Row) -> list[str]:
  """Returns a variant's cells, in the order of _COLUMNS."""
  seconds = row.step_seconds
  return [
    f'`{row.name}`',
    f'{row.parameters:,}',
    f'{row.multiply_adds / 1e6:,.2f} M',
    '' if seconds is None else f'{1000 * seconds:.1f} ms',
    f'{row.steps:,}',
    _accuracy(row),
    _interval(_difference(row, first)),
  ]


def _difference(row: Row, first: Row) -> tuple[float, float, float] | None:
  """Compares a variant with the first one, unless it is that."""
  return None if row is first else row.difference(first)


def _interval(difference: tuple[float, float, float] | None) -> str:
  """'+0.0123 (-0.0011 to +0.0257)'."""
  if difference is None:
    return ''
  mean, low, high = difference
  return f'{mean:+.4f} ({low:+.4f} to {high:+.4f})'


def _accuracy(row: Row) -> str:
  """'0.8123 ± 0.0021 (3 runs)'."""
  diverged = f', {len(row.diverged)} diverged' if row.diverged else ''
  if row.mean is None:
    return diverged.removeprefix(', ')
  spread = '' if row.deviation is None else f' ± {row.deviation:.4f}'
  runs = f'{len(row.done)} of {len(row.accuracies)} runs'
  if len(row.done) == len(row.accuracies):
    runs = f'{len(row.done)} run' + 's' * (len(row.done) > 1)
  return f'{row.mean:.4f}{spread} ({runs}{diverged})'


def _legend(rows: Sequence[Row]) -> str:
  """Returns a sentence that explains the columns."""
  seeds = ', '.join(map(str, rows[0].accuracies))
  first = rows[0].name
  equal_time = ''
  if any(row.steps != rows[0].steps for row in rows):
    equal_time = f'Equal time: the steps take as long as those of {first}. '
  return (
    'Accuracy: mean and standard deviation over seeds '
    f'{seeds}, of the last checkpoint. Difference: from the mean of '
    f'{first}, with its {CONFIDENCE:.0%} confidence interval. {equal_time}'
    'Multiply-adds: of one image. Step: median duration of a training step, '
    'input included; the steps of all variants are interleaved.'
  )
