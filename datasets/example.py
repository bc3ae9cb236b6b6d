"""Examples in records: parses TF-Slim's keys and checks the labels."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from google.protobuf import message as protobuf

from datasets.example_features import UnusableError
from tf_compat import tf

# Required key -> field of tf.train.Feature with its one value, and what it is.
REQUIRED = {
  'image/encoded': ('bytes_list', 'the bytes of one image'),
  'image/class/label': ('int64_list', 'one integer'),
}
_FILENAME = 'image/filename'
_TYPES = {'bytes_list': 'text', 'int64_list': 'integer', 'float_list': 'float'}
_SHOWN = 30  # characters of a value in a message


@functools.cache
def features() -> dict[str, tf.io.FixedLenFeature]:
  """Returns required key -> how tf.io parses it."""
  dtypes = {'bytes_list': tf.string, 'int64_list': tf.int64}
  return {
    key: tf.io.FixedLenFeature([], dtypes[kind])
    for key, (kind, _) in REQUIRED.items()
  }


def parse(
  data: tf.Tensor, num_classes: int, labels_offset: int
) -> dict[str, tf.Tensor]:
  """Parses features() of serialized examples.

  All other keys are optional, and may have any type and number of values.

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


def labels(data: tf.Tensor) -> tf.Tensor:
  """Returns the labels of serialized examples [N], int64 [N]; no images.

  Raises:
    InvalidArgumentError: in the session, if one has none.
  """
  key = 'image/class/label'
  return tf.io.parse_example(data, {key: features()[key]})[key]


def filename(data: tf.Tensor) -> tf.Tensor:
  """Returns image/filename of serialized examples: string, shaped like `data`.

  It is '' unless it is one text. tf.io.parse_example would refuse records in
  which an optional key has another type.
  """
  _, lists = _decode('Example', 'features', data)
  _, entries = _decode('Features', 'feature', _only(lists))
  _, keys = _decode('Features.FeatureEntry', 'key', entries)
  _, values = _decode('Features.FeatureEntry', 'value', entries)
  is_filename = tf.equal(_only(keys), _FILENAME)
  value = _only(tf.where_v2(is_filename, _only(values), ''))
  _, texts = _decode('Feature', 'bytes_list', value)
  count, names = _decode('BytesList', 'value', _only(texts))
  return tf.where_v2(tf.equal(count[..., 0], 1), _only(names), '')


def _decode(
  message: str, field: str, data: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the number of a field's values [..., 1], and the values [..., n].

  Those of messages with fewer than n values are filled up with ''.
  """
  sizes, (values,) = tf.io.decode_proto(
    data, f'tensorflow.{message}', [field], [tf.string]
  )
  return sizes, values


def _only(values: tf.Tensor) -> tf.Tensor:
  """Returns the one value along the last axis that is not ''; '' if none is."""
  return tf.strings.reduce_join(values, -1)


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
  for key in REQUIRED:
    _check_type(features[key], key)
  (label,) = features['image/class/label'].int64_list.value
  if not labels_offset <= label < num_classes:
    problem = label_problem(str(label), num_classes, labels_offset)
    raise UnusableError(f'has a wrong label: {problem}')
  return features


def _check_type(feature: Any, key: str) -> None:
  """Raises UnusableError unless the feature has what the key requires."""
  kind, expected = REQUIRED[key]
  found = feature.WhichOneof('kind')
  if not found:
    raise UnusableError(f'has no {key}')
  values = getattr(feature, found).value
  if found == kind and len(values) == 1:
    return
  stated = f'{len(values)} {_TYPES[found]}s'
  if len(values) == 1:
    stated = f'the {_TYPES[found]} {_shown(values[0])}'
  raise UnusableError(f'has {stated} under {key}, not {expected}')


def _shown(value: object) -> str:
  """Returns a value of a feature for a message, shortened."""
  text = value.decode(errors='replace') if isinstance(value, bytes) else value
  shown = repr(text)
  return shown if len(shown) <= _SHOWN else f'{shown[: _SHOWN - 1]}…'


def label_problem(label: str, num_classes: int, labels_offset: int) -> str:
  """Returns 'label 12 is outside 0..9', followed by the offset if any."""
  offset = f' (labels_offset is {labels_offset})' if labels_offset else ''
  return f'label {label} is outside {labels_offset}..{num_classes - 1}{offset}'
