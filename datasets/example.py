"""The examples in records: TF-Slim's keys, parsed, their labels checked."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import message as protobuf

from datasets.content import UnusableError
from tf_compat import tf

# Key -> (where its one value is, what such values are).
REQUIRED = {
  'image/encoded': ('bytes_list', 'texts or bytes'),
  'image/class/label': ('int64_list', 'whole numbers'),
}
FEATURES = {
  'image/encoded': tf.io.FixedLenFeature([], tf.string),
  'image/class/label': tf.io.FixedLenFeature([], tf.int64),
  # Only ImageNet's records have one.
  'image/filename': tf.io.FixedLenFeature([], tf.string, default_value=''),
}


def parse(
  data: tf.Tensor, num_classes: int, labels_offset: int
) -> dict[str, tf.Tensor]:
  """FEATURES of serialized examples, each of the shape of `data`.

  Args:
    data: bytes, a scalar or [N]; many at once take a tenth of the time.
    num_classes: labels end before it.
    labels_offset: labels start with it; it is not subtracted here.

  Raises:
    InvalidArgumentError: in the session, if a key is missing or the label is
      outside.
  """
  features = tf.io.parse_example(data, FEATURES)
  label = features['image/class/label']
  wrong = tf.logical_or(label < labels_offset, label >= num_classes)
  # One of the wrong labels stands for all.
  culprit = tf.reduce_max(tf.where_v2(wrong, label, label.dtype.min))
  problem = tf.strings.format(
    label_problem('{}', num_classes, labels_offset), culprit
  )
  check = tf.debugging.Assert(tf.logical_not(tf.reduce_any(wrong)), [problem])
  with tf.control_dependencies([check]):
    features['image/class/label'] = tf.identity(label)
  return features


def read(
  data: bytes, num_classes: int, labels_offset: int
) -> Mapping[str, Any]:
  """Key -> tf.train.Feature of one example, once `parse` can use it.

  Raises:
    UnusableError: if it cannot, with the reason as the end of a sentence.
  """
  try:
    features = tf.train.Example.FromString(data).features.feature
  except protobuf.DecodeError as error:
    raise UnusableError('is no tf.train.Example') from error
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
  """'label 12 is outside 0..9'; an offset is named as well."""
  offset = f' (labels_offset is {labels_offset})' if labels_offset else ''
  return f'label {label} is outside {labels_offset}..{num_classes - 1}{offset}'
