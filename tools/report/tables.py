"""The tables of a report: how a run was trained, classes, confusions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.config import job_file
from tools.report.run import Results, Run

# Metric -> its name in a report, in this order; others follow under their own.
METRICS = {
  'Accuracy': 'accuracy',
  'balanced_accuracy': 'balanced accuracy',
  'Recall_5': 'right among the best five',
  'loss': 'loss',
  'macro_precision': 'mean precision of the classes',
  'macro_recall': 'mean recall of the classes',
  'macro_f1': 'mean F1 of the classes',
  'macro_auroc': 'mean AUROC of the classes',
  'expected_calibration_error': 'expected calibration error',
}
# Of these, the lowest is the best.
LOWER_IS_BETTER = ('loss', 'expected_calibration_error')
# Most classes of a matrix whose cells have room for their counts.
MAX_MATRIX = 30
# What finished.json names as the reason -> how a page says it.
_REASONS = {
  'max_number_of_steps': 'its last step',
  'early_stop': 'an early stop, as the evaluations got no better',
  'non_finite': 'divergence: a loss or weight was not finite',
}
# Option -> what it is called among the settings of a run.
_SETTINGS = {
  'recipe': 'recipe',
  'batch_size': 'batch size',
  'optimizer': 'optimizer',
  'learning_rate': 'learning rate',
  'learning_rate_decay_type': 'schedule of the learning rate',
  'weight_decay': 'weight decay',
  'label_smoothing': 'label smoothing',
  'augment': 'augmentation',
  'preprocessing_name': 'preprocessing',
  'moving_average_decay': 'decay of moving averages',
  'checkpoint_path': 'fine-tuned from',
  'trainable_scopes': 'trained scopes',
  'seed': 'seed',
}


@dataclasses.dataclass(frozen=True)
class Cell:
  """A cell of the matrix: its count, and its share of the true class."""

  count: int
  share: float


@dataclasses.dataclass(frozen=True)
class Confusion:
  """Pairs of classes that are confused, and the matrix of few classes.

  Attributes:
    pairs: true name, predicted name, count, share of the true class; the most
      frequent first.
    left_out: number of further pairs.
    rows: Cell of each true (row) and predicted class; [] for many classes.
    most_confused: labels by the mistakes from and to them, most first.
  """

  pairs: Sequence[tuple[str, str, int, float]]
  left_out: int
  rows: Sequence[Sequence[Cell]]
  most_confused: Sequence[int]


def settings(run: Run) -> Iterator[tuple[str, str]]:
  """Yields name and value of what a run was trained with."""
  options, job = run.options, run.job
  yield 'network', str(options.get('model_name', 'unknown'))
  placement = options.get('attention_placement')
  place = f', placed: {placement}' if placement else ''
  yield 'attention', f'{options.get("attention_module") or "none"}{place}'
  yield 'data set', f'{options.get("dataset_name", "unknown")}'
  for key, name in (
    ('num_records', 'training records'),
    ('num_classes', 'classes'),
    ('trainable_parameters', 'parameters'),
  ):
    if key in job:
      yield name, f'{job[key]:,}'
  if options.get('train_image_size'):
    yield 'image size', f'{options["train_image_size"]} pixels'
  if run.step is not None:
    epochs = run.epochs_per_step
    share = f', {run.step * epochs:.3g} epochs' if epochs else ''
    yield 'steps', f'{run.step:,}{share}'
  reason = run.finished['reason'] if run.finished else 'not finished'
  yield 'ended by', _REASONS.get(reason, reason)
  if run.seconds is not None:
    yield 'time of the steps', duration(run.seconds)
  for option, name in _SETTINGS.items():
    if options.get(option) not in (None, ''):
      yield name, text(options[option])
  for option, value in job_file.unusual(options).items():
    yield option.replace('_', ' '), text(value)


def duration(seconds: float) -> str:
  """'2 h 05 min', '3 min 20 s'."""
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours} h {minutes:02} min'
  return f'{minutes} min {rest:02} s' if minutes else f'{rest} s'


def text(value: Any) -> str:
  """Returns a value as a reader expects it: 0.1 and not 0.1000000000001."""
  return f'{value:.6g}' if isinstance(value, float) else str(value)


def metrics(results: Results) -> list[tuple[str, str, float]]:
  """Returns key, name and value of the metrics that are numbers."""
  values = results.content['metrics']
  names = {**METRICS, **{key: key for key in values if key not in METRICS}}
  return [
    (key, name, float(values[key]))
    for key, name in names.items()
    if values.get(key) is not None and math.isfinite(values[key])
  ]


def confusion(results: Results, most: int) -> Confusion | None:
  """Returns the confusions of an evaluation; None without a matrix.

  Args:
    results: the evaluation.
    most: largest number of pairs.
  """
  if results.pairs is None:
    return None
  names, classes = results.names, range(len(results.names))
  support = dict.fromkeys(classes, 0)
  wrong = dict.fromkeys(classes, 0)
  for true, predicted, count in results.pairs:
    support[true] += count
    if true != predicted:
      wrong[true] += count
      wrong[predicted] += count
  mistakes = sorted(
    (pair for pair in results.pairs if pair[0] != pair[1]),
    key=lambda pair: -pair[2],
  )
  counts = {(true, guess): count for true, guess, count in results.pairs}
  small = len(names) <= MAX_MATRIX
  return Confusion(
    pairs=[
      (names[true], names[predicted], count, count / support[true])
      for true, predicted, count in mistakes[:most]
    ],
    left_out=max(0, len(mistakes) - most),
    rows=[
      [
        Cell(
          count := counts.get((true, guess), 0), count / (support[true] or 1)
        )
        for guess in classes
      ]
      for true in classes
    ]
    if small
    else [],
    most_confused=sorted(classes, key=lambda label: -wrong[label]),
  )


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
  """A line of the table of several runs.

  Attributes:
    name: what is compared.
    values: a text for each run.
    differs: whether they are not all equal.
    best: the runs that are best in it; () where none can be.
  """

  name: str
  values: Sequence[str]
  differs: bool
  best: Sequence[int] = ()


def comparison(runs: Sequence[Run]) -> list[ComparisonRow]:
  """Returns the metrics and settings of several runs, side by side."""
  scores = [
    {key: (name, value) for key, name, value in metrics(run.results)}
    if run.results
    else {}
    for run in runs
  ]
  rows = [
    _metric_row(key, [each.get(key) for each in scores], _same_records(runs))
    for key in dict.fromkeys(key for each in scores for key in each)
  ]
  chosen: list[Mapping[str, str]] = [dict(settings(run)) for run in runs]
  for name in dict.fromkeys(name for each in chosen for name in each):
    values = [each.get(name, '–') for each in chosen]
    rows.append(ComparisonRow(name, values, len(set(values)) > 1))
  return rows


def _metric_row(
  key: str, scores: Sequence[tuple[str, float] | None], comparable: bool
) -> ComparisonRow:
  """Returns the line of a metric, None for a run without it."""
  known = [score[1] for score in scores if score]
  best = min(known) if key in LOWER_IS_BETTER else max(known)
  values = [f'{score[1]:.4f}' if score else '–' for score in scores]
  is_race = comparable and len(set(known)) > 1
  return ComparisonRow(
    next(score[0] for score in scores if score),
    values,
    len(set(values)) > 1,
    [n for n, s in enumerate(scores) if s and s[1] == best] if is_race else (),
  )


def _same_records(runs: Sequence[Run]) -> bool:
  """Returns whether all evaluations are of the same records."""
  return len(evaluated_on(runs)) <= 1


def evaluated_on(runs: Sequence[Run]) -> set[str]:
  """Returns data set, split and number of records of the evaluations."""
  return {
    '{dataset} {split} ({count:,} records)'.format(**run.results.content)
    for run in runs
    if run.results
  }
