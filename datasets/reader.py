"""The one reader: record files of a split to batches of a network's input.

Training reads for ever: files in another order at each pass, several at once,
then records through a bounded shuffle buffer; every pass holds every record
once. Evaluation reads in order and once. Batches are full in training, and the
last one is smaller in evaluation.

Chance: with a seed, the order and every distortion are the same again, with
any number of threads, because a record's distortions follow from the seed and
its turn (preprocessing/random_ops). Without, the seed is drawn.

Small records are parsed and preprocessed several at a time, for then a call
costs as much as an image. A cache holds what the files hold, the encoded
images: a recipe that crops while decoding gains more by that than it would by
keeping pixels, which are five to ten times as large.

Bad records stop a run with a TensorFlow error; bad_records.find_bad_record
tells which one it was. With skip_bad_records they are left out instead:
- Damaged files are found by reading all of them once before the first batch,
  and what is left of them is read from temporary copies (bad_records.mend).
- What then does not parse, decode or fit the classes is left out by itself,
  each time it is met, and `skipped_count` counts it.
- When no record has been of use for as long as two passes, the run stops.
A record that is damaged counts as one; so does each that is lost behind a
damaged length, as far as `num_records` tells that there were any.
"""

import functools
import os
import random
from collections.abc import Callable
from typing import Any

from datasets import example
from datasets.bad_records import check_ends, mend
from datasets.dataset import Dataset
from errors import UserError
from tf_compat import tf

# Files read at once, and bytes of records to choose among, in training.
CYCLE_LENGTH = 16
SHUFFLE_BYTES = 256 << 20
SHUFFLE_AT_LEAST = 256

# Records preprocessed in one call have this many bytes together.
GROUP_BYTES = 128 << 10
# The part of the machine's memory that a cache may take.
CACHE_PART = 0.5

_COUNTER = 'skipped_bad_records'


def read(
  dataset: Dataset,
  preprocess: Any,
  image_size: int | tuple[int, int],
  batch_size: int,
  is_training: bool,
  *,
  channels: int | None = None,
  labels_offset: int = 0,
  num_readers: int | None = None,
  num_preprocessing_threads: int | None = None,
  seed: int | None = None,
  skip_bad_records: bool = False,
  cache: bool = False,
  shard: tuple[int, int] = (1, 0),
) -> tf.data.Dataset:
  """Reads the split `dataset`.

  Args:
    dataset: its files.
    preprocess: has from_encoded(encoded, …, seed=seed), of [] or [N] images.
    image_size: the images' side in pixels, or height and width.
    batch_size: records a batch.
    is_training: whether to shuffle and repeat for ever.
    channels: to decode to, 1 or 3; the data set's own if None.
    labels_offset: subtracted from labels.
    num_readers: files read at once in training; up to 16 if None.
    num_preprocessing_threads: images at once; tf.data's choice if None.
    seed: of shuffling and distortions; drawn if None.
    skip_bad_records: leave out bad records instead of failing.
    cache: keep this worker's records in memory after the first pass.
    shard: (workers, this one's number); each record is one worker's only.

  Returns:
    Dicts of `image` float32 [N, height, width, channels]; `label`, `index` (the
    record's place, in evaluation), int64 [N]; `filename` string [N] or empty.

  Raises:
    UserError: for too few records, too many to cache, or one that is cut short.
  """
  _check(dataset, shard, cache, skip_bad_records)
  options = _options(not is_training or seed is not None)
  seed = random.randrange(1 << 31) if seed is None else seed
  dataset = mend(dataset) if skip_bad_records else dataset
  records = _records(dataset, is_training, num_readers, seed, shard, cache)
  make = functools.partial(
    _make,
    preprocess=preprocess,
    shape=(*_pair(image_size), channels or dataset.channels),
    num_classes=dataset.num_classes,
    labels_offset=labels_offset,
    seed=seed + shard[1],
  )
  turns, threads = records.enumerate(), num_preprocessing_threads
  if skip_bad_records:
    examples = _map_good(turns, make, threads, dataset.num_records)
  else:
    examples = _map(turns, make, threads, _group(dataset, batch_size))
  batches = _batch(examples, batch_size, drop_remainder=is_training)
  return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def skipped_count() -> tf.Tensor:
  """How many bad records this graph's readers have left out, int64.

  A local variable: initialise it before the reader's iterator runs. Readers
  work ahead, so it counts some records before the batches around them come.
  """
  return _counter().read_value()


