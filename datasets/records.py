"""TFRecord files: the keys of an image's record, writing and counting them."""

import io
import os
import pathlib
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from tf_compat import tf

# A record is its length (8 bytes), the length's checksum (4), the data, and
# the data's checksum (4).
_HEADER, _FOOTER = 12, 4


def encode_example(
  image: bytes,
  image_format: str,
  label: int,
  height: int,
  width: int,
  **more: int | str,
) -> bytes:
  """Serializes one image under TF-Slim's keys; the same input, the same bytes.

  Args:
    image: the encoded image.
    image_format: 'png' or 'JPEG', as TF-Slim's converters name them.
    label: the class, from 0.
    height: in pixels.
    width: in pixels.
    **more: further keys under image/, with two underscores for a slash.
  """
  values = {
    'encoded': image,
    'format': image_format,
    'class/label': label,
    'height': height,
    'width': width,
  }
  values.update({key.replace('__', '/'): more[key] for key in more})
  features = {f'image/{key}': _feature(values[key]) for key in values}
  example = tf.train.Example(features=tf.train.Features(feature=features))
  # A protobuf map has no order of its own.
  return example.SerializeToString(deterministic=True)


def _feature(value: int | str | bytes) -> Any:
  """One value as a tf.train.Feature: a number as int64, a text as bytes."""
  if isinstance(value, int | np.integer):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))
  if isinstance(value, str):
    value = value.encode()
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def encode_pixels(item: tuple[np.ndarray, int]) -> bytes:
  """The record of (pixels, label): pixels [H, W] or [H, W, 3], as a PNG."""
  pixels, label = item
  png = io.BytesIO()
  Image.fromarray(pixels).save(png, 'PNG')
  height, width = pixels.shape[:2]
  return encode_example(png.getvalue(), 'png', label, height, width)


def write_shard(
  path: pathlib.Path, items: Iterable[Any], encode: Callable[[Any], bytes]
) -> int:
  """Writes a record file, which appears whole or not at all; returns its count.

  A killed writer leaves only a hidden file, which the next one replaces.
  """
  partial = path.with_name(f'.{path.name}.partial')
  count = 0
  try:
    with tf.io.TFRecordWriter(str(partial)) as writer:
      for item in items:
        writer.write(encode(item))
        count += 1
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)
  return count


def count_records(path: pathlib.Path) -> tuple[int, bool]:
  """(How many whole records a file holds, whether it ends after the last).

  Walks from length to length without reading what lies between; checksums are
  the reader's to check.
  """
  count = 0
  end = size = path.stat().st_size
  with path.open('rb') as file:
    for end in _record_ends(file):
      if end > size:
        return count, False
      count += 1
  return count, end == size


def _record_ends(file: io.BufferedReader) -> Iterator[int]:
  """Where each record ends, as its length says: past the file if cut short."""
  position = 0
  while header := file.read(_HEADER):
    if len(header) < _HEADER:
      yield position + _HEADER
      return
    (length,) = struct.unpack('<Q', header[:8])
    position += _HEADER + length + _FOOTER
    yield position
    file.seek(position)
