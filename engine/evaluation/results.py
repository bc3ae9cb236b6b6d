"""The result of an evaluation, and the files and lines that report it."""

import csv
import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import files
from engine.config.jobs import PNG
from engine.confusion import Confusion
from engine.evaluation.calibration import ReliabilityBins
from engine.evaluation.metrics import Metrics
from engine.evaluation.mistakes import Mistake
from engine.plots import style as plot_style
from engine.run_dir import csv_log, results_csv

JSON = 'results.json'
CONFUSION_CSV = 'confusion_matrix.csv'
CONFUSION_PNG = 'confusion_matrix.png'
# Beyond MAX_MATRIX classes, a file of the pairs that occur replaces the matrix.
CONFUSION_PAIRS_CSV = 'confusion_pairs.csv'
MAX_MATRIX = 2000


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
  """The result of one evaluation of one checkpoint.

  Attributes:
    checkpoint: the checkpoint's path.
    global_step: the training step it was saved at.
    dataset: name of the data set.
    split: name of the split.
    count: number of records evaluated.
    metrics: those of Metrics.scores().
    per_class: for each class label, name, count, precision, recall, f1, auroc;
      the last three are None where they are not defined.
    images_per_second: speed of the pass.
    confusion: number of records by true and predicted label.
    class_names: a name for each class.
    reliability: accuracy of the records in bins of confidence.
    mistakes: the most confident mistakes.
    notes: remarks on the numbers.
    time: the time in UTC, as ISO 8601 to the second.
  """

  checkpoint: str
  global_step: int
  dataset: str
  split: str
  count: int
  metrics: Mapping[str, float]
  per_class: Sequence[Mapping[str, Any]]
  images_per_second: float
  confusion: Confusion
  class_names: Sequence[str]
  reliability: ReliabilityBins
  mistakes: Sequence[Mistake]
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
  mistakes: Sequence[Mistake] = (),
) -> Result:
  """Returns the result of an evaluation that has just ended.

  Args:
    metrics: the scores of all batches.
    checkpoint: the checkpoint's path.
    global_step: the training step it was saved at.
    dataset: name of the data set.
    split: name of the split.
    class_names: names by label of the network, after --labels_offset; a class
      without a name is called by its number.
    images_per_second: speed of the pass.
    mistakes: the most confident ones.

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
    confusion=metrics.confusion,
    class_names=tuple(names),
    reliability=metrics.reliability(),
    mistakes=tuple(mistakes),
    notes=tuple(metrics.notes()),
    time=csv_log.timestamp(),
  )


def stderr_lines(result: Result) -> list[str]:
  """Returns the lines that scripts search for, then the notes.

  eval/Accuracy[0.76798] and eval/Recall_5[0.93180], as in TF-Slim.
  """
  lines = [
    f'eval/{name}[{result.metrics[name]:.5f}]'
    for name in ('Accuracy', 'Recall_5')
    if name in result.metrics
  ]
  return [*lines, *result.notes]


def fewer_records(result: Result, eval_dir: str | os.PathLike) -> str | None:
  """Returns a warning if the evaluation before had more records, else None.

  Records of a file that was cut off between two records are missed by nothing
  else.
  """
  path = os.path.join(eval_dir, results_csv.FILE)
  rows = [r for r in results_csv.read(path) if r.get('split') == result.split]
  if not rows or rows[-1].get('count', 0) <= result.count:
    return None
  return (
    f'{result.dataset}/{result.split} has {result.count} records; '
    f'{rows[-1]["count"]} at the evaluation before, says {path}.'
  )


def write(
  result: Result, eval_dir: str | os.PathLike, plot_format: str = PNG
) -> str | None:
  """Writes all files of one evaluation into eval_dir.

  The row in results.csv is written last, so that the other files are complete
  when it appears.

  Returns:
    The picture of the confusion matrix; None if it could not be drawn.
  """
  picture = write_report(result, eval_dir, plot_format)
  append_csv(result, os.path.join(eval_dir, results_csv.FILE))
  return picture


def write_report(
  result: Result, folder: str | os.PathLike, plot_format: str = PNG
) -> str | None:
  """Writes results.json and the confusion matrix into a folder.

  Returns:
    The picture of the matrix; None if it could not be drawn.
  """
  write_json(result, os.path.join(folder, JSON))
  if len(result.class_names) <= MAX_MATRIX:
    write_confusion_csv(result, os.path.join(folder, CONFUSION_CSV))
  else:
    write_confusion_pairs(result, os.path.join(folder, CONFUSION_PAIRS_CSV))
  picture = os.path.join(folder, CONFUSION_PNG)
  return draw_confusion(result, picture, plot_format)


def write_json(result: Result, path: str | os.PathLike) -> None:
  """Writes results.json; numbers that are not finite become null."""
  content = {
    'checkpoint': result.checkpoint,
    'global_step': result.global_step,
    'dataset': result.dataset,
    'split': result.split,
    'count': result.count,
    'metrics': result.metrics,
    'per_class': result.per_class,
    'images_per_second': result.images_per_second,
    'reliability': {
      name: values.tolist()
      for name, values in result.reliability._asdict().items()
    },
    'mistakes': [dataclasses.asdict(mistake) for mistake in result.mistakes],
  }
  files.write_json(path, _finite(content))


def read_json(path: str | os.PathLike) -> dict[str, Any] | None:
  """Reads a results.json; None if there is none, UserError if it is damaged."""
  return files.read_json(
    path,
    {'global_step': int, 'split': str, 'metrics': {'Accuracy': float}},
  )


def append_csv(result: Result, path: str | os.PathLike) -> None:
  """Appends time, global_step, checkpoint, split, count and the metrics."""
  results_csv.append(
    path,
    time=result.time,
    global_step=result.global_step,
    checkpoint=result.checkpoint,
    split=result.split,
    count=result.count,
    metrics=result.metrics,
  )


def write_confusion_csv(result: Result, path: str | os.PathLike) -> None:
  """Writes counts by true (row) and predicted (column) class name."""
  with files.replacing_text(path) as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(['true \\ predicted', *result.class_names])
    rows = result.confusion.matrix().tolist()
    for name, counts in zip(result.class_names, rows, strict=True):
      writer.writerow([name, *counts])


def write_confusion_pairs(result: Result, path: str | os.PathLike) -> None:
  """Writes true class, predicted class and count of each pair that occurs."""
  names = result.class_names
  with files.replacing_text(path) as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(['true', 'predicted', 'count'])
    for true, predicted, count in zip(*result.confusion.pairs(), strict=True):
      writer.writerow([names[true], names[predicted], count])


def draw_confusion(
  result: Result, path: str, plot_format: str = PNG
) -> str | None:
  """Draws the confusion matrix; logs a failure as a warning.

  Returns:
    The path, or None if the matrix could not be drawn.
  """
  # Matplotlib takes half a second to import.
  from engine.plots import confusion_matrix

  title = (
    f'Accuracy {result.metrics["Accuracy"]:.4f} on {result.count:,} images\n'
    f'{result.dataset} {result.split}, step {result.global_step:,}'
  )
  with plot_style.log_failure(path):
    confusion_matrix.draw(
      result.confusion, result.class_names, title, path, plot_format
    )
    return path
  return None


def _per_class(metrics: Metrics, names: Sequence[str]) -> list[dict[str, Any]]:
  """Returns the scores per class; None where one is not defined."""
  return [
    {
      'label': label,
      'name': name,
      'count': int(count),
      'precision': float(precision),
      'recall': float(recall) if count else None,
      'f1': float(f1) if count else None,
      'auroc': float(auroc) if math.isfinite(auroc) else None,
    }
    for label, (name, precision, recall, f1, count, auroc) in enumerate(
      zip(names, *metrics.per_class(), metrics.auroc(), strict=True)
    )
  ]


def _finite(value: Any) -> Any:
  """Replaces NaN and infinities, which JSON lacks, by None."""
  if isinstance(value, Mapping):
    return {key: _finite(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
