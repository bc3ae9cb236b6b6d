"""TensorBoard event files: what is known outside the graph, and closing them."""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tabulate
from PIL import Image

from engine import console
from tf_compat import tf

# Of TensorBoard's plugins for text and for hyperparameters.
_HPARAMS, _SESSION = 'hparams', '_hparams_/session_start_info'
_HPARAMS_VERSION = 0

# Buckets of a histogram, as in tf.summary.histogram of TensorFlow 2.
_BUCKETS = 30


def scalars(**values: float) -> tf.Summary:
  """Returns a summary of numbers that are known outside the graph."""
  return tf.Summary(
    value=[
      tf.Summary.Value(tag=tag, simple_value=value)
      for tag, value in values.items()
    ]
  )


def image(tag: str, png: bytes) -> tf.Summary:
  """Returns a summary of a picture, encoded as PNG."""
  with Image.open(io.BytesIO(png)) as opened:
    width, height = opened.size
  picture = tf.Summary.Image(
    encoded_image_string=png, width=width, height=height
  )
  return tf.Summary(value=[tf.Summary.Value(tag=tag, image=picture)])


def histograms(values: Mapping[str, np.ndarray]) -> tf.Summary:
  """Returns histograms with buckets of equal width, as TensorFlow 2 draws them.

  Values that are not finite count as 0.
  """
  return tf.Summary(
    value=[
      tf.Summary.Value(tag=tag, histo=_histogram(array))
      for tag, array in values.items()
    ]
  )


def _histogram(array: np.ndarray) -> tf.HistogramProto:
  # Float64, since the span of float32 values may exceed float32; a single copy,
  # since it may have gigabytes.
  numbers: np.ndarray = array.astype(np.float64).ravel()
  np.nan_to_num(numbers, copy=False, nan=0, posinf=0, neginf=0)
  counts, edges = np.histogram(numbers, _BUCKETS)
  return tf.HistogramProto(
    min=numbers.min(),
    max=numbers.max(),
    num=numbers.size,
    sum=numbers.sum(),
    sum_squares=numbers @ numbers,
    bucket_limit=edges[1:],
    bucket=counts,
  )


def options(values: Mapping[str, Any]) -> tf.Summary:
  """Returns a summary of a run's options, as a text and as hyperparameters.

  Args:
    values: texts, numbers and booleans by name; None is left out.
  """
  chosen = {name: value for name, value in values.items() if value is not None}
  table = tabulate.tabulate(chosen.items(), ['option', 'value'], 'github')
  text = tf.make_tensor_proto([table.encode()])
  return tf.Summary(
    value=[
      _of_plugin('job', 'text', b'', text),
      _of_plugin(
        _SESSION,
        _HPARAMS,
        _session_start(chosen),
        # As that plugin's writer: an empty tensor.
        tf.make_tensor_proto(0.0, tf.float32, [1]),
      ),
    ]
  )


def _of_plugin(
  tag: str, plugin: str, content: bytes, tensor: Any
) -> tf.Summary.Value:
  """Returns a value that a plugin of TensorBoard shows."""
  metadata = tf.SummaryMetadata(
    plugin_data=tf.SummaryMetadata.PluginData(
      plugin_name=plugin, content=content
    )
  )
  return tf.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


def _session_start(values: Mapping[str, Any]) -> bytes:
  """Returns TensorBoard's message that a run with hyperparameters starts."""
  message = _plugin_data()(version=_HPARAMS_VERSION)
  start = message.session_start_info
  start.start_time_secs = time.time()
  for name, value in values.items():
    if isinstance(value, bool):
      start.hparams[name].bool_value = value
    elif isinstance(value, (int, float)):
      start.hparams[name].number_value = value
    else:
      start.hparams[name].string_value = str(value)
  return message.SerializeToString()


@functools.cache
def _plugin_data() -> type:
  """Returns the message class HParamsPluginData, as far as it is used here.

  From tensorboard/plugins/hparams/plugin_data.proto, since TensorBoard itself is
  installed only by those who look at events.
  """
  from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    struct_pb2,
  )

  file = descriptor_pb2.FileDescriptorProto(
    name='slim/hparams.proto',
    package='slim.hparams',
    syntax='proto3',
    dependency=[struct_pb2.DESCRIPTOR.name],
  )
  field = descriptor_pb2.FieldDescriptorProto

  def add(message, name, number, kind, type_name=None, repeated=False):
    label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    message.field.add(
      name=name, number=number, type=kind, type_name=type_name, label=label
    )

  data = file.message_type.add(name='HParamsPluginData')
  add(data, 'version', 1, field.TYPE_INT32)
  start = 'slim.hparams.SessionStartInfo'
  add(data, 'session_start_info', 3, field.TYPE_MESSAGE, f'.{start}')
  info = file.message_type.add(name='SessionStartInfo')
  entry = info.nested_type.add(name='HparamsEntry')
  entry.options.map_entry = True
  add(entry, 'key', 1, field.TYPE_STRING)
  add(entry, 'value', 2, field.TYPE_MESSAGE, '.google.protobuf.Value')
  add(info, 'hparams', 1, field.TYPE_MESSAGE, f'.{start}.HparamsEntry', True)
  add(info, 'start_time_secs', 5, field.TYPE_DOUBLE)
  pool = descriptor_pool.DescriptorPool()
  pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
  pool.Add(file)
  return message_factory.GetMessageClass(
    pool.FindMessageTypeByName('slim.hparams.HParamsPluginData')
  )


def close(writer: tf.summary.FileWriter) -> None:
  """Closes an event file; reports a failure, without hiding another error."""
  try:
    writer.close()
  # TensorFlow raises any exception of its writing thread.
  except Exception as error:
    console.say(f'The last events could not be written: {error}')