def _check(
  dataset: Dataset, shard: tuple[int, int], cache: bool, skip_bad_records: bool
) -> None:
  """Raises UserError if a worker has nothing to read, or more than it can."""
  if not dataset.files:
    raise UserError(
      f'Data set {dataset.name!r} has no files of split {dataset.split!r}.'
    )
  if dataset.num_records < shard[0]:
    raise UserError(
      f'{dataset.num_records} records of {dataset.name}/{dataset.split} are '
      f'too few for {shard[0]} workers; each needs one at least.'
    )
  if cache:
    _check_cache(dataset)
  if not skip_bad_records:
    check_ends(dataset)


def _check_cache(dataset: Dataset) -> None:
  """Raises UserError if the records would fill the machine's memory."""
  size = _size(dataset)
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  if size > CACHE_PART * memory:
    raise UserError(
      f'--cache: the {size / 1e9:.1f} GB of {dataset.name}/{dataset.split} are '
      f'more than half of the {memory / 1e9:.1f} GB of memory: leave it out.'
    )


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
  """(height, width) of either."""
  return (size, size) if isinstance(size, int) else (size[0], size[1])


def _options(deterministic: bool) -> tf.data.Options:
  """Order kept or not; and no sharding by a strategy on top of our own."""
  options = tf.data.Options()
  options.deterministic = deterministic
  options.experimental_distribute.auto_shard_policy = (
    tf.data.experimental.AutoShardPolicy.OFF
  )
  return options


def _records(
  dataset: Dataset,
  is_training: bool,
  num_readers: int | None,
  seed: int,
  shard: tuple[int, int],
  cache: bool,
) -> tf.data.Dataset:
  """This worker's records in the order of use: (index, serialized example).

  Workers take whole files where these divide evenly, in training; else every
  worker reads everything, in one same order, and keeps its every n-th record.
  """
  workers, worker = shard
  if not is_training:
    records = tf.data.TFRecordDataset(list(dataset.files)).enumerate()
    records = records.shard(workers, worker)
    return records.cache() if cache else records
  by_file = len(dataset.files) % workers == 0
  own = dataset.files[worker::workers] if by_file else dataset.files
  files = tf.data.Dataset.from_tensor_slices(list(own))
  if by_file:
    files = files.shuffle(len(own), seed)
  cycle_length = min(len(own), num_readers or CYCLE_LENGTH)
  if cycle_length == 1:
    # A thread with no other beside it would only pass records on.
    records = files.flat_map(tf.data.TFRecordDataset)
  else:
    records = files.interleave(
      tf.data.TFRecordDataset,
      cycle_length=cycle_length,
      num_parallel_calls=cycle_length if num_readers else tf.data.AUTOTUNE,
      # Workers that keep every n-th record must agree on which that is.
      deterministic=None if by_file else True,
    )
  records = records.enumerate()
  if not by_file:
    records = records.shard(workers, worker)
  if cache:
    # Shuffled among all, for all are there: the order of files stays as it is.
    return records.cache().shuffle(dataset.num_records, seed).repeat()
  return records.shuffle(_shuffle_buffer(dataset), seed).repeat()


