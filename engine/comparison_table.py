"""The files that tell a comparison: comparison.csv, comparison.md and a plot."""

import dataclasses
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

import files
from engine import rows as csv_rows

CSV, MARKDOWN = 'comparison.csv', 'comparison.md'
PLOT = 'comparison.png'


@dataclasses.dataclass(frozen=True)
class Row:
  """One variant.

  Attributes:
    name: 'cbam_block(ratio=16)@class'.
    parameters: trainable ones.
    multiply_adds: of one image.
    step_seconds: median of a training step; None until it is measured.
    accuracies: seed -> accuracy, None where the run is not done.
    diverged: seeds whose loss was no longer finite.
    train_dirs: of the runs.
  """

  name: str
  parameters: int
  multiply_adds: int
  step_seconds: float | None
  accuracies: Mapping[int, float | None]
  diverged: Sequence[int] = ()
  train_dirs: Sequence[pathlib.Path] = ()

  @property
  def done(self) -> list[float]:
    """The accuracies that are there."""
    return [value for value in self.accuracies.values() if value is not None]

  @property
  def mean(self) -> float | None:
    return statistics.fmean(self.done) if self.done else None

  @property
  def deviation(self) -> float | None:
    """The sample's standard deviation over seeds, of two or more."""
    return statistics.stdev(self.done) if len(self.done) > 1 else None


def write(rows: Sequence[Row], title: str, folder: pathlib.Path) -> None:
  """Writes all three files; the plot is never worth a comparison."""
  table = [_cells(row) for row in rows]
  csv_rows.write(folder / CSV, list(table[0]), table)
  text = '\n'.join([f'{title}:', '', *lines(rows), '', _legend(rows)])
  files.write_text(folder / MARKDOWN, text + '\n')
  # Matplotlib takes half a second to import.
  from engine import comparison_plot

  try:
    comparison_plot.draw(rows, title, folder / PLOT)
  except Exception as error:
    logging.warning('%s could not be drawn: %r', folder / PLOT, error)


def _cells(row: Row) -> dict[str, Any]:
  """Column -> number; None where it is not known yet."""
  seconds = row.step_seconds
  seeds = {f'accuracy_seed_{s}': value for s, value in row.accuracies.items()}
  return {
    'attention': row.name,
    'parameters': row.parameters,
    'multiply_adds': row.multiply_adds,
    'step_ms': None if seconds is None else f'{1000 * seconds:.3f}',
    'runs': len(row.done),
    'diverged': len(row.diverged),
    'accuracy_mean': row.mean,
    'accuracy_std': row.deviation,
    **seeds,
  }


def lines(rows: Sequence[Row]) -> list[str]:
  """The table in Markdown."""
  head = 'attention | parameters | multiply-adds | step | accuracy'
  table = [f'| {head} |', '|---|---:|---:|---:|---|']
  for row in rows:
    seconds = row.step_seconds
    step = '' if seconds is None else f'{1000 * seconds:.1f} ms'
    table.append(
      f'| `{row.name}` | {row.parameters:,} | {row.multiply_adds / 1e6:,.2f} M '
      f'| {step} | {_accuracy(row)} |'
    )
  return table


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
  seeds = ', '.join(map(str, rows[0].accuracies))
  return (
    f'Mean and standard deviation over seeds {seeds}, of the last checkpoint; '
    'multiply-adds of one image; the step is a training step, input included, '
    'median of steps that all variants made in turns.'
  )
