"""What an evaluation found, and the files and lines that tell it.

In eval_dir: results.json (the newest), results.csv (one row for each
evaluation), confusion_matrix.csv and .png; anywhere: predictions in CSV.
"""

import contextlib
import csv
import dataclasses
import datetime
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np
from absl import logging

import files
from engine import rows
from engine.metrics import Metrics

JSON, CSV = 'results.json', 'results.csv'
CONFUSION_CSV, CONFUSION_PNG = 'confusion_matrix.csv', 'confusion_matrix.png'


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
  """One evaluation of one checkpoint.

  Attributes:
    checkpoint: the checkpoint's path.
    global_step: the training step it was saved at.
    dataset: name of the data set.
    split: name of the split.
    count: records evaluated.
    metrics: Accuracy, Recall_5 (above 5 classes), loss, macro averages.
    per_class: for each class label, name, count, precision, recall, f1;
      recall and f1 are None for a class without records.
    images_per_second: speed of the pass.
    confusion: int64 [classes, classes], records by true and predicted label.
    class_names: a name for each class.
    notes: remarks that belong beside the numbers.
    time: when, in UTC, as ISO 8601 to the second.
  """

  checkpoint: str
  global_step: int
  dataset: str
  split: str
  count: int
  metrics: Mapping[str, float]
  per_class: Sequence[Mapping[str, Any]]
  images_per_second: float
  confusion: np.ndarray
  class_names: Sequence[str]
  notes: Sequence[str]
  time: str


def summarize(
  metrics: Metrics,
  *,
  checkpoint: str,
  global_step: int,
  dataset: str,
  split: str,
  class_names: Sequence[str],
  images_per_second: float,
) -> Result:
  """Makes the record of one pass, now.

  Args:
    metrics: what was accumulated.
    checkpoint: the checkpoint's path.
    global_step: the training step it was saved at.
    dataset: name of the data set.
    split: name of the split.
    class_names: names by label as the network counts them, so after
      --labels_offset; a class without a name is called by its number.
    images_per_second: speed of the pass.

  Raises:
    UserError: if no record was evaluated.
  """
  names = [str(name) for name in class_names[: metrics.num_classes]]
  names += map(str, range(len(names), metrics.num_classes))
  return Result(
    checkpoint=str(checkpoint),
    global_step=int(global_step),
    dataset=dataset,
    split=split,
    count=metrics.count,
    metrics=metrics.scores(),
    per_class=_per_class(metrics, names),
    images_per_second=float(images_per_second),
    confusion=metrics.confusion.copy(),
    class_names=tuple(names),
    notes=tuple(metrics.notes()),
    time=now(),
  )


def now() -> str:
  """The time in UTC as ISO 8601 to the second: 2026-01-31T09:30:00+00:00."""
  return datetime.datetime.now(datetime.timezone.utc).isoformat(
    timespec='seconds'
  )


def stderr_lines(result: Result) -> list[str]:
  """The lines that scripts look for, then the notes.

  eval/Accuracy[0.76798] and eval/Recall_5[0.93180], as the original had them.
  """
  lines = [
    f'eval/{name}[{result.metrics[name]:.5f}]'
    for name in ('Accuracy', 'Recall_5')
    if name in result.metrics
  ]
  return [*lines, *result.notes]


def write(result: Result, eval_dir: str | os.PathLike) -> None:
  """Writes all files of one evaluation into eval_dir.

  The row in results.csv comes last: who waits for it finds the rest there.
  """
  write_json(result, os.path.join(eval_dir, JSON))
  write_confusion_csv(result, os.path.join(eval_dir, CONFUSION_CSV))
  draw_confusion(result, os.path.join(eval_dir, CONFUSION_PNG))
  append_csv(result, os.path.join(eval_dir, CSV))


def write_json(result: Result, path: str | os.PathLike) -> None:
  """Writes numbers and per-class scores; what is not finite becomes null."""
  content = {
    'checkpoint': result.checkpoint,
    'global_step': result.global_step,
    'dataset': result.dataset,
    'split': result.split,
    'count': result.count,
    'metrics': result.metrics,
    'per_class': result.per_class,
    'images_per_second': result.images_per_second,
  }
  text = json.dumps(_finite(content), indent=2, allow_nan=False)
  files.write_text(path, text + '\n')


def append_csv(result: Result, path: str | os.PathLike) -> None:
  """Appends time, global_step, checkpoint, split, count and the metrics."""
  rows.append(
    path,
    {
      'time': result.time,
      'global_step': result.global_step,
      'checkpoint': result.checkpoint,
      'split': result.split,
      'count': result.count,
      **result.metrics,
    },
  )


def read_results_csv(path: str | os.PathLike) -> list[dict[str, Any]]:
  """Reads results.csv; [] where there is none.

  Returns:
    A dict per complete row: time, checkpoint and split as text, global_step
    and count as int, metrics as float. Empty cells are left out, and so are
    rows that are damaged.
  """
  read = []
  for row in rows.read(path):
    with contextlib.suppress(ValueError):
      read.append(_typed(row))
  return read


