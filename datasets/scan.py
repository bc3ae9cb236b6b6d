"""Inspection of all records of a split."""

import dataclasses
import itertools
from collections.abc import Iterator

from datasets import example
from datasets.bad_records import count_readable, walk
from datasets.dataset import Dataset
from datasets.example_features import UnusableError
from datasets.process_pool import ProcessPool, Rejection
from datasets.record_inspection import Look, RecordInfo

_MAX_PENDING = 512  # records in memory


def scan(dataset: Dataset, pool: ProcessPool[Look]) -> Iterator[RecordInfo]:
  """Yields every record of a split in order, inspected.

  Args:
    dataset: the split.
    pool: a pool that applies `record_inspection.inspect_record`.
  """
  records = _records(dataset)
  while batch := list(itertools.islice(records, _MAX_PENDING)):
    results = pool.encode(batch)
    for info, result in zip(batch, results, strict=True):
      if isinstance(result, Rejection):
        yield dataclasses.replace(info, problem=result.reason)
      else:
        yield dataclasses.replace(info, look=result)


def _records(dataset: Dataset) -> Iterator[RecordInfo]:
  """Yields the records of all files, parsed but with undecoded images."""
  for file, (readable, _) in zip(
    dataset.files, count_readable(dataset.files), strict=True
  ):
    for record in walk(file, readable):
      info = RecordInfo(
        file, record.number, record.offset, problem=record.problem
      )
      if not record.problem:
        info = _parse(info, record.data, dataset.num_classes)
      yield info


def _parse(info: RecordInfo, data: bytes, num_classes: int) -> RecordInfo:
  """Returns `info` with label, boxes and encoded image, or with a problem."""
  try:
    features = example.read(data, num_classes, labels_offset=0)
  except UnusableError as error:
    return dataclasses.replace(info, problem=str(error))
  sides = [
    features[f'image/object/bbox/{side}'].float_list.value
    for side in ('ymin', 'xmin', 'ymax', 'xmax')
  ]
  return dataclasses.replace(
    info,
    label=features['image/class/label'].int64_list.value[0],
    encoded=features['image/encoded'].bytes_list.value[0],
    boxes=tuple(zip(*sides, strict=False)),
  )
