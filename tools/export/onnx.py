"""Writes ONNX models: float32 or int8."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from errors import UserError
from tf_compat import tf
from tools.export.network import PIXELS, PROBABILITIES

# What ONNX Runtime has understood since version 1.14.
_OPSET = 17
# Constants with more values are weights.
_LARGE = 64


def write(
  graph_def: tf.GraphDef, class_names: Sequence[str], path: pathlib.Path
) -> None:
  """Writes a model of any number of images, with the names of its classes.

  Args:
    graph_def: the frozen graph.
    class_names: the names.
    path: the file.

  Raises:
    UserError: if ONNX lacks an operation.
  """
  import onnx
  from tf2onnx import convert

  # It logs what it does, and unknown operations, which the model's test names.
  logging.getLogger('tf2onnx').setLevel(logging.CRITICAL)
  graph_def, weights = _without_weights(_without_square(graph_def))
  names = [PIXELS, *weights]
  try:
    model, _ = convert.from_graph_def(
      graph_def,
      input_names=[f'{name}:0' for name in names],
      output_names=[f'{PROBABILITIES}:0'],
      opset=_OPSET,
      tensors_to_rename={f'{n}:0': n for n in (*names, PROBABILITIES)},
    )
  except OSError:
    raise  # A full disk is not the quantization's fault.
  except Exception as error:
    lines = str(error).splitlines() or [repr(error)]
    raise UserError(
      f'ONNX cannot express the network: {lines[-1].rstrip(".")}. Leave onnx out '
      'of --formats.'
    ) from error
  inputs = [each for each in model.graph.input if each.name == PIXELS]
  del model.graph.input[:]
  model.graph.input.extend(inputs)
  model.graph.initializer.extend(
    onnx.numpy_helper.from_array(value, name) for name, value in weights.items()
  )
  onnx.helper.set_model_props(model, _properties(class_names))
  onnx.save(model, str(path))
  _optimize(path)


def _without_weights(
  graph_def: tf.GraphDef,
) -> tuple[tf.GraphDef, dict[str, np.ndarray]]:
  """Returns a graph whose weights are inputs, and their values.

  tf2onnx copies the whole graph for each of its many steps, which takes 22 GB
  for a network of 0.6 GB.
  """
  weights, light = {}, tf.GraphDef(versions=graph_def.versions)
  for node in graph_def.node:
    if node.op == 'Const' and _is_weight(node.attr['value'].tensor):
      value = node.attr['value'].tensor
      weights[node.name] = tf.make_ndarray(value)
      node = tf.NodeDef(name=node.name, op='Placeholder')
      node.attr['dtype'].type = value.dtype
      node.attr['shape'].shape.CopyFrom(value.tensor_shape)
    light.node.append(node)
  return light, weights


def _without_square(graph_def: tf.GraphDef) -> tf.GraphDef:
  """Returns a graph that computes x² as a power.

  tf2onnx 1.17 makes it a product of x with x, transposes the shape of x once
  for each of them, and gets maps of one pixel wrong.
  """
  changed = tf.GraphDef(versions=graph_def.versions)
  for node in graph_def.node:
    if node.op == 'Square':
      two = tf.NodeDef(name=f'{node.name}/two', op='Const')
      two.attr['dtype'].CopyFrom(node.attr['T'])
      two.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(np.float32(2)))
      power = tf.NodeDef(name=node.name, op='Pow')
      power.input.extend([node.input[0], two.name])
      power.attr['T'].CopyFrom(node.attr['T'])
      changed.node.extend([two, power])
    else:
      changed.node.append(node)
  return changed


def _is_weight(tensor: Any) -> bool:
  """Whether a constant is large, and no shape."""
  size = math.prod(dim.size for dim in tensor.tensor_shape.dim)
  return size > _LARGE and tensor.dtype == tf.float32.as_datatype_enum


def _optimize(path: pathlib.Path) -> None:
  """Computes what depends on weights alone, such as their transposition."""
  import onnx
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.graph_optimization_level = (
    onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
  )
  optimized = path.with_suffix('.optimized.onnx')
  options.optimized_model_filepath = str(optimized)
  try:
    onnxruntime.InferenceSession(
      str(path), options, providers=['CPUExecutionProvider']
    )
  except Exception as error:
    # Among others, an unknown operation.
    reason = str(error).splitlines()[0].rstrip('.')
    raise UserError(
      f'ONNX Runtime cannot run the model: {reason}. Leave onnx out of --formats.'
    ) from error
  model = onnx.load(str(optimized))
  # It lists all that it knows.
  used = [each for each in model.opset_import if not each.domain]
  del model.opset_import[:]
  model.opset_import.extend(used)
  onnx.save(model, str(path))
  optimized.unlink()


def write_int8(
  source: pathlib.Path,
  class_names: Sequence[str],
  path: pathlib.Path,
  calibration: Iterable[np.ndarray],
) -> None:
  """Writes an int8 model, with one scale for each channel of a kernel.

  Args:
    source: a model in float32.
    class_names: the names of the classes.
    path: the file.
    calibration: pixels [N, H, W, C] that int8 takes its ranges from.

  Raises:
    UserError: if ONNX Runtime cannot quantize it.
  """
  import onnx

  prepared = path.with_suffix('.prepared.onnx')
  try:
    with _quiet():
      _quantize(source, prepared, path, calibration)
  except Exception as error:
    lines = str(error).splitlines() or [repr(error)]
    raise UserError(
      f'ONNX Runtime cannot quantize the model: {lines[-1].rstrip(".")}. Omit '
      '--quantize=int8, or leave onnx out of --formats.'
    ) from error
  finally:
    prepared.unlink(missing_ok=True)
  model = onnx.load(str(path))
  onnx.helper.set_model_props(model, _properties(class_names))
  onnx.save(model, str(path))


def _quantize(
  source: pathlib.Path,
  prepared: pathlib.Path,
  path: pathlib.Path,
  calibration: Iterable[np.ndarray],
) -> None:
  """Writes the int8 model of a file, and on the way the prepared one."""
  from onnxruntime import quantization
  from onnxruntime.quantization import shape_inference

  shape_inference.quant_pre_process(
    str(source), str(prepared), skip_symbolic_shape=True
  )
  quantization.quantize_static(
    str(prepared), str(path), _reader(calibration), per_channel=True
  )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Drops warnings of the quantization, which logs by the root logger."""
  log = logging.getLogger()
  level = log.level
  log.setLevel(logging.ERROR)
  try:
    yield
  finally:
    log.setLevel(level)


def _properties(class_names: Sequence[str]) -> dict[str, str]:
  return {'classes': json.dumps(list(class_names))}


def _reader(calibration: Iterable[np.ndarray]) -> Any:
  """Returns what ONNX Runtime reads images from, one after another."""
  from onnxruntime.quantization import CalibrationDataReader

  class Reader(CalibrationDataReader):
    def __init__(self) -> None:
      self._images: Iterator[np.ndarray] = (
        image for batch in calibration for image in batch
      )

    def get_next(self) -> dict[str, np.ndarray] | None:
      image = next(self._images, None)
      return None if image is None else {PIXELS: image[np.newaxis]}

  return Reader()
