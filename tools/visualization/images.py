"""The images to explain: files, or records of the split, as network inputs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from datasets import bad_records, example, photo, record_order
from datasets.dataset import Dataset
from datasets.example_features import UnusableError
from deployment import devices
from engine import console, error_translation, inputs
from engine.config.jobs import VisualizeJob
from engine.config.resolve import Setup
from errors import UserError
from preprocessing.preprocessing_factory import (
  Preprocessing,
  get_preprocessing,
)
from tf_compat import tf, without_autograph
from tools import image_files


@dataclasses.dataclass(frozen=True, eq=False)
class SourceImage:
  """An image to explain.

  Attributes:
    name: name of the file, or number of the record in its split.
    image: the network's input, float [H, W, C].
    label: the record's class; None for a file.
  """

  name: str
  image: np.ndarray
  label: int | None = None


def read_images(setup: Setup[VisualizeJob]) -> Iterator[SourceImage]:
  """Yields the images of --images, or records of the split, preprocessed.

  Raises:
    UserError: if --images names no readable image, or a record is bad.
  """
  if setup.job.images is None:
    return _read_records(setup)
  paths = image_files.find(setup.job.images)
  limit = setup.job.num_images
  if len(paths) > limit:
    console.say(
      f'Showing the first {limit} of {len(paths)} images; --num_images shows '
      'more.'
    )
  return _preprocess_files(setup, _read_files(paths[:limit]))


def read_indices(
  setup: Setup[VisualizeJob], indices: Collection[int]
) -> dict[int, SourceImage]:
  """Reads the records at some positions of the split, preprocessed.

  Args:
    setup: the visualization of a split.
    indices: positions in the order in which evaluation reads.

  Raises:
    UserError: if a record is bad.
  """
  dataset, offset = setup.dataset, setup.job.labels_offset
  if not indices:
    return {}
  with (
    tf.Graph().as_default(),
    tf.Session(config=devices.session_config(cpu_only=True)) as session,
    error_translation.translate_data_errors(dataset, offset),
    contextlib.suppress(tf.errors.OutOfRangeError),
  ):
    found: dict[int, SourceImage] = {}
    iterator = tf.data.make_initializable_iterator(_at(setup, indices))
    values = iterator.get_next()
    session.run(iterator.initializer)
    while len(found) < len(set(indices)):
      index, image, label, filename = session.run(values)
      name = _record_name(dataset, int(index), filename)
      found[int(index)] = SourceImage(name, image, int(label))
  return found


@without_autograph
def _at(
  setup: Setup[VisualizeJob], indices: Collection[int]
) -> tf.data.Dataset:
  """Returns index, image, label and file name of the records at positions."""
  dataset, offset = setup.dataset, setup.job.labels_offset
  if setup.job.skip_bad_records:
    dataset = bad_records.mend(dataset)
  preprocess = _preprocessing(setup)
  side = setup.image_size

  def convert(index, data):
    features = example.parse(data, dataset.num_classes, offset)
    image = preprocess.from_encoded(
      features['image/encoded'], side, side, _decoded_channels(setup)
    )
    label = features['image/class/label'] - offset
    return index, image, label, example.filename(data)

  wanted = tf.constant(sorted(set(indices)), tf.int64)
  records = record_order.in_order(dataset, (1, 0))
  records = records.filter(
    lambda index, _: tf.reduce_any(tf.equal(index, wanted))
  )
  return records.map(convert)


def _record_name(dataset: Dataset, index: int, filename: bytes) -> str:
  """Returns the name of a record's file, or its place in the split."""
  name = filename.decode('utf-8', 'replace') or f'{dataset.split} {index}'
  return os.path.basename(name)


def _preprocessing(setup: Setup[VisualizeJob]) -> Preprocessing:
  """Returns the preprocessing of an evaluation."""
  return get_preprocessing(
    setup.job.preprocessing,
    use_grayscale=setup.job.use_grayscale,
    fast=setup.job.fast_preprocessing,
  )


def _read_files(paths: Sequence[pathlib.Path]) -> list[tuple[str, bytes]]:
  """Reads image files as conversion does: upright, in RGB or gray.

  Returns:
    File name and encoded image of each readable file.
  """
  encoded_images = []
  for path in paths:
    try:
      picture = photo.check_bytes(path.read_bytes(), path.name)
      encoded_images.append((path.name, picture.data))
    except (UnusableError, OSError) as error:
      console.say(f'Skipped: {path} cannot be read as an image: {error}.')
  if not encoded_images:
    raise UserError('None of --images can be read as an image.')
  return encoded_images


def _preprocess_files(
  setup: Setup[VisualizeJob], encoded_images: Sequence[tuple[str, bytes]]
) -> Iterator[SourceImage]:
  """Decodes and preprocesses encoded images, each with its name."""
  with (
    tf.Graph().as_default(),
    tf.Session(config=devices.session_config(cpu_only=True)) as session,
  ):
    encoded = tf.placeholder(tf.string, [])
    preprocess = _preprocessing(setup)
    side = setup.image_size
    image = preprocess.from_encoded(
      encoded, side, side, _decoded_channels(setup)
    )
    for name, data in encoded_images:
      yield SourceImage(name, session.run(image, {encoded: data}))


def _decoded_channels(setup: Setup[VisualizeJob]) -> int:
  """Returns the channels to decode: preprocessing makes color images gray."""
  return setup.dataset.channels if setup.job.use_grayscale else setup.channels


def _read_records(setup: Setup[VisualizeJob]) -> Iterator[SourceImage]:
  """Reads the first records of the split."""
  dataset = setup.dataset
  with (
    tf.Graph().as_default(),
    tf.Session(config=devices.session_config(cpu_only=True)) as session,
    error_translation.translate_data_errors(dataset, setup.job.labels_offset),
  ):
    batches = inputs.batches(setup, is_training=False)
    batch = batches.get_next()
    session.run(inputs.initializer(batches))
    values = session.run(batch)
  for image, label, index, filename in zip(
    *(values[name] for name in ('image', 'label', 'index', 'filename')),
    strict=True,
  ):
    name = _record_name(dataset, int(index), filename)
    yield SourceImage(name, image, int(label))
