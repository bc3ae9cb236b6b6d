"""TFRecord files: serializes, writes and counts records."""

from __future__ import annotations

import io
import os
import pathlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from datasets.example_features import Value
from tf_compat import tf

# A record is its length (8 bytes), the length's checksum (4), the data, and
# the data's checksum (4).
_HEADER, _FOOTER = 12, 4


def serialize(features: Mapping[str, Value]) -> bytes:
  """Serializes key -> value as a tf.train.Example, deterministically."""
  example = tf.train.Example()
  for key, value in features.items():
    # Assigning a separate message would copy it, including the pixels.
    _fill(example.features.feature[key], value)
  # The order of a protobuf map is undefined otherwise.
  return example.SerializeToString(deterministic=True)


def _fill(feature: Any, value: Value) -> None:
  """Adds integers, floats, text or bytes to a tf.train.Feature."""
  if isinstance(value, str):
    # A file name that is not valid UTF-8 keeps its bytes.
    value = value.encode(errors='surrogateescape')
  if isinstance(value, bytes):
    feature.bytes_list.value.append(value)
    return
  numbers: list[int | float] = np.ravel(value).tolist()
  is_integer = all(isinstance(number, int) for number in numbers)
  target = feature.int64_list if is_integer else feature.float_list
  target.value.extend(numbers)


def write_shard(
  path: pathlib.Path, items: Iterable[Any], encode: Callable[[Any], bytes]
) -> int:
  """Writes a record file atomically; returns the number of records.

  A process that is killed leaves a hidden file, which the next call replaces.
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
  """Returns (number of complete records, whether the file ends after them).

  Reads only the lengths; the reader verifies the checksums.
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
  """Yields each record's end by its length: beyond the file if truncated."""
  position = 0
  while header := file.read(_HEADER):
    if len(header) < _HEADER:
      yield position + _HEADER
      return
    (length,) = struct.unpack('<Q', header[:8])
    position += _HEADER + length + _FOOTER
    yield position
    file.seek(position)
