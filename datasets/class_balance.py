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

_BATCH = 64  # records


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
    records: string [], all records of the split, in the same order each time.
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

  def turn(seen: tf.Tensor, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    # The reader reports a label that is outside of the classes.
    labels = example.labels(batch) - balance.labels_offset
    labels = tf.clip_by_value(labels, 0, classes - 1)
    own = tf.one_hot(labels, classes, dtype=tf.int64)  # [N, C]
    earlier = tf.reduce_sum((seen + tf.cumsum(own, exclusive=True)) * own, 1)
    place = (earlier - tf.gather(start, labels)) % tf.gather(counts, labels)
    repeats = tf.gather(whole, labels) + tf.cast(
      place < tf.gather(rest, labels), tf.int64
    )
    return seen + tf.reduce_sum(own, 0), tf.repeat(batch, repeats)

  # Many records at once, since a call costs more than a record.
  batches = records.batch(_BATCH)
  return batches.scan(tf.zeros([classes], tf.int64), turn).unbatch()
