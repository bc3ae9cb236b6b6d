"""What the records of a split really hold, each of them looked at."""

import dataclasses
import itertools
from collections.abc import Iterator

from google.protobuf import message as protobuf

from datasets import example
from datasets.bad_records import count_readable, walk
from datasets.dataset import Dataset
from datasets.sight import Sight
from datasets.workers import Rejected, Workers
from tf_compat import tf

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
    features = tf.train.Example.FromString(data).features.feature
  except protobuf.DecodeError:
    return dataclasses.replace(sight, problem='is no tf.train.Example')
  encoded = features['image/encoded'].bytes_list.value
  labels = features['image/class/label'].int64_list.value
  for key, values in zip(example.REQUIRED, (encoded, labels), strict=True):
    if len(values) != 1:
      problem = f'has {len(values)} values of {key}, not one'
      return dataclasses.replace(sight, problem=problem)
  if not 0 <= labels[0] < num_classes:
    problem = example.label_problem(str(labels[0]), num_classes, 0)
    return dataclasses.replace(sight, problem=f'has a wrong label: {problem}')
  sides = [
    features[f'image/object/bbox/{side}'].float_list.value
    for side in ('ymin', 'xmin', 'ymax', 'xmax')
  ]
  return dataclasses.replace(
    sight,
    label=labels[0],
    encoded=encoded[0],
    boxes=tuple(zip(*sides, strict=False)),
  )
