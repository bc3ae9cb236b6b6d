"""What the Inception networks share: layers in tables, cells, batch norm.

A network is a table of layers in their order; a layer is a function of the
running tensor. A cell is a layer made of branches, each a list of layers:

  cell(
    'Mixed_5b',
    [conv('Conv2d_0a_1x1', 64)],
    [conv('Conv2d_0a_1x1', 48), conv('Conv2d_0b_5x5', 64)],
    [avg_pool('AvgPool_0a_3x3'), conv('Conv2d_0b_1x1', 32)],
  )

A layer's scope is its end point, and tells its kernel.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nets import classifier
from nets.attention.attend import STAGE, attend
from nets.network import EndPoints
from tf_compat import slim, tf

Layer = Callable[[tf.Tensor], tf.Tensor]
Branches = Sequence[Sequence[Layer]]


def conv(scope: str, depth: int, kernel: int | None = None, **kwargs) -> Layer:
  """A convolution; its scope tells its kernel: 'Conv2d_0b_1x7'."""
  sides = kernel or _sides(scope)
  return functools.partial(
    slim.conv2d, num_outputs=depth, kernel_size=sides, scope=scope, **kwargs
  )


def max_pool(scope: str, **kwargs) -> Layer:
  """Maximum of a window, which its scope tells: 'MaxPool_0a_3x3'."""
  return functools.partial(
    slim.max_pool2d, kernel_size=_sides(scope), scope=scope, **kwargs
  )


def avg_pool(scope: str, **kwargs) -> Layer:
  """Mean of a window, without its padding: 'AvgPool_0a_3x3'."""
  return functools.partial(
    slim.avg_pool2d, kernel_size=_sides(scope), scope=scope, **kwargs
  )


def fork(*layers: Layer) -> Layer:
  """Each layer of the same net, concatenated."""
  return lambda net: tf.concat([layer(net) for layer in layers], 3)


def _sides(scope: str) -> list[int]:
  """'Conv2d_0b_1x7' -> [1, 7]."""
  return [int(side) for side in scope.rpartition('_')[2].split('x')]


def chain(
  net: tf.Tensor,
  layers: Iterable[Layer],
  end_points: EndPoints | None = None,
) -> tf.Tensor:
  """One layer after another; each is the end point of its scope."""
  for layer in layers:
    net = layer(net)
    if end_points is not None:
      end_points[layer.keywords['scope']] = net
  return net


def branches(scope: str, *chains: Sequence[Layer]) -> Layer:
  """The layer of chains side by side, as concatenate() says."""
  return functools.partial(_branches, chains=chains, scope=scope)


def cell(scope: str, *chains: Sequence[Layer]) -> Layer:
  """Branches, then attention in a scope beside theirs: Mixed_5b_CBAM."""
  return functools.partial(_cell, chains=chains, scope=scope)


def stage_end(scope: str) -> Layer:
  """Where the stage ends that a cell closes: attention of whole stages."""
  return functools.partial(_stage_end, scope=scope)


def concatenate(net: tf.Tensor, chains: Branches) -> tf.Tensor:
  """Chains of the same net, in Branch_0, Branch_1, …, concatenated."""
  outputs = []
  for number, layers in enumerate(chains):
    with tf.variable_scope(f'Branch_{number}'):
      outputs.append(chain(net, layers))
  return tf.concat(outputs, 3)


def _branches(net: tf.Tensor, chains: Branches, scope: str) -> tf.Tensor:
  with tf.variable_scope(scope):
    return concatenate(net, chains)


def _cell(net: tf.Tensor, chains: Branches, scope: str) -> tf.Tensor:
  return attend(_branches(net, chains, scope), scope=f'{scope}_{{tag}}')


def _stage_end(net: tf.Tensor, scope: str) -> tf.Tensor:
  return attend(net, scope=f'{scope}_{{tag}}', at=STAGE)


def auxiliary_pooled(net: tf.Tensor, scope: str) -> tf.Tensor:
  """Mean of 5x5 windows at stride 3, from which auxiliary logits are made."""
  window = classifier.fit_window(net, 5)
  return slim.avg_pool2d(net, window, 3, padding='VALID', scope=scope)


def single_place(net: tf.Tensor) -> tf.Tensor:
  """Mean over space, unless there is one place already, [N, 1, 1, C]."""
  if net.shape[1:3] == [1, 1]:
    return net
  return tf.reduce_mean(net, [1, 2], keepdims=True)


def auxiliary_logits(
  net: tf.Tensor, num_classes: int, scopes: Sequence[str]
) -> tf.Tensor:
  """Pooled, 1x1 and 5x5 convolutions, fully connected: logits from halfway.

  The 5x5 kernel is as small as the map where that is smaller, as slim has it;
  on a larger map its outcome is averaged, so that the variables fit.
  """
  pool, conv1, conv2, logits = scopes
  with tf.variable_scope('AuxLogits'):
    net = auxiliary_pooled(net, pool)
    net = slim.conv2d(net, 128, 1, scope=conv1)
    sides = classifier.fit_window(net, 5)
    net = slim.conv2d(net, 768, sides, padding='VALID', scope=conv2)
    net = slim.flatten(single_place(net))
    return slim.fully_connected(
      net, num_classes, activation_fn=None, scope=logits
    )


def cell_scope() -> Any:
  """The arg scope of cells: stride 1, as large as before."""
  return slim.arg_scope(
    [slim.conv2d, slim.max_pool2d, slim.avg_pool2d], stride=1, padding='SAME'
  )


def inception_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Convolution, fused batch norm (decay 0.9997, epsilon 1e-3), relu; L2."""
  with (
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      weights_regularizer=slim.l2_regularizer(weight_decay),
    ),
    slim.arg_scope(
      [slim.conv2d],
      weights_initializer=slim.variance_scaling_initializer(),
      normalizer_fn=slim.batch_norm,
    ),
    slim.arg_scope(
      [slim.batch_norm], decay=0.9997, epsilon=0.001, fused=True
    ) as scope,
  ):
    return scope
