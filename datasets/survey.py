"""What the records of a split really hold, each of them looked at."""

import dataclasses
import itertools
from collections.abc import Iterator

from datasets import example
from datasets.bad_records import count_readable, walk
from datasets.content import UnusableError
from datasets.dataset import Dataset
from datasets.sight import Sight
from datasets.workers import Rejected, Workers

_AT_ONCE = 512  # records sent to the workers


def survey(dataset: Dataset, workers: Workers) -> Iterator[Sight]:
  """Every record of a split, in order.

  Args:
    dataset: the split.
    workers: that call `sight.look`.
  """
  sights = _sights(dataset)
  while part := list(itertools.islice(sights, _AT_ONCE)):
    looks = workers.encode(part)
    for sight, seen in zip(part, looks, strict=True):
      if isinstance(seen, Rejected):
        yield dataclasses.replace(sight, problem=seen.reason)
      else:
        yield dataclasses.replace(sight, look=seen)


def _sights(dataset: Dataset) -> Iterator[Sight]:
  """The records as they are framed and labelled, no image decoded."""
  for file, (readable, _) in zip(
    dataset.files, count_readable(dataset.files), strict=True
  ):
    for record in walk(file, readable):
      sight = Sight(file, record.number, record.offset, problem=record.problem)
      if not record.problem:
        sight = _parsed(sight, record.data, dataset.num_classes)
      yield sight


def _parsed(sight: Sight, data: bytes, num_classes: int) -> Sight:
  """The sight with its label, boxes and bytes, or with its problem."""
  try:
    features = example.read(data, num_classes, labels_offset=0)
  except UnusableError as error:
    return dataclasses.replace(sight, problem=str(error))
  sides = [
    features[f'image/object/bbox/{side}'].float_list.value
    for side in ('ymin', 'xmin', 'ymax', 'xmax')
  ]
  return dataclasses.replace(
    sight,
    label=features['image/class/label'].int64_list.value[0],
    encoded=features['image/encoded'].bytes_list.value[0],
    boxes=tuple(zip(*sides, strict=False)),
  )
