"""TFRecord files: serializing, writing and counting records."""

import io
import os
import pathlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from datasets.content import Value
from tf_compat import tf

# A record is its length (8 bytes), the length's checksum (4), the data, and
# the data's checksum (4).
_HEADER, _FOOTER = 12, 4


def serialize(features: Mapping[str, Value]) -> bytes:
  """Key -> value as a tf.train.Example; the same input, the same bytes."""
  example = tf.train.Example()
  for key, value in features.items():
    # Filled where it stands: a message put into another is copied, pixels too.
    _fill(example.features.feature[key], value)
  # A protobuf map has no order of its own.
  return example.SerializeToString(deterministic=True)


def _fill(feature: Any, value: Value) -> None:
  """Whole numbers, other numbers, or bytes into a tf.train.Feature."""
  if isinstance(value, str):
    # The name of a file need be no text; then it keeps its bytes.
    value = value.encode(errors='surrogateescape')
  if isinstance(value, bytes):
    feature.bytes_list.value.append(value)
    return
  values = np.ravel(value).tolist()
  whole = all(isinstance(number, int) for number in values)
  (feature.int64_list if whole else feature.float_list).value.extend(values)


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
