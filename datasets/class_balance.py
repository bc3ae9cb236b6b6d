"""Balanced sampling: each class as often, whatever the number of its records.

A pass of n records takes n / C of each of C classes, where the classes that are
one ahead if n / C is not whole take turns. A class's records form a circle, of
which each pass takes the next ones: those of a rare class several times, those
of a frequent class in turn. So a pass is as long as without balance, its content
depends on its number alone, and training can be resumed at any place.
"""

from __future__ import annotations

import dataclasses

from datasets import example
from tf_compat import tf


@dataclasses.dataclass(frozen=True)
class Balance:
  """What balanced sampling must know of a split.

  Attributes:
    counts: records of each class, all above 0, the classes below labels_offset
      left out.
    labels_offset: label of the first class.
  """

  counts: tuple[int, ...]
  labels_offset: int = 0


def balanced(
  records: tf.data.Dataset, number: tf.Tensor, balance: Balance
) -> tf.data.Dataset:
  """Repeats and leaves out the records of a pass.

  Args:
    records: string [], all records of the split, in any order.
    number: int64 [], number of the pass.
    balance: the numbers of records.

  Returns:
    string [], as many records.
  """
  classes = len(balance.counts)
  counts = tf.constant(balance.counts, tf.int64)
  # Taken of each class before this pass, and after it: they add up to n a pass.
  total, turns = sum(balance.counts), tf.range(classes, dtype=tf.int64)
  start = (number * total + turns) // classes
  quotas = ((number + 1) * total + turns) // classes - start
  whole, rest = quotas // counts, quotas % counts

  def turn(
    seen: tf.Tensor, record: tf.Tensor
  ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    features = example.parse(
      record, balance.labels_offset + classes, balance.labels_offset
    )
    label = features['image/class/label'] - balance.labels_offset
    place = (seen[label] - start[label]) % counts[label]
    repeats = whole[label] + tf.cast(place < rest[label], tf.int64)
    return seen + tf.one_hot(label, classes, dtype=tf.int64), (record, repeats)

  taken = records.scan(tf.zeros([classes], tf.int64), turn)
  return taken.flat_map(
    lambda record, repeats: tf.data.Dataset.from_tensors(record).repeat(repeats)
  )
