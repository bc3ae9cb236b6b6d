"""The reader: record files of a split to batches of a network's input.

Training repeats forever. Each pass reads the files in another order, several
at once, passes the records through a bounded shuffle buffer, and contains
every record once, or each class as often (class_balance). Evaluation reads the
records once, in order. Training batches are full; the last batch of evaluation
may be smaller.

Randomness: with a seed, order and distortions are reproducible with any number
of threads, because the order depends only on the seed (record_order), and a
record's distortions only on the seed and its position in the stream
(preprocessing/random_ops). So the stream can start anywhere. Without a seed,
one is drawn.

Small records are parsed and preprocessed in groups, because a call costs as
much as processing an image. A cache stores the encoded images: a preprocessing that
crops while decoding gains more from that than from cached pixels, which take
five to ten times as much memory.

Bad records stop a run with a TensorFlow error; bad_records.find_bad_record
reports the record. With skip_bad_records they are skipped instead:
- All files are read once before the first batch to find damaged ones, whose
  remaining records are read from temporary copies (bad_records.mend).
- A record that does not parse, does not decode or has a label outside the
  classes is skipped every time it is read, and `skipped_count` counts it.
- The run stops after as many bad records in a row as two passes contain.
Each damaged record counts as one; so does each record lost after a damaged
length, as far as `num_records` reveals their number.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable
from typing import Protocol

from datasets import example, record_order
from datasets.bad_records import check_ends, mend
from datasets.dataset import Dataset
from datasets.record_order import Order
from errors import UserError
from tf_compat import tf, without_autograph

# Total size of the records that are preprocessed in one call.
GROUP_BYTES = 128 << 10
# Largest fraction of the machine's memory for a cache.
CACHE_PART = 0.5

_COUNTER = 'skipped_bad_records'

# By this text, engine/error_translation.py recognizes the error.
NONE_USABLE = 'no record can be used'

_ANY_ORDER = Order()


class Preprocess(Protocol):
  """Preprocessing: turns encoded images into a network's input."""

  def from_encoded(
    self,
    encoded: tf.Tensor,
    height: int,
    width: int,
    channels: int,
    *,
    seed: tf.Tensor | None = None,
  ) -> tf.Tensor:
    """Converts a string [] or [N] to float32 [(N,) height, width, channels]."""


@without_autograph
def read(
  dataset: Dataset,
  preprocess: Preprocess,
  image_size: int | tuple[int, int],
  batch_size: int,
  is_training: bool,
  *,
  channels: int | None = None,
  labels_offset: int = 0,
  threads: int | None = None,
  skip_bad_records: bool = False,
  cache: bool = False,
  shard: tuple[int, int] = (1, 0),
  order: Order = _ANY_ORDER,
) -> tf.data.Dataset:
  """Returns batches of a split.

  Args:
    dataset: the split to read.
    preprocess: turns encoded images into the network's input.
    image_size: height and width in pixels; an int sets both.
    batch_size: records per batch.
    is_training: whether to shuffle and repeat forever.
    channels: channels of decoded images, 1 or 3; the data set's own if None.
    labels_offset: number subtracted from labels.
    threads: images processed at once; tuned if None.
    skip_bad_records: whether to skip bad records instead of failing.
    cache: whether to keep the worker's records in memory after the first pass.
    shard: number of workers, and index of this one; each reads other records.
    order: that of training records; its seed is that of augmentation, too.

  Returns:
    Dicts of `image` float32 [N, height, width, channels]; `label` int64 [N];
    `index` int64 [N], place in the split; `filename` string [N] in evaluation.

  Raises:
    UserError: for too few records, too many to cache, or a truncated one.
  """
  dataset = _usable(dataset, shard, cache, skip_bad_records)
  options = _options(is_training and order.seed is None, skip_bad_records)
  seed = random.randrange(1 << 31) if order.seed is None else order.seed
  if is_training:
    records = record_order.shuffled(dataset, shard, seed, order, cache)
  else:
    records = record_order.in_order(dataset, shard, cache=cache)
  turns = records.enumerate(order.start)  # Pairs of position and record.
  make = functools.partial(
    _make,
    preprocess=preprocess,
    shape=(*_pair(image_size), channels or dataset.channels),
    num_classes=dataset.num_classes,
    labels_offset=labels_offset,
    seed=seed + shard[1],
    with_filename=not is_training,
  )
  if skip_bad_records:
    examples = _map_good(turns, make, threads, dataset.num_records)
  else:
    examples = _map(turns, make, threads, _group(dataset, batch_size))
  return _batch(examples, batch_size, is_training).with_options(options)


def skipped_count() -> tf.Tensor:
  """Returns the number of bad records that this graph's readers skipped.

  It is an int64 local variable: initialize it before the reader's iterator.
  Readers prefetch, so it counts records ahead of the batches around them.
  """
  return _counter().read_value()


def _usable(
  dataset: Dataset, shard: tuple[int, int], cache: bool, skip_bad_records: bool
) -> Dataset:
  """Checks that the split can be read with these options, or mends it."""
  if not dataset.files:
    raise UserError(
      f'Data set {dataset.name!r} has no files of split {dataset.split!r}.'
    )
  if dataset.num_records < shard[0]:
    raise UserError(
      f'{dataset.num_records} records of {dataset.name}/{dataset.split} are '
      f'too few for {shard[0]} workers; each needs at least one.'
    )
  if cache:
    _check_cache(dataset)
  if skip_bad_records:
    return mend(dataset)
  check_ends(dataset)
  return dataset


