"""Classifier heads: attention, pooling, dropout and logits.

TF-Slim pools with a fixed window. On images larger than the network's default,
the pooled map has more than one pixel and cannot be squeezed; global_pool=None
then averages over the full map instead.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from nets import layers
from nets.attention.attend import CLASS, attend
from nets.spec import EndPoints
from nets.stochastic import dropout
from tf_compat import slim, tf


def fit_window(net: tf.Tensor, side: int) -> list[int]:
  """Returns [side, side], but at most the map's sides where they are known."""
  return [min(side, size or side) for size in net.shape[1:3].as_list()]


def _needs_global_pool(
  net: tf.Tensor, side: int, global_pool: bool | None, squeezed: bool
) -> bool:
  """Whether to pool globally; None does so only if squeezing requires it."""
  if global_pool is not None:
    return global_pool
  return squeezed and fit_window(net, side) != net.shape[1:3].as_list()


def _global_mean(net: tf.Tensor) -> tf.Tensor:
  """Returns the mean over space, [N, 1, 1, C]."""
  return tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')


def window_pool_head(
  net: tf.Tensor,
  num_classes: int | None,
  dropout_keep_prob: float,
  scopes: Sequence[str],
  global_pool: bool | None = None,
  spatial_squeeze: bool = True,
  side: int = 7,
  stride: int = 2,
  keep_prelogits: bool = False,
) -> tuple[tf.Tensor, EndPoints]:
  """Adds average pooling of a window, dropout, 1x1 convolution and softmax.

  Args:
    net: last feature map, [N, H, W, C].
    num_classes: width of the logits; 0 or None returns the pooled features.
    dropout_keep_prob: probability that dropout keeps a feature in training.
    scopes: of the pooling (also its end point), dropout and convolution.
    global_pool: whether to average over the full map instead of a window; None
      does so only if the logits could not be squeezed otherwise.
    spatial_squeeze: whether to return logits [N, num_classes] instead of
      [N, 1, 1, num_classes].
    side: height and width of the window, pixels of the map.
    stride: stride of the window on larger maps.
    keep_prelogits: whether the output of the dropout is an end point.

  Returns:
    Logits (or features), and the end points of the head.
  """
  end_points = {}
  pool_scope, dropout_scope, logits_scope = scopes
  squeezed = bool(num_classes and spatial_squeeze)
  net = attend(net, at=CLASS)
  with tf.variable_scope('Logits'):
    if _needs_global_pool(net, side, global_pool, squeezed):
      net = end_points['global_pool'] = _global_mean(net)
    else:
      window = fit_window(net, side)
      net = layers.avg_pool2d(
        net, window, stride, padding='VALID', scope=pool_scope
      )
      end_points[pool_scope] = net
    if not num_classes:
      return net, end_points
    net = dropout(net, dropout_keep_prob, scope=dropout_scope)
    if keep_prelogits:
      end_points['PreLogits'] = net  # [N, 1, 1, C]
    net = layers.conv2d(
      net,
      num_classes,
      1,
      activation_fn=None,
      normalizer_fn=None,
      scope=logits_scope,
    )
    if spatial_squeeze:
      net = tf.squeeze(net, [1, 2], name='SpatialSqueeze')
  end_points['Logits'] = net  # [N, num_classes]
  end_points['Predictions'] = slim.softmax(net, scope='Predictions')
  return net, end_points


def global_pool_head(
  net: tf.Tensor, num_classes: int | None, dropout_keep_prob: float
) -> tuple[tf.Tensor, EndPoints]:
  """Adds the mean over space, dropout, a fully connected layer and softmax.

  Args:
    net: last feature map, [N, H, W, C].
    num_classes: width of the logits; 0 or None returns the pooled features.
    dropout_keep_prob: probability that dropout keeps a feature in training.

  Returns:
    Logits [N, num_classes] (or features [N, 1, 1, C]), and the end points of
    the head.
  """
  end_points = {}
  net = attend(net, at=CLASS)
  with tf.variable_scope('Logits'):
    net = end_points['global_pool'] = _global_mean(net)
    if not num_classes:
      return net, end_points
    net = slim.flatten(dropout(net, dropout_keep_prob, scope='Dropout'))
    end_points['PreLogitsFlatten'] = net  # [N, C]
    net = slim.fully_connected(
      net, num_classes, activation_fn=None, scope='Logits'
    )
  end_points['Logits'] = net  # [N, num_classes]
  end_points['Predictions'] = slim.softmax(net, scope='Predictions')
  return net, end_points


