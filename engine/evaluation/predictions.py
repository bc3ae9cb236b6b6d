"""--predictions_file: label and five best classes of each record, as CSV."""

import csv
import os
from collections.abc import Iterable, Sequence

import numpy as np

import files


class PredictionsWriter:
  """Writes each record's label and five best classes as CSV, batch by batch.

  Columns: index, filename, label, label_name, then for the best class and up
  to four more top1_label, top1_name, top1_probability. The file appears only
  if the `with` block succeeds.

  Args:
    path: the CSV file.
    class_names: names by label; a class without a name is called by its number.
  """

  def __init__(self, path: str | os.PathLike, class_names: Sequence[str]):
    self._names = class_names
    self._has_header = False
    self._file = files.replacing_text(path)

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
    """Appends one batch.

    Args:
      indices: N positions in the split, in the order evaluation reads it.
      filenames: N names, '' if the record has none.
      labels: int [N], the true labels.
      top_k: int [N, min(5, classes)], predicted labels, best first.
      probabilities: float [N, min(5, classes)], the probabilities of top_k.
    """
    for index, filename, label, best, shares in zip(
      indices, filenames, labels, top_k, probabilities, strict=True
    ):
      if not self._has_header:
        self._writer.writerow(_header(len(best)))
        self._has_header = True
      row = [int(index), _text(filename), *self._named(label)]
      for predicted, share in zip(best, shares, strict=True):
        row += [*self._named(predicted), f'{share:.6f}']
      self._writer.writerow(row)

  def _named(self, label: int) -> tuple[int, str]:
    """Returns a label and its name, which is its number if it has none."""
    has_name = label < len(self._names)
    return int(label), self._names[label] if has_name else str(label)


def _header(count: int) -> list[str]:
  """Returns the columns for this number of predicted classes."""
  header = ['index', 'filename', 'label', 'label_name']
  for rank in range(1, count + 1):
    header += [f'top{rank}_{part}' for part in ('label', 'name', 'probability')]
  return header


def _text(name: str | bytes) -> str:
  """Decodes a file name, which TensorFlow returns as bytes."""
  return name.decode('utf-8', 'replace') if isinstance(name, bytes) else name
