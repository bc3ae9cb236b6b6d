"""TFRecord files: serializes, writes and counts records."""

from __future__ import annotations

import os
import pathlib
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from datasets import record_files
from datasets.example_features import Value
from tf_compat import tf


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

  Raises:
    OSError: if the file cannot be written.
  """
  failure = tf.errors.OpError
  partial = path.with_name(f'.{path.name}.partial')
  count = 0
  try:
    with tf.io.TFRecordWriter(str(partial)) as writer:
      for item in items:
        writer.write(encode(item))
        count += 1
    os.replace(partial, path)
  except failure as error:
    raise OSError(str(error)) from error
  finally:
    partial.unlink(missing_ok=True)
  return count


def count_records(path: pathlib.Path) -> tuple[int, bool]:
  """Returns (number of complete records, whether the file ends after them).

  Reads only the lengths; the reader verifies the checksums.
  """
  count = 0
  with record_files.open_bytes(path) as file:
    while header := file.read(record_files.HEADER):
      if len(header) < record_files.HEADER:
        return count, False
      (length,) = struct.unpack('<Q', header[:8])
      if not file.skip(length + record_files.FOOTER):
        return count, False
      count += 1
    return count, file.damage is None