def pool_conv_head(
  net: tf.Tensor,
  num_classes: int | None,
  global_pool: bool,
  spatial_squeeze: bool,
  collection: str,
  scope: str,
) -> tuple[tf.Tensor, EndPoints]:
  """Adds the mean over space, a 1x1 convolution to the logits and softmax.

  Args:
    net: last feature map, [N, H, W, C].
    num_classes: width of the logits; 0 or None returns the pooled features.
    global_pool: whether to average over space; False returns a map of logits
      and requires spatial_squeeze=False.
    spatial_squeeze: whether to return logits [N, num_classes] instead of
      [N, 1, 1, num_classes].
    collection: graph collection with the network's end points.
    scope: variable scope of the network.

  Returns:
    Logits (or features), and all end points of the network.
  """
  end_points = {}
  net = attend(net, at=CLASS)
  if global_pool:
    net = tf.reduce_mean(net, [1, 2], keepdims=True, name='pool5')
    end_points['global_pool'] = net  # [N, 1, 1, C]
  if num_classes:
    net = layers.conv2d(
      net,
      num_classes,
      1,
      activation_fn=None,
      normalizer_fn=None,
      biases_initializer=tf.zeros_initializer(),
      scope='logits',
    )
    if spatial_squeeze:
      net = tf.squeeze(net, [1, 2], name='SpatialSqueeze')  # [N, num_classes]
      end_points[f'{scope}/spatial_squeeze'] = net
    end_points['predictions'] = slim.softmax(net, scope='predictions')
  collected = slim.utils.convert_collection_to_dict(collection)
  return net, {**collected, **end_points}


def fc_conv_head(
  net: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  dropout_keep_prob: float,
  global_pool: bool | None,
  spatial_squeeze: bool,
  side: int,
  width: int = 4096,
  padding: str = 'VALID',
) -> tuple[tf.Tensor, EndPoints]:
  """Adds fully connected layers fc6 to fc8 as convolutions, with dropout.

  Args:
    net: last feature map, [N, H, W, C].
    num_classes: width of the logits; 0 or None returns the features of fc7.
    is_training: whether dropout is active.
    dropout_keep_prob: probability that dropout keeps a feature of fc6 or fc7.
    global_pool: whether to average fc7 over space; None does so only if the
      logits could not be squeezed otherwise.
    spatial_squeeze: whether to return logits [N, num_classes] instead of
      [N, H, W, num_classes].
    side: height and width of fc6's kernel.
    width: output channels of fc6.
    padding: padding of fc6; 'SAME' preserves the height and width of net.

  Returns:
    Logits (or features), and the end points of the head.
  """
  end_points = {}
  squeezed = bool(num_classes and spatial_squeeze)
  drop = functools.partial(
    dropout, keep_prob=dropout_keep_prob, is_training=is_training
  )

  net = attend(net, at=CLASS)
  net = layers.conv2d(net, width, side, padding=padding, scope='fc6')
  end_points['fc6'] = net
  net = drop(net, scope='dropout6')
  net = layers.conv2d(net, 4096, 1, scope='fc7')
  end_points['fc7'] = net
  if _needs_global_pool(net, 1, global_pool, squeezed):
    net = end_points['global_pool'] = _global_mean(net)
  if not num_classes:
    return net, end_points
  net = layers.conv2d(
    drop(net, scope='dropout7'),
    num_classes,
    1,
    activation_fn=None,
    biases_initializer=tf.zeros_initializer(),
    scope='fc8',
  )
  if spatial_squeeze:
    net = tf.squeeze(net, [1, 2], name='fc8/squeezed')
  end_points['fc8'] = net
  return net, end_points


def with_prefix(scope: str, end_points: EndPoints) -> EndPoints:
  """Prefixes the names of end points, as TF-Slim: 'conv1' -> 'vgg_16/conv1'."""
  return {
    name if name == 'global_pool' else f'{scope}/{name}': net
    for name, net in end_points.items()
  }
