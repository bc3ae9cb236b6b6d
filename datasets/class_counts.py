"""Number of records of each class, counted once and kept beside the records."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import numpy as np
from absl import logging

import files
from datasets import example
from datasets.bad_records import walk
from datasets.dataset import Dataset
from datasets.example_features import UnusableError

# The counts of each record file, with its size and time and the number of classes,
# which reveal changes.
FILE = 'class_counts.json'
_KINDS = {
  str: {'bytes': int, 'time': int, 'classes?': int, 'counts': {str: int}}
}
_REMEDY = 'Delete it, and the records will be counted again.'


def count(
  dataset: Dataset, progress: Callable[[int], object] = lambda records: None
) -> np.ndarray:
  """Counts the records of each label; those that cannot be parsed are left out.

  Reads every file that class_counts.json in its folder does not describe. An
  unwritable folder is not an error.

  Args:
    dataset: the split.
    progress: called with the number of records counted since the last call.

  Returns:
    int64 [dataset.num_classes].

  Raises:
    UserError: if class_counts.json is damaged.
  """
  path = pathlib.Path(dataset.files[0]).parent / FILE
  known = files.read_json(path, _KINDS, _REMEDY) or {}
  updated = dict(known)
  total: np.ndarray = np.zeros(dataset.num_classes, np.int64)
  for file in dataset.files:
    name = os.path.basename(file)
    state = {**_state(file), 'classes': dataset.num_classes}
    entry = known.get(name)
    if entry is None or {key: entry.get(key) for key in state} != state:
      counts = _count_file(file, dataset.num_classes, progress)
      updated[name] = {
        **state,
        'counts': {str(k): int(n) for k, n in enumerate(counts) if n},
      }
    total += _dense(updated[name]['counts'], dataset.num_classes)
  if updated != known:
    try:
      files.write_json(path, updated)
    except OSError as error:
      logging.info('Cannot save the counts of classes: %s', error)
  return total


def _state(file: str) -> dict[str, int]:
  """Returns the size of a file, and when it was changed, in microseconds."""
  stat = os.stat(file)
  return {'bytes': stat.st_size, 'time': stat.st_mtime_ns // 1000}


def _count_file(
  file: str, num_classes: int, progress: Callable[[int], object]
) -> np.ndarray:
  """Counts the records of each label in a file."""
  counts: np.ndarray = np.zeros(num_classes, np.int64)
  for record in walk(file):
    progress(1)
    try:
      features = example.read(record.data, num_classes, labels_offset=0)
    except UnusableError:
      continue
    (label,) = features['image/class/label'].int64_list.value
    counts[label] += 1
  return counts


def _dense(counts: dict[str, int], num_classes: int) -> np.ndarray:
  """Returns counts by label; labels outside the classes are left out."""
  dense: np.ndarray = np.zeros(num_classes, np.int64)
  for label, number in counts.items():
    if label.isdecimal() and int(label) < num_classes:
      dense[int(label)] = number
  return dense
