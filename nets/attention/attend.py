"""The one place where attention enters a network."""

import contextlib
from collections.abc import Callable, Iterator

from nets.attention import layers
from tf_compat import slim, tf

# Kinds of points in a network: the end of each block, of each stage but the
# last, and the last feature map before the classifier.
BLOCK, STAGE, CLASS = 'block', 'stage', 'class'

# Graph collections of every gate and of every variable behind them, in the
# order of the network's points.
GATES = 'attention_gates'
VARIABLES = 'attention_variables'
# And of the last feature map, which the classifier sees.
LAST_MAP = 'last_feature_map'


@slim.add_arg_scope
def attend(
  net: tf.Tensor,
  module: Callable | None = None,
  weights_regularizer: Callable | None = None,
  scope: str | None = None,
  at: str | tuple[str, ...] = BLOCK,
) -> tf.Tensor:
  """module(net), or net itself where attention is off or elsewhere.

  A network calls it with net, scope and at alone; nets_factory gives the rest
  by an arg scope. Before the classifier it is added: net + module(net).

  Args:
    net: feature map, [N, H, W, C].
    module: attention_factory.Attention, or None for off.
    weights_regularizer: for the module's kernels.
    scope: variable scope, in which {name} and {tag} become the module's;
      None is '{name}'.
    at: what ends here: BLOCK, STAGE, CLASS, or several of them.

  Returns:
    The gated feature map, [N, H, W, C].
  """
  points = (at,) if isinstance(at, str) else at
  if module is not None and module.places.intersection(points):
    net = _attended(net, module, weights_regularizer, scope, points)
  if CLASS in points:
    tf.add_to_collection(LAST_MAP, net)
  return net


def _attended(
  net: tf.Tensor,
  module: Callable,
  weights_regularizer: Callable | None,
  scope: str | None,
  points: tuple[str, ...],
) -> tf.Tensor:
  """The feature map gated, its gates and variables noted."""
  scope = (scope or '{name}').format(name=module.name, tag=module.tag)
  with (
    tf.variable_scope(scope) as inside,
    _own_arg_scope(weights_regularizer),
  ):
    gated, gates = module(net)
    net = net + gated if CLASS in points else gated
  made = tf.get_collection(tf.GraphKeys.MODEL_VARIABLES, f'{inside.name}/')
  for name, members in ((GATES, gates), (VARIABLES, made)):
    for member in members:
      tf.add_to_collection(name, member)
  return net


@contextlib.contextmanager
def _own_arg_scope(weights_regularizer: Callable | None) -> Iterator[None]:
  """Leaves the host's arg scope: slim's own defaults, linear, with L2.

  The host's normaliser, activation, padding and collection of end points are
  for its own layers; only how its batch norm trains holds in a gate too.
  """
  batch_norm = slim.arg_scope_func_key(slim.batch_norm)
  host = slim.current_arg_scope().get(batch_norm, {})
  with (
    slim.arg_scope({batch_norm: host}),
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      activation_fn=None,
      weights_initializer=slim.variance_scaling_initializer(),
      weights_regularizer=weights_regularizer,
    ),
    slim.arg_scope(
      [layers.model_kernel], weights_regularizer=weights_regularizer
    ),
  ):
    yield
