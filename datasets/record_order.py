"""The order in which the records of a split are read.

Evaluation reads them once, in order. Training reads them pass after pass, each
in another order, which depends only on the seed and on the number of the pass.
So training can start at any position, as if all records before had been read:
it skips whole passes without reading, and reads, but does not decode, the
skipped records of the pass in which it starts.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from datasets import class_balance, record_files
from datasets.class_balance import Balance
from datasets.dataset import Dataset
from datasets.records import count_records
from tf_compat import tf

CYCLE_LENGTH = 16  # files read at once in training

# Size of the shuffle buffer in bytes, and its minimum in records.
SHUFFLE_BYTES = 256 << 20
SHUFFLE_AT_LEAST = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
  """The random order of a worker's training records.

  Attributes:
    seed: determines the order; random if None.
    num_readers: number of files read at once; up to 16 if None.
    balance: the numbers of records by class, to take each class as often; None
      takes each record once in a pass.
    start: number of records to skip, as if they had been read.
  """

  seed: int | None = None
  num_readers: int | None = None
  balance: Balance | None = None
  start: int = 0


def in_order(
  dataset: Dataset, shard: tuple[int, int], cache: bool = False
) -> tf.data.Dataset:
  """Returns a worker's records once, in order.

  Args:
    dataset: the split to read.
    shard: number of workers, and index of this one.
    cache: whether to keep the records in memory.

  Returns:
    Pairs of int64 [], the position in the split, and string [], the record.
  """
  files = record_files.sources(dataset.files)
  records = files.flat_map(tf.data.TFRecordDataset).enumerate()
  records = records.shard(*shard)
  return records.cache() if cache else records


def shuffled(
  dataset: Dataset,
  shard: tuple[int, int],
  seed: int,
  order: Order,
  cache: bool = False,
) -> tf.data.Dataset:
  """Returns a worker's records in random order, pass after pass, forever.

  Workers divide the files among them if their number divides evenly, each has
  records and classes are not balanced. Otherwise, each reads all records and keeps every n-th.

  Args:
    dataset: the split to read.
    shard: number of workers, and index of this one.
    seed: that of the order, or one that was drawn for it.
    order: what else determines it.
    cache: whether to keep the worker's records in memory after the first pass.

  Returns:
    Pairs of int64 [], the position in the pass before shuffling; string [], the
    record.
  """
  workers, worker = shard
  balance = order.balance
  # The records of a class take turns only in an order that stays.
  is_divided = not balance and _divides(dataset.files, workers)
  own = dataset.files[worker::workers] if is_divided else dataset.files
  buffer = dataset.num_records if cache else shuffle_buffer(dataset)
  first, skipped = 0, 0
  if order.start:
    first, skipped = divmod(order.start, _count(own, shard, is_divided))

  def read(file_seed: tf.Tensor | None = None) -> tf.data.Dataset:
    files = record_files.sources(own)
    if file_seed is not None:
      files = _shuffle(files, len(own), file_seed)
    records = _interleave(files, len(own), order.num_readers, is_divided)
    return records if balance else share(records)

  def share(records: tf.data.Dataset) -> tf.data.Dataset:
    records = records.enumerate()
    return records if is_divided else records.shard(workers, worker)

  # A cache keeps the order of its first pass, but its buffer has all records.
  cached = read().cache() if cache else None

  def one_pass(number: tf.Tensor) -> tf.data.Dataset:
    file_seed, record_seed = tf.unstack(_seeds(seed, number))
    records = cached or read(file_seed if is_divided else None)
    if balance:
      records = share(class_balance.balanced(records, number, balance))
    records = _shuffle(records, buffer, record_seed)
    return records.skip(skipped * tf.cast(tf.equal(number, first), tf.int64))

  return tf.data.Dataset.range(first, tf.int64.max).flat_map(one_pass)


def mean_size(dataset: Dataset) -> int:
  """Returns the mean size of a record in bytes, at least 1."""
  return max(1, size(dataset) // dataset.num_records)


def size(dataset: Dataset) -> int:
  """Returns the total size of the uncompressed files in bytes."""
  return sum(map(record_files.uncompressed_size, dataset.files))


def shuffle_buffer(dataset: Dataset) -> int:
  """Returns the size of the shuffle buffer in records."""
  capacity = max(SHUFFLE_AT_LEAST, SHUFFLE_BYTES // mean_size(dataset))
  return min(dataset.num_records, capacity)


def _interleave(
  files: tf.data.Dataset, count: int, num_readers: int | None, is_divided: bool
) -> tf.data.Dataset:
  """Reads several of `count` files at once, a record of each in turn."""
  cycle_length = min(count, num_readers or CYCLE_LENGTH)
  if cycle_length == 1:
    # A single interleaving thread would only pass records on.
    return files.flat_map(tf.data.TFRecordDataset)
  return files.interleave(
    tf.data.TFRecordDataset,
    cycle_length=cycle_length,
    num_parallel_calls=cycle_length if num_readers else tf.data.AUTOTUNE,
    # Workers that keep every n-th record must agree on the order.
    deterministic=None if is_divided else True,
  )


def _shuffle(
  elements: tf.data.Dataset, buffer: int, seed: tf.Tensor
) -> tf.data.Dataset:
  """Shuffles elements within a buffer, always in the same way."""
  return elements.shuffle(buffer, seed, reshuffle_each_iteration=False)


def _seeds(seed: int, number: tf.Tensor) -> tf.Tensor:
  """Returns int64 [2], the seeds of files and records in a pass."""
  return tf.random.stateless_uniform(
    [2],
    tf.stack([tf.constant(seed, tf.int64), number]),
    maxval=tf.int64.max,
    dtype=tf.int64,
  )


def _divides(files: Sequence[str], workers: int) -> bool:
  """Whether as many files, and some records, are left for each worker."""
  if len(files) % workers or workers == 1:
    return workers == 1
  return all(
    any(map(record_files.uncompressed_size, files[worker::workers]))
    for worker in range(workers)
  )


def _count(
  files: Sequence[str], shard: tuple[int, int], is_divided: bool
) -> int:
  """Returns the number of records that a worker reads in a pass."""
  count = sum(count_records(pathlib.Path(file))[0] for file in files)
  workers, worker = shard
  return count if is_divided else len(range(worker, count, workers))
