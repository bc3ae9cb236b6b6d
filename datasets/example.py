"""The example in a record: TF-Slim's keys, parsed, its label checked."""

from tf_compat import tf

REQUIRED = 'image/encoded', 'image/class/label'
FEATURES = {
  'image/encoded': tf.io.FixedLenFeature([], tf.string),
  'image/class/label': tf.io.FixedLenFeature([], tf.int64),
  # Only ImageNet's records have one.
  'image/filename': tf.io.FixedLenFeature([], tf.string, default_value=''),
}


def parse(
  data: tf.Tensor, num_classes: int, labels_offset: int
) -> dict[str, tf.Tensor]:
  """FEATURES of one serialized example, scalars.

  Args:
    data: a scalar of bytes.
    num_classes: labels end before it.
    labels_offset: labels start with it; it is not subtracted here.

  Raises:
    InvalidArgumentError: in the session, if a key is missing or the label is
      outside.
  """
  features = tf.io.parse_single_example(data, FEATURES)
  label = features['image/class/label']
  known = tf.logical_and(label >= labels_offset, label < num_classes)
  problem = label_problem('{}', num_classes, labels_offset)
  check = tf.debugging.Assert(known, [tf.strings.format(problem, label)])
  with tf.control_dependencies([check]):
    features['image/class/label'] = tf.identity(label)
  return features


def label_problem(label: str, num_classes: int, labels_offset: int) -> str:
  """'label 12 is outside 0..9'; an offset is named as well."""
  offset = f' (labels_offset is {labels_offset})' if labels_offset else ''
  return f'label {label} is outside {labels_offset}..{num_classes - 1}{offset}'
