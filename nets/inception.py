"""The common part of the Inception networks: tables of layers, cells, heads.

A network is a table of layers in order; a layer is a function of the running
tensor. A cell is a layer that consists of branches, each a list of layers:

  cell(
    'Mixed_5b',
    [conv('Conv2d_0a_1x1', 64)],
    [conv('Conv2d_0a_1x1', 48), conv('Conv2d_0b_5x5', 64)],
    [avg_pool('AvgPool_0a_3x3'), conv('Conv2d_0b_1x1', 32)],
  )

A layer's scope is also the name of its end point and ends in its kernel size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from nets import heads, layers
from nets.attention.attend import STAGE, attend
from nets.spec import EndPoints
from nets.stochastic import dropout
from tf_compat import slim, tf

# functools.partial of a function of the net; its keyword scope names it.
Layer: TypeAlias = 'functools.partial[tf.Tensor]'
Branches: TypeAlias = 'Sequence[Sequence[Layer]]'


def conv(
  scope: str,
  depth: int,
  kernel: int | None = None,
  stddev: float | None = None,
  **kwargs,
) -> Layer:
  """Returns a convolution with the kernel size of its scope: 'Conv2d_0b_1x7'.

  Args:
    scope: variable scope.
    depth: channels of the output.
    kernel: height and width of the kernel, if they differ from the scope's.
    stddev: standard deviation of the initial weights; None for the arg scope's
      initializer.
    **kwargs: further arguments of layers.conv2d.
  """
  return functools.partial(
    _conv,
    num_outputs=depth,
    kernel_size=kernel or _sides(scope),
    stddev=stddev,
    scope=scope,
    **kwargs,
  )


def max_pool(scope: str, **kwargs) -> Layer:
  """Returns max pooling with the window of its scope: 'MaxPool_0a_3x3'."""
  return functools.partial(
    _pool, kind='max', kernel_size=_sides(scope), scope=scope, **kwargs
  )


def avg_pool(scope: str, **kwargs) -> Layer:
  """Returns average pooling with the window of its scope: 'AvgPool_0a_3x3'."""
  return functools.partial(
    _pool, kind='avg', kernel_size=_sides(scope), scope=scope, **kwargs
  )


def _fork(net: tf.Tensor, layers: Sequence[Layer]) -> tf.Tensor:
  return tf.concat([layer(net) for layer in layers], 3)


def _conv(net: tf.Tensor, stddev: float | None, **kwargs) -> tf.Tensor:
  if stddev is not None:
    kwargs['weights_initializer'] = tf.truncated_normal_initializer(
      stddev=stddev
    )
  return layers.conv2d(net, **kwargs)


def _pool(net: tf.Tensor, kind: str, **kwargs) -> tf.Tensor:
  pool = {'avg': layers.avg_pool2d, 'max': layers.max_pool2d}[kind]
  return pool(net, **kwargs)


def fork(*layers: Layer) -> Layer:
  """Returns a layer that concatenates the outputs of layers of the same net."""
  return functools.partial(_fork, layers=layers)


def _sides(scope: str) -> list[int]:
  """Returns the kernel size of a scope: [1, 7] for 'Conv2d_0b_1x7'."""
  return [int(side) for side in scope.rpartition('_')[2].split('x')]


def chain(
  net: tf.Tensor,
  layers: Iterable[Layer],
  end_points: EndPoints | None = None,
) -> tf.Tensor:
  """Applies layers one after another, and adds their end points by scope."""
  for layer in layers:
    net = layer(net)
    if end_points is not None:
      end_points[layer.keywords['scope']] = net
  return net


def branches(scope: str, *chains: Sequence[Layer]) -> Layer:
  """Returns the layer concatenate(net, chains)."""
  return functools.partial(_branches, chains=chains, scope=scope)


def cell(scope: str, *chains: Sequence[Layer]) -> Layer:
  """Returns branches with attention in a scope such as Mixed_5b_CBAM."""
  return functools.partial(_cell, chains=chains, scope=scope)


def stage_end(scope: str) -> Layer:
  """Returns the attention point of a stage that ends with the cell `scope`."""
  return functools.partial(_stage_end, scope=scope)


def concatenate(net: tf.Tensor, chains: Branches) -> tf.Tensor:
  """Concatenates the outputs of chains, in scopes Branch_0, Branch_1, …."""
  outputs = []
  for number, branch in enumerate(chains):
    with tf.variable_scope(f'Branch_{number}'):
      outputs.append(chain(net, branch))
  return tf.concat(outputs, 3)


def _branches(net: tf.Tensor, chains: Branches, scope: str) -> tf.Tensor:
  with tf.variable_scope(scope):
    return concatenate(net, chains)


def _cell(net: tf.Tensor, chains: Branches, scope: str) -> tf.Tensor:
  return attend(_branches(net, chains, scope), scope=f'{scope}_{{tag}}')


def _stage_end(net: tf.Tensor, scope: str) -> tf.Tensor:
  return attend(net, scope=f'{scope}_{{tag}}', at=STAGE)


def auxiliary_pool(net: tf.Tensor, scope: str) -> tf.Tensor:
  """Averages 5x5 windows at stride 3: the first layer of auxiliary heads."""
  window = heads.fit_window(net, 5)
  return layers.avg_pool2d(net, window, 3, padding='VALID', scope=scope)


def spatial_mean(net: tf.Tensor) -> tf.Tensor:
  """Returns the mean over space, [N, 1, 1, C], or net if that is its shape."""
  if net.shape[1:3] == [1, 1]:
    return net
  return tf.reduce_mean(net, [1, 2], keepdims=True)


def auxiliary_logits(
  end_points: EndPoints, num_classes: int, source: str, scopes: Sequence[str]
) -> tf.Tensor:
  """Adds an auxiliary head: pooling, two convolutions, a fully connected layer.

  The second kernel is 5x5, or as small as the map, as in TF-Slim. Its output
  on larger maps is averaged, so that the variables are the same.

  Args:
    end_points: end points of the network.
    num_classes: width of the logits.
    source: name of the end point that the head is attached to.
    scopes: scopes of the four layers.

  Returns:
    [N, num_classes].
  """
  pool, conv1, conv2, logits = scopes
  with tf.variable_scope('AuxLogits'):
    net = auxiliary_pool(end_points[source], pool)
    net = layers.conv2d(net, 128, 1, scope=conv1)
    sides = heads.fit_window(net, 5)
    net = layers.conv2d(net, 768, sides, padding='VALID', scope=conv2)
    net = slim.flatten(spatial_mean(net))
    return slim.fully_connected(
      net, num_classes, activation_fn=None, scope=logits
    )


def cell_scope() -> Any:
  """Opens the arg scope of layers: stride 1 and SAME padding by default."""
  return slim.arg_scope(
    [layers.conv2d, layers.max_pool2d, layers.avg_pool2d],
    stride=1,
    padding='SAME',
  )


def inception(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  body: Callable[..., tf.Tensor],
  head: Callable[..., tuple[tf.Tensor, EndPoints]],
  scope: str,
  auxiliary: Callable[[EndPoints, int], tf.Tensor] | None = None,
  dropout_keep_prob: float = 0.8,
  reuse: bool | None = None,
  **head_options,
) -> tuple[tf.Tensor, EndPoints]:
  """Builds the body, the auxiliary logits and the classifier.

  Args:
    images: [N, H, W, C].
    num_classes: width of the logits; 0 or None returns the pooled features.
    is_training: whether dropout is active and batch norm uses the batch's
      statistics.
    body: body(images, end_points=…) -> last feature map; it adds end points.
    head: head(net, num_classes, dropout_keep_prob, **head_options) -> logits,
      end points.
    scope: variable scope.
    auxiliary: auxiliary(end_points, num_classes) -> end point AuxLogits.
    dropout_keep_prob: probability that dropout keeps a feature in training.
    reuse: whether to reuse the variables created earlier under `scope`.
    **head_options: further arguments of the head: with heads.window_pool_head,
      spatial_squeeze and global_pool.

  Returns:
    Logits (or features) and the end points by name.
  """
  end_points: EndPoints = {}
  with (
    tf.variable_scope(scope, reuse=reuse),
    slim.arg_scope([slim.batch_norm, dropout], is_training=is_training),
  ):
    with cell_scope():
      net = body(images, end_points=end_points)
    if auxiliary and num_classes:
      end_points['AuxLogits'] = auxiliary(end_points, num_classes)
    net, last = head(net, num_classes, dropout_keep_prob, **head_options)
  return net, {**end_points, **last}


def inception_arg_scope(weight_decay: float) -> dict[str, Any]:
  """Returns an arg scope: fused batch norm (decay 0.9997, ε 1e-3), relu, L2."""
  with (
    slim.arg_scope(
      [layers.conv2d, slim.fully_connected],
      weights_regularizer=slim.l2_regularizer(weight_decay),
    ),
    slim.arg_scope(
      [layers.conv2d],
      weights_initializer=slim.variance_scaling_initializer(),
      normalizer_fn=slim.batch_norm,
    ),
    slim.arg_scope(
      [slim.batch_norm], decay=0.9997, epsilon=0.001, fused=True
    ) as scope,
  ):
    return scope
