"""Parameters and multiply-adds of a network, layer by layer.

A layer is a variable scope with a kernel, including its norm and biases. A
product of two activations is a layer named after its name scope.
"""

from __future__ import annotations

import dataclasses
import math
import posixpath
from collections.abc import Iterable, Iterator
from typing import Any

from tf_compat import tf

# Operations that may be between a variable and the operation that uses it.
_SAME_VALUES = frozenset(
  {
    'Cast',
    'ExpandDims',
    'Identity',
    'ReadVariableOp',
    'Reshape',
    'Squeeze',
    'Transpose',
  }
)


@dataclasses.dataclass(frozen=True)
class Layer:
  """The cost of a layer.

  Attributes:
    name: variable scope.
    shape: shape of the output, without the batch dimension.
    parameters: trainable parameters that no earlier layer shares.
    multiply_adds: multiply-adds of convolutions and matrix products. By
      convention, nothing else counts: a norm can be folded into them.
  """

  name: str
  shape: tuple[int | None, ...]
  parameters: int
  multiply_adds: int


def layers(output: tf.Tensor) -> list[Layer]:
  """Returns the layers that a tensor depends on, in the order of computation.

  Logits do not depend on auxiliary heads, for example, so these do not count.

  Args:
    output: for example the logits of one image, for the cost of one image.

  Returns:
    One entry per layer.

  Raises:
    ValueError: if a shape is not static.
  """
  sizes = {
    v.op.name: v.shape.num_elements()
    for v in output.graph.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES)
  }
  ops = list(_layer_ops(output))
  kernels = {scope for scope, op, _ in ops if op.type in _COUNTS}
  by_name: dict[str, Layer] = {}
  for scope, op, variables in ops:
    name = next((s for s in _enclosing_scopes(scope) if s in kernels), scope)
    previous = by_name.get(name, Layer(name, (), 0, 0))
    by_name[name] = Layer(
      name,
      tuple(op.outputs[0].shape[1:]),
      # A shared variable counts only in the first layer that uses it.
      previous.parameters + sum(sizes.pop(v, 0) for v in variables),
      previous.multiply_adds + _multiply_adds(op),
    )
  return list(by_name.values())


def total(costs: Iterable[Layer]) -> tuple[int, int]:
  """Returns the sums of the parameters and of the multiply-adds of layers."""
  costs = list(costs)
  return sum(x.parameters for x in costs), sum(x.multiply_adds for x in costs)


def multiply_adds(output: tf.Tensor) -> int:
  """Returns the multiply-adds that a tensor depends on, in any graph."""
  return sum(map(_multiply_adds, _ancestors(output)))


def _layer_ops(
  output: tf.Tensor,
) -> Iterator[tuple[str, tf.Operation, list[str]]]:
  """Yields (scope, operation, names of its variables) for each layer's parts.

  These are the operations that have variables or count as multiply-adds.
  """
  for op in _ancestors(output):
    if op.type in _SAME_VALUES:
      continue
    variables = [v for v in map(_variable_name, op.inputs) if v]
    if variables or _multiply_adds(op):
      yield posixpath.dirname((variables or [op.name])[0]), op, variables


def _ancestors(output: tf.Tensor) -> list[tf.Operation]:
  """Returns the operations that a tensor depends on, in order of creation."""
  visited, pending = {output.op}, [output.op]
  while pending:
    new = {tensor.op for tensor in pending.pop().inputs} - visited
    visited |= new
    pending += new
  return [op for op in output.graph.get_operations() if op in visited]


def _variable_name(tensor: tf.Tensor) -> str | None:
  """Returns the name of the variable whose value a tensor is, or None."""
  op = tensor.op
  while op.type in _SAME_VALUES:
    op = op.inputs[0].op
  return op.name if op.type in ('VarHandleOp', 'VariableV2') else None


def _enclosing_scopes(scope: str) -> Iterator[str]:
  """Yields 'a/b/c', 'a/b', 'a' for 'a/b/c'."""
  while scope:
    yield scope
    scope = posixpath.dirname(scope)


def _multiply_adds(op: tf.Operation) -> int:
  """Returns the multiply-adds of an operation; 0 for types not in _COUNTS."""
  count = _COUNTS.get(op.type)
  if count is None:
    return 0
  try:
    return count(op)
  except TypeError as error:
    raise ValueError(
      f'{op.name} has an unknown shape: build the network on images with a '
      'known batch size, height and width.'
    ) from error


def _convolution(op: tf.Operation) -> int:
  """outputs · kernel height · kernel width · input channels per group."""
  return _output_size(op) * math.prod(op.inputs[1].shape[:-1])


def _depthwise(op: tf.Operation) -> int:
  """outputs · kernel height · kernel width."""
  return _output_size(op) * math.prod(op.inputs[1].shape[:2])


def _product(op: tf.Operation) -> int:
  """outputs · inner dimension."""
  transposed = op.get_attr('transpose_a' if op.type == 'MatMul' else 'adj_x')
  return _output_size(op) * op.inputs[0].shape[-2 if transposed else -1]


def _einsum(op: tf.Operation) -> int:
  """outputs · dimensions of the indices that are summed over.

  A constant matrix only pools or resizes, which does not count.
  """
  if any(x.op.type == 'Const' and x.shape.rank == 2 for x in op.inputs):
    return 0
  terms, _, result = op.get_attr('equation').decode().partition('->')
  sides: dict[str, Any] = {}
  for term, tensor in zip(terms.split(','), op.inputs, strict=True):
    first, _, last = term.partition('...')
    sides |= zip(first, tensor.shape, strict=False)
    sides |= zip(last[::-1], tensor.shape[::-1], strict=False)
  return _output_size(op) * math.prod(
    sides[i] for i in sides.keys() - {*result}
  )


def _output_size(op: tf.Operation) -> int:
  """Returns the number of elements of an operation's output.

  A dilated convolution may be between SpaceToBatchND, which pads, and its
  inverse: results for the padding do not count.
  """
  (output,) = op.outputs
  for consumer in output.consumers():
    if consumer.type == 'BatchToSpaceND':
      output = consumer.outputs[0]
  return math.prod(output.shape)


_COUNTS = {
  'Conv2D': _convolution,
  'Conv3D': _convolution,
  'DepthwiseConv2dNative': _depthwise,
  'MatMul': _product,
  'BatchMatMulV2': _product,
  'BatchMatMulV3': _product,
  'Einsum': _einsum,
}