def write_confusion_csv(result: Result, path: str | os.PathLike) -> None:
  """Writes counts by true (row) and predicted (column) class name."""
  with _replacing_text(path) as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(['true \\ predicted', *result.class_names])
    for name, counts in zip(result.class_names, result.confusion, strict=True):
      writer.writerow([name, *counts.tolist()])


def draw_confusion(result: Result, path: str | os.PathLike) -> None:
  """Draws the confusion matrix as a PNG; numbers outlive a failure here."""
  # Matplotlib takes half a second to import: only who draws pays.
  from engine import confusion_plot

  title = (
    f'Accuracy {result.metrics["Accuracy"]:.4f} on {result.count:,} images\n'
    f'{result.dataset} {result.split}, step {result.global_step:,}'
  )
  try:
    confusion_plot.draw(result.confusion, result.class_names, title, path)
  except Exception as error:
    logging.warning('%s could not be drawn: %r', path, error)


class PredictionsWriter:
  """Writes each record's label and top five as CSV, while they come.

  Columns: index, filename, label, label_name, then for the best guess and up
  to four more top1_label, top1_name, top1_probability. The file appears when
  the `with` block ends well, and not at all if it does not.

  Args:
    path: the CSV file.
    class_names: names by label; a class without one is called by its number.
  """

  def __init__(self, path: str | os.PathLike, class_names: Sequence[str]):
    self._names = class_names
    self._began = False
    self._file = _replacing_text(path)

  def __enter__(self) -> 'PredictionsWriter':
    self._writer = csv.writer(self._file.__enter__(), lineterminator='\n')
    return self

  def __exit__(self, *error) -> None:
    self._file.__exit__(*error)

  def write(
    self,
    indices: Iterable[int],
    filenames: Iterable[str | bytes],
    labels: np.ndarray,
    top_k: np.ndarray,
    probabilities: np.ndarray,
  ) -> None:
    """Adds one batch.

    Args:
      indices: N places in the split, as evaluation reads it.
      filenames: N names, '' where the record holds none.
      labels: int [N], the true labels.
      top_k: int [N, min(5, classes)], predicted labels, best first.
      probabilities: float [N, min(5, classes)], those of top_k.
    """
    for index, filename, label, guesses, chances in zip(
      indices, filenames, labels, top_k, probabilities, strict=True
    ):
      if not self._began:
        self._writer.writerow(_header(len(guesses)))
        self._began = True
      row = [int(index), _text(filename), *self._called(label)]
      for guess, chance in zip(guesses, chances, strict=True):
        row += [*self._called(guess), f'{chance:.6f}']
      self._writer.writerow(row)

  def _called(self, label: int) -> tuple[int, str]:
    """A label and its name: its number where there is none."""
    known = label < len(self._names)
    return int(label), self._names[label] if known else str(label)


_WHOLE = ('global_step', 'count')
_WORDS = ('time', 'checkpoint', 'split')


def _per_class(metrics: Metrics, names: Sequence[str]) -> list[dict[str, Any]]:
  """Scores with names; without records nothing is recalled, or missed."""
  return [
    {
      'label': label,
      'name': name,
      'count': int(count),
      'precision': float(precision),
      'recall': float(recall) if count else None,
      'f1': float(f1) if count else None,
    }
    for label, (name, precision, recall, f1, count) in enumerate(
      zip(names, *metrics.per_class(), strict=True)
    )
  ]


def _finite(value: Any) -> Any:
  """The same with None for NaN and infinities, which JSON does not have."""
  if isinstance(value, Mapping):
    return {key: _finite(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
  """Texts as numbers where they are; ValueError if the row is damaged."""
  typed: dict[str, Any] = {}
  for column, text in row.items():
    if column in _WORDS:
      typed[column] = text
    elif column in _WHOLE:
      typed[column] = int(text)
    elif text:
      typed[column] = float(text)
  return typed


def _header(guesses: int) -> list[str]:
  """The columns of predictions with that many guesses."""
  header = ['index', 'filename', 'label', 'label_name']
  for place in range(1, guesses + 1):
    header += [
      f'top{place}_{what}' for what in ('label', 'name', 'probability')
    ]
  return header


@contextlib.contextmanager
def _replacing_text(path: str | os.PathLike) -> Iterator[IO[str]]:
  """A text file that takes the place of `path` when all went well."""
  with (
    files.replacing(path) as temporary,
    open(temporary, 'w', encoding='utf-8', newline='') as file,
  ):
    yield file


def _text(name: str | bytes) -> str:
  """A file name as text; TensorFlow hands out bytes."""
  return name.decode('utf-8', 'replace') if isinstance(name, bytes) else name
