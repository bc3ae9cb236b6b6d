"""Weights of classes in the loss, so that rare classes count more."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
from collections.abc import Sequence

import numpy as np

from errors import UserError
from options import Options, option
from registry import abbreviated, unknown

BALANCED, EFFECTIVE = 'balanced', 'effective'
_LISTED = 20  # most classes in a table


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassBalanceOptions(Options):
  """Options for classes with few records."""

  class_weights: str | None = option(
    None,
    'Weights of the classes in the loss: balanced, n / (classes · records of the '
    'class); effective, (1 - beta) / (1 - beta^records) (arXiv:1901.05555), with '
    'a mean of 1 over the records; or a CSV file of class name or label, and '
    'weight.',
    group='optimization',
    path=True,
  )
  class_weights_beta: float = option(
    0.999,
    'Beta of --class_weights=effective: 0 weighs all classes alike, towards 1 '
    'they are balanced.',
    lower=0,
    upper=1,
    group='advanced',
  )
  balanced_sampling: bool = option(
    False,
    'Read each class as often: an epoch has as many images as there are records, '
    'of which rare classes repeat some and frequent ones leave some out, in '
    'turn.',
    group='data',
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.class_weights_beta == 1:
      raise UserError('--class_weights_beta=1: must be less than 1.')
    known = (BALANCED, EFFECTIVE)
    if (kind := self.class_weights) and kind not in known and not is_csv(kind):
      message = unknown('--class_weights', kind, known)
      raise UserError(f'{message} Or a file whose name ends in .csv.')


def is_csv(weights: str) -> bool:
  """Whether --class_weights names a file."""
  return weights.lower().endswith('.csv')


def of_job(
  options: ClassBalanceOptions, counts: np.ndarray, names: Sequence[str]
) -> np.ndarray | None:
  """Returns the weight of each class; None without --class_weights.

  Args:
    options: names the weights.
    counts: int [C], the records of each class.
    names: those of the classes.

  Returns:
    float64 [C]. Classes without records have 0.

  Raises:
    UserError: for a file that cannot be used.
  """
  if not options.class_weights:
    return None
  if options.class_weights == BALANCED:
    return balanced(counts)
  if options.class_weights == EFFECTIVE:
    return effective(counts, options.class_weights_beta)
  return from_csv(options.class_weights, names)


def check(options: ClassBalanceOptions, names: Sequence[str]) -> None:
  """Raises UserError for a file of weights that cannot be used."""
  if options.class_weights and is_csv(options.class_weights):
    from_csv(options.class_weights, names)


def balanced(counts: np.ndarray) -> np.ndarray:
  """n / (classes · count), over the classes with records."""
  present = counts > 0
  return _where_present(
    counts.sum() / present.sum() / _at_least_1(counts), counts
  )


def effective(counts: np.ndarray, beta: float) -> np.ndarray:
  """(1 - β) / (1 - β^count), scaled to a mean of 1 over the records.

  https://arxiv.org/abs/1901.05555
  """
  # 1 - β^n loses its digits where β is next to 1.
  log_beta = math.log(beta) if beta else -math.inf
  weights = (1 - beta) / -np.expm1(_at_least_1(counts) * log_beta)
  weights = _where_present(weights, counts)
  return weights * counts.sum() / (weights * counts).sum()


def _at_least_1(counts: np.ndarray) -> np.ndarray:
  return np.maximum(counts, 1).astype(np.float64)


def _where_present(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
  """Replaces the weights of classes without records by 0."""
  return np.where(counts > 0, weights, 0.0)


def from_csv(path: str, names: Sequence[str]) -> np.ndarray:
  """Reads lines of class and weight; the first line may be a header.

  Args:
    path: the file.
    names: those of the classes; a class is called by name or by number.

  Returns:
    float64 [C].

  Raises:
    UserError: names the file, the line and the value, if a class is unknown,
      missing or there twice, or a weight is negative or not a finite number.
  """
  label_of = {str(label): label for label in range(len(names))}
  label_of |= {name: label for label, name in enumerate(names)}
  weights: dict[int, float] = {}
  for number, row in enumerate(_rows(path), 1):
    if not row or (number == 1 and _is_header(row, label_of)):
      continue
    source = f'--class_weights={path}, line {number}'
    label, weight = _parse(row, label_of, source)
    if label in weights:
      raise UserError(f'{source}: the class {row[0]!r} is there twice.')
    weights[label] = weight
  missing = [name for label, name in enumerate(names) if label not in weights]
  if missing:
    raise UserError(
      f'--class_weights={path} has no weight for {len(missing)} of '
      f'{len(names)} classes: {abbreviated(missing)}. Add a line for each.'
    )
  if not any(weights.values()):
    raise UserError(f'--class_weights={path}: all weights are 0.')
  return np.array([weights[label] for label in range(len(names))])


def _rows(path: str) -> list[list[str]]:
  """Reads the cells of each line; UserError if the file is not readable."""
  try:
    with open(path, encoding='utf-8-sig', newline='') as file:
      return [[cell.strip() for cell in row] for row in csv.reader(file)]
  except OSError as error:
    raise UserError(
      f'--class_weights={path} cannot be read: {os.strerror(error.errno or 0)}.'
    ) from error
  except (UnicodeDecodeError, csv.Error) as error:
    raise UserError(
      f'--class_weights={path} is not a CSV file in UTF-8: {error}.'
    ) from error


def _is_header(row: list[str], label_of: dict[str, int]) -> bool:
  """Whether a line names columns: no class, and no number."""
  try:
    float(row[-1])
  except ValueError:
    return row[0] not in label_of
  return False


def _parse(
  row: list[str], label_of: dict[str, int], source: str
) -> tuple[int, float]:
  """Returns label and weight of a line."""
  if len(row) != 2:
    raise UserError(f'{source}: {len(row)} cells, not a class and a weight.')
  name, text = row
  if name not in label_of:
    raise UserError(f'{source}: {unknown("class", name, label_of)}')
  try:
    weight = float(text)
  except ValueError:
    weight = math.nan
  if not (math.isfinite(weight) and weight >= 0):
    raise UserError(
      f'{source}: the weight {text!r} of {name!r} must be a number from 0.'
    )
  return label_of[name], weight


def table(
  counts: Sequence[int],
  names: Sequence[str],
  weights: Sequence[float] | None,
  per_epoch: float | None,
) -> list[str]:
  """Returns lines of a table by class: records, weight, images in an epoch.

  Of many classes, those with the fewest records.

  Args:
    counts: the records of each class.
    names: those of the classes.
    weights: those of the classes in the loss; None for none.
    per_epoch: images of each class in an epoch of balanced sampling; None
      without it.
  """
  order = np.argsort(counts, kind='stable')[:_LISTED]
  header, rows = ['class', 'records'], []
  for label in order:
    rows.append([names[label], f'{counts[label]:,}'])
  if weights is not None:
    header.append('weight')
    for row, label in zip(rows, order, strict=True):
      row.append(f'{weights[label]:.4g}')
  if per_epoch is not None:
    header.append('in an epoch')
    for row in rows:
      row.append(f'{per_epoch:,.4g}')
  widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
  lines = [
    '  '.join(
      cell.rjust(width) if index else cell.ljust(width)
      for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    for row in (header, *rows)
  ]
  if hidden := len(counts) - len(order):
    lines.append(f'and {hidden:,} classes with more records.')
  return lines
