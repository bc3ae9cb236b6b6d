"""Batch norm folded into the kernels of a network for inference.

norm(x · W) = scale · (x · W) + offset = x · (scale · W) + offset, with
scale = γ / sqrt(variance + ε) and offset = β - scale · mean.

The network is copied. The copy has kernels and offsets of its own, which one
operation computes in float64 from the variables: a session that restores
another checkpoint runs it again, and needs no other graph. They are in no
collection, so that they are neither initialized nor saved.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

from tf_compat import tf

_NORMS = ('FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3')
# The channel of the output that each value of a kernel belongs to is the last
# axis; for a depthwise kernel, it is the last two.
_KERNEL_AXES = {'Conv2D': 1, 'DepthwiseConv2dNative': 2}
# Operations that move pixels and leave channels where they are.
_MOVES = ('BatchToSpaceND',)
# Operations that matter to gradients alone: each output is an input.
_COPIES = ('Identity', 'IdentityN', 'StopGradient', 'PreventGradient')
# An operation that keeps others in float32; see memory_ops.unconverted.
_UNCONVERTED = 'Bitcast'


def fold(
  images: tf.Tensor, output: tf.Tensor, replace_all: bool = False
) -> tuple[tf.Tensor, tf.Operation]:
  """Copies a network without batch norm and without what only training needs.

  Args:
    images: what the network takes; all else that it reads are its variables.
    output: what it computes, for inference.
    replace_all: whether to write the copy for other formats, without what they
      lack: batch norm, which becomes a product and a sum where it cannot be
      folded, at the cost of a pass over memory; and what keeps values in
      float32.

  Returns:
    The output of the copy, and the operation that fills its variables, to be
    run whenever those of the network have changed.
  """
  copies = (*_COPIES, _UNCONVERTED) if replace_all else _COPIES
  network = _Network(images, output, copies)
  for norm in network.norms():
    network.fold(norm, replace_all)
  if not replace_all:
    network.merge_gates()
  return network.build()


class _Network:
  """The operations from images to an output, to be changed and copied."""

  def __init__(
    self, images: tf.Tensor, output: tf.Tensor, copies: Sequence[str]
  ):
    self._images, self._copies = images, copies
    self._output = self._source(output)
    self._operations = self._between()
    self._uses = collections.Counter([self._output.op.name])
    # Operations of the copy by name, and the tensors that stay outside of it.
    self._nodes: dict[str, tf.NodeDef] = {}
    self._outside: dict[str, tf.Tensor] = {}
    self._assigned: list[tf.Operation] = []
    for op in self._operations.values():
      self._add(op)

  def norms(self) -> list[tf.Operation]:
    """Returns the batch norms that use moving averages."""
    return [
      op
      for op in self._operations.values()
      if op.type in _NORMS and not op.get_attr('is_training')
    ]

  def fold(self, norm: tf.Operation, replace_all: bool) -> None:
    """Folds a norm into the layer before it; see `fold` for one without."""
    layer = self._layer(norm)
    if not (layer or replace_all) or norm.control_inputs:
      return
    node = self._nodes[norm.name]
    source, dtype = node.input[0], node.attr['T']
    scale, offset = _scale_and_offset(norm)
    if layer:
      kernel = _scaled(layer, scale)
      self._nodes[layer.name].input[1] = self._store(kernel, layer)
    else:
      product = self._nodes[f'{norm.name}/scaled'] = tf.NodeDef(
        name=f'{norm.name}/scaled',
        op='Mul',
        input=[source, self._store(scale, norm)],
      )
      product.attr['T'].CopyFrom(dtype)
      source = product.name
    node.Clear()
    node.name, node.op = norm.name, 'BiasAdd'
    node.input.extend([source, self._store(offset, norm)])
    node.attr['T'].CopyFrom(dtype)

  def merge_gates(self) -> None:
    """Computes net · sigmoid(scores) in one pass, if the shapes are equal.

    SoftplusGrad is that product. Other formats do not know it.
    """
    for op in self._operations.values():
      if op.type != 'Mul' or op.control_inputs:
        continue
      net, gate = map(self._source, op.inputs)
      if gate.op.type != 'Sigmoid':
        net, gate = gate, net
      if gate.op.type == 'Sigmoid' and self._is_gate(gate, net):
        node = self._nodes[op.name]
        node.op = 'SoftplusGrad'
        node.input[:] = [net.name, *self._nodes.pop(gate.op.name).input]

  def build(self) -> tuple[tf.Tensor, tf.Operation]:
    """Returns the output of the copy, and the operation to fill it."""
    used = {name for node in self._nodes.values() for name in node.input}
    (output,) = tf.import_graph_def(
      tf.GraphDef(
        node=self._nodes.values(),
        versions=self._output.graph.graph_def_versions,
      ),
      {name: self._outside[name] for name in used & self._outside.keys()},
      [self._output.name],
      'folded',
    )
    return output, tf.group(*self._assigned)

  def _is_gate(self, gate: tf.Tensor, net: tf.Tensor) -> bool:
    """Whether a sigmoid of the net's shape is used by one operation alone."""
    # TensorFlow fuses x · sigmoid(x) itself.
    return (
      self._uses[gate.op.name] == 1
      and gate.op.name in self._operations
      and gate.shape.rank is not None
      and gate.shape.as_list() == net.shape.as_list()
      and self._source(gate.op.inputs[0]) is not net
    )

  def _add(self, op: tf.Operation) -> None:
    """Adds an operation to the copy."""
    node = tf.NodeDef()
    node.CopyFrom(op.node_def)
    sources = [self._source(tensor) for tensor in op.inputs]
    node.input[: len(sources)] = [tensor.name for tensor in sources]
    self._nodes[op.name] = node
    for tensor in sources:
      self._uses[tensor.op.name] += 1
      if tensor.op.name not in self._operations:
        self._outside[tensor.name] = tensor

  def _between(self) -> dict[str, tf.Operation]:
    """Returns by name what the output needs and what depends on the images."""
    needed, todo = {self._images.op.name}, [self._output.op]
    while todo:
      if (op := todo.pop()).name not in needed:
        needed.add(op.name)
        todo += [self._source(tensor).op for tensor in op.inputs]
    found: dict[str, tf.Operation] = {}
    # In the order in which they were added: inputs before what uses them.
    for op in self._images.graph.get_operations():
      sources = map(self._source, op.inputs) if op.name in needed else ()
      if any(t is self._images or t.op.name in found for t in sources):
        found[op.name] = op
    return found

  def _source(self, tensor: tf.Tensor) -> tf.Tensor:
    """Returns the tensor that a tensor is a copy of."""
    while tensor is not self._images and self._is_copy(tensor.op):
      tensor = tensor.op.inputs[tensor.value_index]
    return tensor

  def _is_copy(self, op: tf.Operation) -> bool:
    """Whether an operation does nothing for inference."""
    return op.type in self._copies and not op.control_inputs

  def _layer(self, norm: tf.Operation) -> tf.Operation | None:
    """Returns the convolution that only a norm uses; None if there is none."""
    op = self._source(norm.inputs[0]).op
    while op.name in self._operations and self._uses[op.name] == 1:
      if op.type in _KERNEL_AXES:
        known = op.inputs[1].op.name not in self._operations
        return op if known else None
      if op.type not in _MOVES:
        return None
      op = self._source(op.inputs[0]).op
    return None

  def _store(self, value: tf.Tensor, op: tf.Operation) -> str:
    """Adds a variable to hold a value; returns the name that reads it."""
    graph = tf.get_default_graph()
    name = graph.unique_name(f'folded_variables/{op.name}')
    # A tf.Variable would initialize the variables that its value depends on.
    handle = tf.raw_ops.VarHandleOp(
      dtype=tf.float32, shape=value.shape, shared_name=name, name=f'{name}/'
    )
    self._assigned.append(
      tf.raw_ops.AssignVariableOp(
        resource=handle, value=tf.cast(value, tf.float32)
      )
    )
    # By this name, TensorFlow reads a variable to make it a constant.
    read = tf.raw_ops.ReadVariableOp(
      resource=handle, dtype=tf.float32, name=f'{name}/Read/ReadVariableOp/'
    )
    self._outside[read.name] = read
    return read.name


def _scale_and_offset(norm: tf.Operation) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns γ / sqrt(variance + ε) and β - scale · mean, in float64."""
  gamma, beta, mean, variance = (
    tf.cast(tensor, tf.float64) for tensor in norm.inputs[1:]
  )
  scale = gamma / tf.sqrt(variance + norm.get_attr('epsilon'))
  return scale, beta - scale * mean


def _scaled(layer: tf.Operation, scale: tf.Tensor) -> tf.Tensor:
  """Returns a kernel times the scale of each channel of its output."""
  kernel = layer.inputs[1]
  shape = kernel.shape[-_KERNEL_AXES[layer.type] :]
  return tf.cast(kernel, tf.float64) * tf.reshape(scale, shape)