def _check_cache(dataset: Dataset) -> None:
  """Raises UserError if the records would fill the machine's memory."""
  size = record_order.size(dataset)
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  if size > CACHE_PART * memory:
    raise UserError(
      f'--cache: the {size / 1e9:.1f} GB of {dataset.name}/{dataset.split} are '
      f'more than half of the {memory / 1e9:.1f} GB of memory: omit --cache.'
    )


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
  """Returns (height, width)."""
  return (size, size) if isinstance(size, int) else (size[0], size[1])


def _options(is_random: bool, skip_bad_records: bool) -> tf.data.Options:
  """Returns tf.data options, which also turn off a strategy's sharding."""
  options = tf.data.Options()
  options.deterministic = not is_random
  # Reading starts with the iterator's initializer, not at the first step, which
  # TensorFlow takes seconds to prepare. The count of bad records is a variable,
  # which may not be initialized by then.
  options.experimental_warm_start = not skip_bad_records
  options.experimental_distribute.auto_shard_policy = (
    tf.data.experimental.AutoShardPolicy.OFF
  )
  return options


def _group(dataset: Dataset, batch_size: int) -> int:
  """Returns the number of records per call: several if they are small."""
  return max(1, min(GROUP_BYTES // record_order.mean_size(dataset), batch_size))


def _map(
  turns: tf.data.Dataset, make: Callable, threads: int | None, group: int
) -> tf.data.Dataset:
  """Applies `make` to each record, or to groups of `group` records."""
  turns = turns if group == 1 else turns.batch(group)
  return turns.map(make, num_parallel_calls=threads or tf.data.AUTOTUNE)


def _batch(
  examples: tf.data.Dataset, size: int, drop_remainder: bool
) -> tf.data.Dataset:
  """Returns batches of single examples, or of groups, made in advance."""
  single = examples.element_spec['label'].shape.rank == 0
  batch = examples.batch if single else examples.rebatch
  batches = batch(size, drop_remainder=drop_remainder)
  return batches.prefetch(tf.data.AUTOTUNE)


def _make(
  turn: tf.Tensor,
  record: tuple[tf.Tensor, tf.Tensor],
  *,
  preprocess: Preprocess,
  shape: tuple[int, int, int],
  num_classes: int,
  labels_offset: int,
  seed: int,
  with_filename: bool,
) -> dict[str, tf.Tensor]:
  """Converts a record, or a group; `turn` is its position in the stream."""
  index, data = record
  features = example.parse(data, num_classes, labels_offset)
  # The preprocessing derives the seeds of a group from that of its first record.
  first = turn if turn.shape.rank == 0 else turn[0]
  images = preprocess.from_encoded(
    features['image/encoded'],
    *shape,
    seed=tf.stack([tf.constant(seed, tf.int64), first]),
  )
  batch = {
    'image': images,
    'label': features['image/class/label'] - labels_offset,
    'index': index,
  }
  if with_filename:
    batch['filename'] = example.filename(data)
  return batch


def _map_good(
  turns: tf.data.Dataset, make: Callable, threads: int | None, num_records: int
) -> tf.data.Dataset:
  """Applies `make` to each record; skips and counts bad ones."""
  # One pass may end and the next begin with bad records.
  limit = 2 * num_records
  one = turns.take(1).map(make)
  blank = tf.data.Dataset.from_tensors((False, _zeros(one.element_spec)))

  def attempt(*turn):
    # Ignores errors of this record only: ignore_errors() on the stream would
    # also ignore errors of reading the files.
    good = tf.data.Dataset.from_tensors(turn).map(make).ignore_errors()
    good = good.map(lambda example: (True, example))
    return good.concatenate(blank).take(1)

  attempts = turns.interleave(
    attempt,
    cycle_length=threads or record_order.CYCLE_LENGTH,
    num_parallel_calls=threads or tf.data.AUTOTUNE,
  )
  count = functools.partial(_count_bad, _counter(), limit)
  examples = attempts.scan(tf.constant(0, tf.int64), count)
  return examples.filter(lambda good, _: good).map(lambda _, example: example)


def _count_bad(
  counter: tf.Variable,
  limit: int,
  bad_in_a_row: tf.Tensor,
  attempt: tuple[tf.Tensor, dict],
) -> tuple[tf.Tensor, tuple[tf.Tensor, dict]]:
  """Counts an attempt if it failed; fails after more than `limit` in a row."""
  good, example = attempt
  bad_in_a_row = tf.where(good, tf.zeros_like(bad_in_a_row), bad_in_a_row + 1)
  message = f'{NONE_USABLE}: {limit} bad records in a row'
  check = tf.debugging.Assert(bad_in_a_row <= limit, [message])
  update = counter.assign_add(tf.cast(tf.logical_not(good), tf.int64))
  with tf.control_dependencies([check, update]):
    return tf.identity(bad_in_a_row), (tf.identity(good), example)


def _zeros(spec: dict[str, tf.TensorSpec]) -> dict[str, tf.Tensor]:
  """Returns zeros and empty strings of that structure."""
  zero_of = {tf.string: ''}
  return {
    key: tf.fill(t.shape, tf.constant(zero_of.get(t.dtype, 0), t.dtype))
    for key, t in spec.items()
  }


def _counter() -> tf.Variable:
  """Returns the graph's counter of bad records; creates it once."""
  counters = tf.get_collection(_COUNTER)
  if not counters:
    tf.Variable(
      tf.zeros([], tf.int64),
      trainable=False,
      collections=[tf.GraphKeys.LOCAL_VARIABLES, _COUNTER],
      name=_COUNTER,
      use_resource=True,
    )
    counters = tf.get_collection(_COUNTER)
  return counters[0]
