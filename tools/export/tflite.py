"""Writes TFLite models: float32, with float16 weights, or int8."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np

import files
from errors import UserError
from tf_compat import tf
from tools.export import network
from tools.export.network import PIXELS, PROBABILITIES

LABELS = 'labels.txt'
# Ranges of this size are too small for the scales that LiteRT computes with.
_ZERO = 2e-5


def write(
  graph_def: tf.GraphDef,
  class_names: Sequence[str],
  path: pathlib.Path,
  quantize: str | None = None,
  calibration: Sequence[np.ndarray] = (),
) -> None:
  """Writes a model of one image, with the names of its classes.

  Operations that int8 does not have stay in float32.

  Args:
    graph_def: the frozen graph.
    class_names: the names.
    path: the file.
    quantize: 'float16' or 'int8'; float32 if None.
    calibration: pixels [N, H, W, C] that int8 takes its ranges from.

  Raises:
    UserError: if TFLite lacks an operation.
  """
  if quantize == 'int8':
    graph_def = _without_dead(graph_def, calibration)
  graph = network.with_batch(graph_def, 1)
  converter = tf.lite.TFLiteConverter(
    graph.as_graph_def(add_shapes=True),
    [graph.get_tensor_by_name(f'{PIXELS}:0')],
    [graph.get_tensor_by_name(f'{PROBABILITIES}:0')],
  )
  if quantize:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if quantize == 'float16':
    converter.target_spec.supported_types = [tf.float16]
  if quantize == 'int8':
    converter.representative_dataset = lambda: (
      [image[np.newaxis]] for batch in calibration for image in batch
    )
    ops = tf.lite.OpsSet
    converter.target_spec.supported_ops = [
      ops.TFLITE_BUILTINS_INT8,
      ops.TFLITE_BUILTINS,
    ]
  try:
    with _quiet():
      model = converter.convert()
  except Exception as error:
    raise UserError(
      f'TFLite cannot express the network: {_reason(error)}. Leave tflite out of '
      '--formats.'
    ) from error
  with files.replacing(path) as temporary:
    temporary.write_bytes(model)
    # As TFLite's metadata keep files: in an archive at the end of the model.
    with zipfile.ZipFile(temporary, 'a') as archive:
      archive.writestr(LABELS, ''.join(f'{name}\n' for name in class_names))


def _without_dead(
  graph_def: tf.GraphDef, calibration: Sequence[np.ndarray]
) -> tf.GraphDef:
  """Replaces activations that are zero on all images by that constant.

  Int8 would round them to zero anyway, but LiteRT refuses scales of almost 0.
  They occur in trained gates, whose few hidden units can all be off.
  """
  graph = network.with_batch(graph_def, 1)
  relus = [op for op in graph.get_operations() if op.type in ('Relu', 'Relu6')]
  with graph.as_default(), tf.Session() as session:
    highest = [tf.reduce_max(op.outputs[0]) for op in relus]
    peaks = np.max(
      [
        session.run(highest, {f'{PIXELS}:0': image[np.newaxis]})
        for batch in calibration
        for image in batch
      ],
      axis=0,
    )
  dead = {
    op.name: op.outputs[0].shape
    for op, peak in zip(relus, peaks, strict=True)
    if peak <= _ZERO
  }
  changed = tf.GraphDef()
  changed.CopyFrom(graph_def)
  for node in changed.node:
    if node.name in dead:
      name, shape = node.name, dead[node.name].as_list()
      node.Clear()
      node.name, node.op = name, 'Const'
      node.attr['dtype'].type = tf.float32.as_datatype_enum
      node.attr['value'].tensor.CopyFrom(
        tf.make_tensor_proto(0.0, tf.float32, shape)
      )
  return changed


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Drops what the converter prints about itself."""
  log = logging.getLogger('absl')
  level, stderr = log.level, os.dup(2)
  with tempfile.TemporaryFile() as sink:
    log.setLevel(logging.ERROR)
    os.dup2(sink.fileno(), 2)
    try:
      yield
    finally:
      os.dup2(stderr, 2)
      os.close(stderr)
      log.setLevel(level)


def _reason(error: Exception) -> str:
  """Returns the operation that a failed conversion names, or its last line."""
  text = str(error)
  operation = re.search(r"'(tf\.\w+)' op", text)
  lines = [line for line in text.splitlines() if line.strip()]
  return operation[1] if operation else (lines or [repr(error)])[-1].rstrip('.')
