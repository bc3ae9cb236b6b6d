"""The images to explain: files, or records of the split, as network inputs."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from datasets import photo
from datasets.example_features import UnusableError
from deployment import devices
from engine import console, error_translation, inputs
from engine.config.jobs import VisualizeJob
from engine.config.resolve import Setup
from errors import UserError
from preprocessing.preprocessing_factory import get_preprocessing
from tf_compat import tf
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
    preprocess = get_preprocessing(
      setup.job.preprocessing,
      use_grayscale=setup.job.use_grayscale,
      fast=setup.job.fast_preprocessing,
    )
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
    name = filename.decode('utf-8', 'replace') or f'{dataset.split} {index}'
    yield SourceImage(os.path.basename(name), image, int(label))
