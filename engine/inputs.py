"""A split's batches as tensors: what training and evaluation both start from."""

import functools
import random

from datasets import reader
from engine.resolve import Setup
from preprocessing import augmentation, preprocessing_factory
from tf_compat import tf


def batches(
  setup: Setup, is_training: bool, seed: int | None = None, clones: int = 1
) -> tf.data.Iterator:
  """An iterator over the batches of a job's split, on the CPU.

  Args:
    setup: the resolved job.
    is_training: whether to shuffle, distort and repeat for ever.
    seed: of order and distortions.
    clones: how many share a batch, which is of batch_size for each.
  """
  job = setup.job
  preprocess = preprocessing_factory.get_preprocessing(
    job.preprocessing_name,
    is_training,
    job.use_grayscale,
    job.fast_preprocessing,
    augment=job.augment if is_training else None,
  )
  with tf.device('/cpu:0'):
    dataset = reader.read(
      setup.dataset,
      preprocess,
      setup.image_size,
      job.batch_size * clones,
      is_training,
      channels=setup.channels,
      labels_offset=job.labels_offset,
      num_readers=job.num_readers if is_training else None,
      num_preprocessing_threads=job.num_preprocessing_threads,
      seed=seed,
      skip_bad_records=job.skip_bad_records,
      cache=job.cache,
      shard=setup.shard,
    )
    if preprocess.augmentations.at(augmentation.BATCH):
      mix = functools.partial(
        _mix, preprocess.augmentations, setup.num_classes, _seed(seed)
      )
      dataset = dataset.enumerate().map(mix).prefetch(tf.data.AUTOTUNE)
    return tf.data.make_initializable_iterator(dataset)


def targets(batch: dict[str, tf.Tensor], num_classes: int) -> tf.Tensor:
  """The shares of the classes in each image of a batch, float32 [N, classes]."""
  if 'target' in batch:
    return batch['target']
  return tf.one_hot(batch['label'], num_classes)


def _mix(
  augmentations: augmentation.Augmentations,
  num_classes: int,
  seed: int,
  turn: tf.Tensor,
  batch: dict[str, tf.Tensor],
) -> dict[str, tf.Tensor]:
  """The batch with its images mixed, and what they are then, as `target`."""
  images, target = augmentations.mix(
    batch['image'],
    targets(batch, num_classes),
    tf.stack([tf.constant(seed, tf.int64), turn]),
  )
  return {**batch, 'image': images, 'target': target}


def _seed(seed: int | None) -> int:
  """The seed, or one that is drawn."""
  return random.randrange(1 << 31) if seed is None else seed


def skipped_count(setup: Setup) -> tf.Tensor | None:
  """How many bad records were left out so far; None where none may be."""
  return reader.skipped_count() if setup.job.skip_bad_records else None


def initializer(iterator: tf.data.Iterator) -> tf.Operation:
  """Starts the input: the count of bad records first, for reading adds to it."""
  local = tf.group(tf.local_variables_initializer(), tf.tables_initializer())
  with tf.control_dependencies([local]):
    return tf.group(iterator.initializer)
