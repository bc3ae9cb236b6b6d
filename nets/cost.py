"""What a built network costs, layer by layer: parameters, multiply-adds.

A layer is a variable scope that has a kernel, with the norm and the biases
inside it. What multiplies two activations has the name scope it stands in.
"""

import dataclasses
import math
import posixpath
from collections.abc import Iterable, Iterator

from tf_compat import tf

# What stands between a variable and the operation that computes with it.
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
  """What one layer costs.

  Attributes:
    name: its variable scope.
    shape: of its output, without the images' dimension.
    parameters: trainable ones that no earlier layer has.
    multiply_adds: of its convolutions and matrix products, which alone the
      field counts: a norm can be folded into them.
  """

  name: str
  shape: tuple[int | None, ...]
  parameters: int
  multiply_adds: int


def layers(output: tf.Tensor) -> list[Layer]:
  """The layers behind a tensor, in the order of computation.

  What the tensor does not depend on is not counted: auxiliary heads are not
  behind the logits.

  Args:
    output: for instance the logits of one image, for the cost of one image.

  Returns:
    One entry for each layer.

  Raises:
    ValueError: if the graph does not know a shape that is needed.
  """
  sizes = {
    v.op.name: v.shape.num_elements()
    for v in output.graph.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES)
  }
  steps = list(_steps(output))
  kernels = {scope for scope, op, _ in steps if op.type in _COUNTS}
  found: dict[str, Layer] = {}
  for scope, op, variables in steps:
    name = next((s for s in _outwards(scope) if s in kernels), scope)
    before = found.get(name, Layer(name, (), 0, 0))
    found[name] = Layer(
      name,
      tuple(op.outputs[0].shape[1:]),
      # A variable counts where it is used first.
      before.parameters + sum(sizes.pop(v, 0) for v in variables),
      before.multiply_adds + _multiply_adds(op),
    )
  return list(found.values())


def total(found: Iterable[Layer]) -> tuple[int, int]:
  """Parameters and multiply-adds of layers together."""
  found = list(found)
  return sum(x.parameters for x in found), sum(x.multiply_adds for x in found)


def multiply_adds(output: tf.Tensor) -> int:
  """All multiply-adds behind a tensor, whoever built its graph."""
  return sum(map(_multiply_adds, _behind(output)))


def _steps(
  output: tf.Tensor,
) -> Iterator[tuple[str, tf.Operation, list[str]]]:
  """(scope, operation, variables) of all that has variables or multiplies."""
  for op in _behind(output):
    if op.type in _SAME_VALUES:
      continue
    variables = [v for v in map(_variable, op.inputs) if v]
    if variables or op.type in _COUNTS:
      yield posixpath.dirname((variables or [op.name])[0]), op, variables


def _behind(output: tf.Tensor) -> list[tf.Operation]:
  """Every operation that a tensor depends on, in the order they were made."""
  seen, open_ends = {output.op}, [output.op]
  while open_ends:
    new = {tensor.op for tensor in open_ends.pop().inputs} - seen
    seen |= new
    open_ends += new
  return [op for op in output.graph.get_operations() if op in seen]


def _variable(tensor: tf.Tensor) -> str | None:
  """The name of the variable whose value a tensor is, or None."""
  op = tensor.op
  while op.type in _SAME_VALUES:
    op = op.inputs[0].op
  return op.name if op.type in ('VarHandleOp', 'VariableV2') else None


def _outwards(scope: str) -> Iterator[str]:
  """'a/b/c' -> 'a/b/c', 'a/b', 'a'."""
  while scope:
    yield scope
    scope = posixpath.dirname(scope)


def _multiply_adds(op: tf.Operation) -> int:
  """Multiply-adds of one operation; 0 for all but those of _COUNTS."""
  count = _COUNTS.get(op.type)
  if count is None:
    return 0
  try:
    return count(op)
  except TypeError as error:
    raise ValueError(
      f'{op.name} has an unknown shape: build the network on images of which '
      'number and size are known.'
    ) from error


def _convolution(op: tf.Operation) -> int:
  """outputs · kernel sides · channels in, of which a group has its share."""
  return _size(op) * math.prod(op.inputs[1].shape[:-1])


def _depthwise(op: tf.Operation) -> int:
  """outputs · kernel sides."""
  return _size(op) * math.prod(op.inputs[1].shape[:2])


def _product(op: tf.Operation) -> int:
  """outputs · inner side."""
  transposed = op.get_attr('transpose_a' if op.type == 'MatMul' else 'adj_x')
  return _size(op) * op.inputs[0].shape[-2 if transposed else -1]


def _einsum(op: tf.Operation) -> int:
  """outputs · sides of the indices that are summed away."""
  terms, _, kept = op.get_attr('equation').decode().partition('->')
  sides = {}
  for term, tensor in zip(terms.split(','), op.inputs, strict=True):
    first, _, last = term.partition('...')
    sides |= zip(first, tensor.shape, strict=False)
    sides |= zip(last[::-1], tensor.shape[::-1], strict=False)
  return _size(op) * math.prod(sides[i] for i in sides.keys() - {*kept})


def _size(op: tf.Operation) -> int:
  """How many numbers an operation's output has.

  A dilated convolution may stand between SpaceToBatchND, which pads, and its
  inverse: what it computes of the margin is not counted.
  """
  (output,) = op.outputs
  for user in output.consumers():
    if user.type == 'BatchToSpaceND':
      output = user.outputs[0]
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
