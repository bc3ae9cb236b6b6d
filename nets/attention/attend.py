"""The layer that inserts attention into a network."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from nets.attention import layers
from tf_compat import add_arg_scope, slim, tf

# Kinds of attention points: the end of each block, the end of each stage except
# the last, and the last feature map before the classifier.
BLOCK, STAGE, CLASS = 'block', 'stage', 'class'
# The end of each block after the first stage.
LATER = 'later'
# Within a block, at its spatial convolution: before that one's norm, and between
# its activation and the next convolution.
CONV, INNER = 'conv', 'inner'

# Graph collections of all gates and of all variables of attention, in the order
# of the attention points.
GATES = 'attention_gates'
VARIABLES = 'attention_variables'
# Graph collection of the last feature map, the input of the classifier.
LAST_MAP = 'last_feature_map'
# Graph collection of the number of trainable variables at the end of each block,
# from which the depth of a layer is told.
BLOCK_ENDS = 'block_ends'


@dataclasses.dataclass
class Stages:
  """Counts the stages of a network, and its blocks, while it is built.

  Attributes:
    number: of the stage that is built, from 1.
    block: number of blocks that are built.
  """

  number: int = 1
  block: int = 0


class Module(Protocol):
  """A configured attention module: attention_factory.Attention.

  Attributes:
    name: the module's name, which is its variable scope.
    tag: short form of the name for scopes.
    places: kinds of attention points where it is inserted.
  """

  @property
  def name(self) -> str: ...
  @property
  def tag(self) -> str: ...
  @property
  def places(self) -> Any: ...

  def __call__(self, net: tf.Tensor) -> tuple[tf.Tensor, Sequence[tf.Tensor]]:
    """Returns the gated map and the gates."""


@add_arg_scope
def attend(
  net: tf.Tensor,
  module: Module | None = None,
  weights_regularizer: Callable | None = None,
  stages: Stages | None = None,
  scope: str | None = None,
  at: str | tuple[str, ...] = BLOCK,
) -> tf.Tensor:
  """module(net), or net if attention is off or not placed at this point.

  Networks pass net, scope and at; nets_factory sets the other arguments by an
  arg scope. Before the classifier, the result is net + module(net).

  Args:
    net: feature map, [N, H, W, C].
    module: attention_factory.Attention; None disables attention.
    weights_regularizer: regularizer of the module's kernels.
    stages: the network's count of stages, which a STAGE point continues.
    scope: variable scope, in which {name} and {tag} are replaced by the
      module's; None is '{name}'.
    at: kind of the attention point, BLOCK, STAGE, CLASS, INNER or CONV, or
      several of them. BLOCK is LATER too, after the first stage.

  Returns:
    The gated feature map, [N, H, W, C].
  """
  points = (at,) if isinstance(at, str) else at
  stages = stages or Stages()
  if BLOCK in points and stages.number > 1:
    points = (*points, LATER)
  if module is not None and module.places.intersection(points):
    with _module_arg_scope(weights_regularizer, stages.number):
      net = _apply(net, module, scope, points)
  if BLOCK in points:
    stages.block += 1
    tf.add_to_collection(BLOCK_ENDS, len(tf.trainable_variables()))
  if STAGE in points:
    stages.number += 1
  if CLASS in points:
    tf.add_to_collection(LAST_MAP, net)
  return net


def _apply(
  net: tf.Tensor,
  module: Module,
  scope: str | None,
  points: tuple[str, ...],
) -> tf.Tensor:
  """Returns the gated map, and adds gates and variables to the collections."""
  scope = (scope or '{name}').format(name=module.name, tag=module.tag)
  with tf.variable_scope(scope) as inner:
    gated, gates = module(net)
    net = net + gated if CLASS in points else gated
  variables = tf.get_collection(tf.GraphKeys.MODEL_VARIABLES, f'{inner.name}/')
  for name, members in ((GATES, gates), (VARIABLES, variables)):
    for member in members:
      tf.add_to_collection(name, member)
  return net


def batch_norm(net: tf.Tensor, **kwargs) -> tf.Tensor:
  """Normalizes attend(net): the normalizer of a block's spatial convolution."""
  return slim.batch_norm(attend(net, at=CONV), **kwargs)


@contextlib.contextmanager
def _module_arg_scope(
  weights_regularizer: Callable | None, stage: int
) -> Iterator[None]:
  """Replaces the network's arg scope: slim's defaults, linear layers, L2.

  The network's normalizer, activation, padding and collection of end points do
  not apply to a gate; only its settings of batch norm do.
  """
  batch_norm = slim.arg_scope_func_key(slim.batch_norm)
  settings = slim.current_arg_scope().get(batch_norm, {})
  with (
    slim.arg_scope({batch_norm: settings}),
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      activation_fn=None,
      weights_initializer=slim.variance_scaling_initializer(),
      weights_regularizer=weights_regularizer,
    ),
    slim.arg_scope(
      [layers.model_kernel], weights_regularizer=weights_regularizer
    ),
    slim.arg_scope([layers.stage], number=stage),
  ):
    yield
