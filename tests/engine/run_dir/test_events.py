"""Events as TensorBoard reads them."""

import collections
import io

import numpy as np
import pytest
from google.protobuf import struct_pb2
from PIL import Image

from engine.run_dir import events
from tf_compat import tf


def test_options_are_a_text_and_hyperparameters():
  text, session = events.options(
    {'model_name': 'lenet', 'learning_rate': 0.5, 'xla': True, 'seed': None}
  ).value
  assert text.metadata.plugin_data.plugin_name == 'text'
  (table,) = tf.make_ndarray(text.tensor)
  assert b'| learning_rate | 0.5 ' in table
  assert b'seed' not in table
  assert session.tag == '_hparams_/session_start_info'
  assert session.metadata.plugin_data.plugin_name == 'hparams'
  # By the numbers of TensorBoard's plugin_data.proto.
  (start,) = fields(session.metadata.plugin_data.content)[3]
  entries = [fields(entry) for entry in fields(start)[1]]
  hparams = {key.decode(): value for (key,), (value,) in map(pair, entries)}
  assert {
    name: struct_pb2.Value.FromString(value).WhichOneof('kind')
    for name, value in hparams.items()
  } == {
    'model_name': 'string_value',
    'learning_rate': 'number_value',
    'xla': 'bool_value',
  }


def test_histograms_hold_the_moments_and_all_values():
  array = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
  (value,) = events.histograms({'weights/conv1': array}).value
  shown = value.histo
  assert value.tag == 'weights/conv1'
  assert (shown.min, shown.max) == (array.min(), array.max())
  assert shown.sum == pytest.approx(sum(array.ravel().tolist()))
  assert shown.sum_squares == pytest.approx(np.linalg.norm(array) ** 2)
  assert sum(shown.bucket) == shown.num == 120
  # A bucket's limit is its upper one.
  assert sum(shown.bucket[:12]) == np.sum(array < shown.bucket_limit[11])


@pytest.mark.parametrize(
  ('values', 'low', 'high'),
  [
    ([np.nan, np.inf, -np.inf, 1], 0, 1),
    ([np.nan], 0, 0),
    ([-3e38, 3e38], -3e38, 3e38),  # Their span is not finite in float32.
  ],
)
def test_histograms_hold_values_that_are_not_finite_as_0(values, low, high):
  (value,) = events.histograms({'a': np.float32(values)}).value
  assert value.histo.min == pytest.approx(low)
  assert value.histo.max == pytest.approx(high)
  assert sum(value.histo.bucket) == len(values)


def pair(entry):
  """Returns key and value of an entry of a map."""
  return entry[1], entry[2]


def fields(message):
  """Returns number -> values of the fields of an encoded message."""
  found, at = collections.defaultdict(list), 0

  def varint():
    nonlocal at
    value = shift = 0
    while True:
      byte = message[at]
      at += 1
      value |= (byte & 127) << shift
      shift += 7
      if byte < 128:
        return value

  while at < len(message):
    number, kind = divmod(varint(), 8)
    if kind == 0:
      found[number].append(varint())
      continue
    length = 8 if kind == 1 else varint()
    found[number].append(message[at : at + length])
    at += length
  return found


def test_a_picture_has_its_size():
  data = io.BytesIO()
  Image.new('RGB', (3, 2)).save(data, 'PNG')
  (value,) = events.image('matrix', data.getvalue()).value
  assert (value.image.width, value.image.height) == (3, 2)
  assert value.image.encoded_image_string == data.getvalue()
