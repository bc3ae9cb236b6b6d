"""The input of training and evaluation: batches of a split as tensors."""

from __future__ import annotations

import dataclasses
import functools
import random

from datasets import reader
from datasets.class_balance import Balance
from datasets.record_order import Order
from engine.config.resolve import Setup
from preprocessing import augmentation, preprocessing_factory
from tf_compat import tf, without_autograph


@without_autograph
def batches(
  setup: Setup,
  is_training: bool,
  seed: int | None = None,
  clones: int = 1,
  start: int = 0,
) -> tf.data.Iterator:
  """Builds an iterator over the batches of a job's split, on the CPU.

  Args:
    setup: the resolved job.
    is_training: whether to shuffle, augment and repeat.
    seed: the seed of order and augmentation; None for a random one.
    clones: number of clones that share a batch, batch_size images for each.
    start: number of batches to skip, as if they had been read.
  """
  job = setup.job
  preprocess = preprocessing_factory.get_preprocessing(
    job.preprocessing_name,
    is_training,
    job.use_grayscale,
    job.fast_preprocessing,
    augment=job.augment if is_training else None,
  )
  batch_size = job.batch_size * clones
  order = Order(seed=seed, start=start * batch_size)
  if is_training:
    balance = _balance(setup)
    order = dataclasses.replace(
      order, num_readers=job.num_readers, balance=balance
    )
  with tf.device('/cpu:0'):
    dataset = reader.read(
      setup.dataset,
      preprocess,
      setup.image_size,
      batch_size,
      is_training,
      channels=setup.channels,
      labels_offset=job.labels_offset,
      threads=job.num_preprocessing_threads,
      skip_bad_records=job.skip_bad_records,
      cache=job.cache,
      shard=setup.shard,
      order=order,
    )
    if preprocess.augmentations.at(augmentation.BATCH):
      mix = functools.partial(
        _mix, preprocess.augmentations, setup.num_classes, _seed(seed)
      )
      dataset = dataset.enumerate(start).map(mix).prefetch(tf.data.AUTOTUNE)
    return tf.data.make_initializable_iterator(dataset)


def _balance(setup: Setup) -> Balance | None:
  """Returns the numbers of records by class with --balanced_sampling."""
  if not setup.job.balanced_sampling:
    return None
  return Balance(setup.class_counts, setup.job.labels_offset)


def targets(batch: dict[str, tf.Tensor], num_classes: int) -> tf.Tensor:
  """Returns the class probabilities to train for, float32 [N, classes]."""
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
  """Mixes the images of a batch; adds their mixed labels as `target`."""
  images, target = augmentations.mix(
    batch['image'],
    targets(batch, num_classes),
    tf.stack([tf.constant(seed, tf.int64), turn]),
  )
  return {**batch, 'image': images, 'target': target}


def _seed(seed: int | None) -> int:
  """Returns the seed, or a random one for None."""
  return random.randrange(1 << 31) if seed is None else seed


def skipped_count(setup: Setup) -> tf.Tensor | None:
  """Returns the number of records skipped so far; None if none may be."""
  return reader.skipped_count() if setup.job.skip_bad_records else None


def initializer(iterator: tf.data.Iterator) -> tf.Operation:
  """Starts the input; with --skip_bad_records, the first batch starts it."""
  return tf.group(
    tf.local_variables_initializer(),
    tf.tables_initializer(),
    iterator.initializer,
  )