def _shuffle_buffer(dataset: Dataset) -> int:
  """How many records to shuffle among: all, if they fit SHUFFLE_BYTES."""
  fitting = max(SHUFFLE_AT_LEAST, SHUFFLE_BYTES // _mean_size(dataset))
  return min(dataset.num_records, fitting)


def _group(dataset: Dataset, batch_size: int) -> int:
  """How many records to preprocess in one call: several if they are small."""
  return max(1, min(GROUP_BYTES // _mean_size(dataset), batch_size))


def _mean_size(dataset: Dataset) -> int:
  """A record's bytes."""
  return max(1, _size(dataset) // dataset.num_records)


def _size(dataset: Dataset) -> int:
  """The bytes of all files."""
  return sum(tf.io.gfile.stat(file).length for file in dataset.files)


def _map(
  turns: tf.data.Dataset, make: Callable, threads: int | None, group: int
) -> tf.data.Dataset:
  """make(record) of each; of `group` of them together, where it is several."""
  # A call costs as much as decoding a small image.
  turns = turns if group == 1 else turns.batch(group)
  return turns.map(make, num_parallel_calls=threads or tf.data.AUTOTUNE)


def _batch(
  examples: tf.data.Dataset, size: int, drop_remainder: bool
) -> tf.data.Dataset:
  """Batches of single examples, or of what groups of them hold."""
  single = examples.element_spec['label'].shape.rank == 0
  batch = examples.batch if single else examples.rebatch
  return batch(size, drop_remainder=drop_remainder)


def _make(
  turn: tf.Tensor,
  record: tuple[tf.Tensor, tf.Tensor],
  *,
  preprocess: Any,
  shape: tuple[int, int, int],
  num_classes: int,
  labels_offset: int,
  seed: int,
) -> dict[str, tf.Tensor]:
  """Of one record an element of what `read` gives; of [N], as many."""
  index, data = record
  features = example.parse(data, num_classes, labels_offset)
  # Those of a group follow from its first one's.
  first = turn if turn.shape.rank == 0 else turn[0]
  images = preprocess.from_encoded(
    features['image/encoded'],
    *shape,
    seed=tf.stack([tf.constant(seed, tf.int64), first]),
  )
  return {
    'image': images,
    'label': features['image/class/label'] - labels_offset,
    'index': index,
    'filename': features['image/filename'],
  }


def _map_good(
  turns: tf.data.Dataset, make: Callable, threads: int | None, num_records: int
) -> tf.data.Dataset:
  """make(record) of the good ones; the others are counted."""
  # Bad records may end one pass and start the next, with good ones beyond.
  limit = 2 * num_records
  one = turns.take(1).map(make)
  blank = tf.data.Dataset.from_tensors((False, _zeros(one.element_spec)))

  def attempt(*turn):
    # Errors are caught for this one record: for the stream as a whole, those
    # of reading would be swallowed as well.
    good = tf.data.Dataset.from_tensors(turn).map(make).ignore_errors()
    good = good.map(lambda example: (True, example))
    return good.concatenate(blank).take(1)

  attempts = turns.interleave(
    attempt,
    cycle_length=threads or CYCLE_LENGTH,
    num_parallel_calls=threads or tf.data.AUTOTUNE,
  )
  count = functools.partial(_count_bad, _counter(), limit)
  counted = attempts.scan(tf.constant(0, tf.int64), count)
  return counted.filter(lambda good, _: good).map(lambda _, example: example)


def _count_bad(
  counter: tf.Variable,
  limit: int,
  in_a_row: tf.Tensor,
  attempt: tuple[tf.Tensor, dict],
) -> tuple[tf.Tensor, tuple[tf.Tensor, dict]]:
  """Counts one attempt if it failed; stops after too many without success."""
  good, example = attempt
  in_a_row = tf.where(good, tf.zeros_like(in_a_row), in_a_row + 1)
  message = f'none of {limit} records in a row can be used'
  hopeful = tf.debugging.Assert(in_a_row <= limit, [message])
  counted = counter.assign_add(tf.cast(tf.logical_not(good), tf.int64))
  with tf.control_dependencies([hopeful, counted]):
    return tf.identity(in_a_row), (tf.identity(good), example)


def _zeros(spec: dict[str, tf.TensorSpec]) -> dict[str, tf.Tensor]:
  """A value of that structure."""
  empty = {tf.string: ''}
  return {
    key: tf.fill(part.shape, tf.constant(empty.get(part.dtype, 0), part.dtype))
    for key, part in spec.items()
  }


def _counter() -> tf.Variable:
  """The graph's counter of records left out, made at the first call."""
  found = tf.get_collection(_COUNTER)
  if not found:
    tf.Variable(
      tf.zeros([], tf.int64),
      trainable=False,
      collections=[tf.GraphKeys.LOCAL_VARIABLES, _COUNTER],
      name=_COUNTER,
      use_resource=True,
    )
    found = tf.get_collection(_COUNTER)
  return found[0]
