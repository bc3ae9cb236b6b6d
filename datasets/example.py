"""Examples in records: parses TF-Slim's keys and checks the labels."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from google.protobuf import message as protobuf

from datasets.example_features import UnusableError
from tf_compat import tf

# Key -> (field of tf.train.Feature with its one value, name of such values).
REQUIRED = {
  'image/encoded': ('bytes_list', 'texts or bytes'),
  'image/class/label': ('int64_list', 'integers'),
}


@functools.cache
def features() -> dict[str, tf.io.FixedLenFeature]:
  """Returns key -> how tf.io parses it."""
  return {
    'image/encoded': tf.io.FixedLenFeature([], tf.string),
    'image/class/label': tf.io.FixedLenFeature([], tf.int64),
    # Optional: only some converters write it.
    'image/filename': tf.io.FixedLenFeature([], tf.string, default_value=''),
  }


def parse(
  data: tf.Tensor, num_classes: int, labels_offset: int
) -> dict[str, tf.Tensor]:
  """Parses features() of serialized examples.

  Args:
    data: serialized examples, string [] or [N]; parsing many at once takes a
      tenth of the time.
    num_classes: exclusive upper bound of the labels.
    labels_offset: smallest label; it is not subtracted here.

  Returns:
    Key -> values, each of the shape of `data`.

  Raises:
    InvalidArgumentError: in the session, if a key is missing or a label is
      outside the bounds.
  """
  values = tf.io.parse_example(data, features())
  label = values['image/class/label']
  wrong = tf.logical_or(label < labels_offset, label >= num_classes)
  # The message names one of the wrong labels.
  culprit = tf.reduce_max(tf.where_v2(wrong, label, label.dtype.min))
  problem = tf.strings.format(
    label_problem('{}', num_classes, labels_offset), culprit
  )
  check = tf.debugging.Assert(tf.logical_not(tf.reduce_any(wrong)), [problem])
  with tf.control_dependencies([check]):
    values['image/class/label'] = tf.identity(label)
  return values


def read(
  data: bytes, num_classes: int, labels_offset: int
) -> Mapping[str, Any]:
  """Returns key -> tf.train.Feature of an example that `parse` accepts.

  Raises:
    UnusableError: if `parse` rejects it; its message ends a sentence that
      starts with the record's name.
  """
  try:
    features = tf.train.Example.FromString(data).features.feature
  except protobuf.DecodeError as error:
    raise UnusableError('is not a tf.train.Example') from error
  for key, (kind, values) in REQUIRED.items():
    if not features[key].WhichOneof('kind'):
      raise UnusableError(f'has no {key}')
    count = len(getattr(features[key], kind).value)
    if count != 1:
      raise UnusableError(f'has {count} {values} under {key}, not one')
  (label,) = features['image/class/label'].int64_list.value
  if not labels_offset <= label < num_classes:
    problem = label_problem(str(label), num_classes, labels_offset)
    raise UnusableError(f'has a wrong label: {problem}')
  return features


def label_problem(label: str, num_classes: int, labels_offset: int) -> str:
  """Returns 'label 12 is outside 0..9', followed by the offset if any."""
  offset = f' (labels_offset is {labels_offset})' if labels_offset else ''
  return f'label {label} is outside {labels_offset}..{num_classes - 1}{offset}'
