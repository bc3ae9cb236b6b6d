"""Folds batch norm into the kernels of a frozen graph.

norm(x · W) = scale · (x · W) + offset = x · (scale · W) + offset, with
scale = γ / sqrt(variance + ε) and offset = β - scale · mean.

The products are computed in float64. A norm whose input is no convolution with
one consumer (as in networks that normalize before they convolve) becomes a
product and a sum.
"""

from __future__ import annotations

import collections

import numpy as np

from tf_compat import tf

_NORMS = ('FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3')
# The channel of the output that each value of a kernel belongs to is the last
# axis; for a depthwise kernel, it is the last two.
_KERNEL_AXES = {'Conv2D': 1, 'DepthwiseConv2dNative': 2}
# Operations that move pixels and leave channels where they are.
_MOVES = ('BatchToSpaceND',)


def fold(graph_def: tf.GraphDef, outputs: list[str]) -> tf.GraphDef:
  """Returns a graph without batch norm and without what only training needs.

  Args:
    graph_def: a graph whose variables are constants.
    outputs: names of the operations to compute.
  """
  graph = _Graph(
    tf.graph_util.remove_training_nodes(graph_def, protected_nodes=outputs)
  )
  for node in list(graph.nodes.values()):
    if node.op in _NORMS:
      graph.fold(node)
  return tf.graph_util.extract_sub_graph(graph.graph_def(), outputs)


class _Graph:
  """The operations of a frozen graph by name, and how often each is used."""

  def __init__(self, graph_def: tf.GraphDef):
    self._versions = graph_def.versions
    self.nodes = {node.name: node for node in graph_def.node}
    self._uses = collections.Counter(
      _name(source) for node in graph_def.node for source in node.input
    )

  def graph_def(self) -> tf.GraphDef:
    """Returns the graph."""
    return tf.GraphDef(node=self.nodes.values(), versions=self._versions)

  def fold(self, norm: tf.NodeDef) -> None:
    """Replaces a norm by a sum, or by a product and a sum."""
    source, *constants = norm.input
    gamma, beta, mean, variance = map(self._value, constants)
    scale = gamma / np.sqrt(variance + norm.attr['epsilon'].f)
    offset = beta - scale * mean
    layer = self._layer(source)
    if layer:
      self._scale_kernel(layer, scale)
    else:
      source = self._add(norm, 'scaled', 'Mul', source, scale)
    name, dtype = norm.name, norm.attr['T']
    norm.Clear()
    norm.name, norm.op = name, 'BiasAdd'
    norm.attr['T'].CopyFrom(dtype)
    norm.input.extend([source, self._constant(f'{name}/offset', offset)])

  def _layer(self, source: str) -> tf.NodeDef | None:
    """Returns the convolution that only a norm uses; None if there is none."""
    node = self.nodes[_name(source)]
    while self._uses[node.name] == 1:
      if node.op in _KERNEL_AXES:
        return node if self.nodes[_name(node.input[1])].op == 'Const' else None
      if node.op not in _MOVES:
        return None
      node = self.nodes[_name(node.input[0])]
    return None

  def _scale_kernel(self, layer: tf.NodeDef, scale: np.ndarray) -> None:
    """Multiplies a kernel by the scale of each channel of its output."""
    kernel = self._value(layer.input[1])
    shape = kernel.shape[-_KERNEL_AXES[layer.op] :]
    layer.input[1] = self._constant(
      f'{layer.name}/folded', kernel * scale.reshape(shape)
    )

  def _add(
    self, norm: tf.NodeDef, name: str, op: str, source: str, value: np.ndarray
  ) -> str:
    """Adds an operation of a tensor and a constant; returns its name."""
    name = f'{norm.name}/{name}'
    node = tf.NodeDef(name=name, op=op)
    node.input.extend([source, self._constant(f'{name}/factor', value)])
    node.attr['T'].CopyFrom(norm.attr['T'])
    self.nodes[name] = node
    return name

  def _constant(self, name: str, value: np.ndarray) -> str:
    """Adds a float32 constant; returns its name."""
    node = tf.NodeDef(name=name, op='Const')
    node.attr['dtype'].type = tf.float32.as_datatype_enum
    node.attr['value'].tensor.CopyFrom(
      tf.make_tensor_proto(value.astype(np.float32))
    )
    self.nodes[name] = node
    return name

  def _value(self, source: str) -> np.ndarray:
    """Returns a constant in float64."""
    node = self.nodes[_name(source)]
    return tf.make_ndarray(node.attr['value'].tensor).astype(np.float64)


def _name(source: str) -> str:
  """'^a/b:1' -> 'a/b', the operation that an input names."""
  return source.lstrip('^').partition(':')[0]
