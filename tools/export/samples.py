"""Records in the forms that an exported model takes, and the evaluation's."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np

from datasets import bad_records, example, record_order
from datasets.dataset import Dataset
from deployment import devices
from engine import error_translation
from engine.config.jobs import ExportJob
from engine.config.resolve import Setup
from preprocessing.spec import Steps
from tf_compat import tf, without_autograph
from tools.export import network

_BATCH = 16


@dataclasses.dataclass(frozen=True)
class Batch:
  """Several records.

  Attributes:
    labels: int64 [N], of the network.
    encoded: the bytes of each image.
    pixels: float32 [N, H, W, C] in [0, 255], cropped and resized.
    images: float32 [N, H, W, C], preprocessed as for evaluation.
  """

  labels: np.ndarray
  encoded: list[bytes]
  pixels: np.ndarray
  images: np.ndarray


def read(
  setup: Setup[ExportJob], dataset: Dataset, count: int, shuffle: bool = False
) -> Iterator[Batch]:
  """Yields the first records of a split.

  Args:
    setup: the export.
    dataset: the split.
    count: the largest number of records.
    shuffle: whether to take them in a random order, always the same.

  Raises:
    UserError: if a record is bad.
  """
  offset = setup.job.labels_offset
  if setup.job.skip_bad_records:
    dataset = bad_records.mend(dataset)
  with (
    tf.Graph().as_default(),
    tf.Session(config=devices.session_config(cpu_only=True)) as session,
    error_translation.translate_data_errors(dataset, offset),
    contextlib.suppress(tf.errors.OutOfRangeError),
  ):
    records = _records(setup, dataset, shuffle).take(count).batch(_BATCH)
    iterator = tf.data.make_initializable_iterator(records)
    values = iterator.get_next()
    session.run(iterator.initializer)
    while True:
      labels, encoded, pixels, images = session.run(values)
      yield Batch(labels, list(encoded), pixels, images)


@without_autograph
def _records(
  setup: Setup[ExportJob], dataset: Dataset, shuffle: bool
) -> tf.data.Dataset:
  """Returns label, encoded image, pixels and preprocessed image of records."""
  preprocess = network.preprocessing(setup)
  offset, side = setup.job.labels_offset, setup.image_size

  def convert(_, data):
    features = example.parse(data, dataset.num_classes, offset)
    encoded = features['image/encoded']
    pixels, images = (
      form.from_encoded(encoded, side, side, setup.channels)
      for form in (only_fit(preprocess), preprocess)
    )
    return features['image/class/label'] - offset, encoded, pixels, images

  if shuffle:
    records = record_order.shuffled(dataset, (1, 0), 0, record_order.Order())
    records = records.take(dataset.num_records)
  else:
    records = record_order.in_order(dataset, (1, 0))
  records = records.map(convert, num_parallel_calls=tf.data.AUTOTUNE)
  return records.ignore_errors() if setup.job.skip_bad_records else records


def only_fit(preprocess: network.Preprocessing) -> network.Preprocessing:
  """Returns a preprocessing's first part: crop and size, not the colors."""
  fit = preprocess.steps.fit
  return dataclasses.replace(
    preprocess, steps=Steps(fit, lambda images: images)
  )
