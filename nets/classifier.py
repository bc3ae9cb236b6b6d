"""What several families end in: attention, pooling, dropout, logits.

slim pools with a fixed window, so that images larger than a network's own
leave more than one place, which cannot be squeezed; there global_pool=None
pools the whole map instead.
"""

from collections.abc import Sequence

from nets.attention.attend import CLASS, attend
from nets.network import EndPoints
from tf_compat import slim, tf


def fit_window(net: tf.Tensor, side: int) -> list[int]:
  """side x side, or the map itself where it is known to be smaller."""
  return [min(side, known or side) for known in net.shape[1:3].as_list()]


def _needs_global_pool(
  net: tf.Tensor, side: int, global_pool: bool | None, squeezed: bool
) -> bool:
  """What is asked, or else whether a window leaves more than one place."""
  if global_pool is not None:
    return global_pool
  return squeezed and fit_window(net, side) != net.shape[1:3].as_list()


def _global_mean(net: tf.Tensor) -> tf.Tensor:
  """Mean over space, [N, 1, 1, C]."""
  return tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')


def window_pooled(
  net: tf.Tensor,
  num_classes: int | None,
  dropout_keep_prob: float,
  global_pool: bool | None,
  spatial_squeeze: bool,
  scopes: Sequence[str],
  side: int = 7,
  stride: int = 2,
  keep_prelogits: bool = False,
) -> tuple[tf.Tensor, EndPoints]:
  """Mean of a window, dropout, 1x1 convolution to the logits, softmax.

  Args:
    net: last feature map, [N, H, W, C].
    num_classes: 0 or None returns the pooled features.
    dropout_keep_prob: share of the features kept in training.
    global_pool: pool the whole map, not a window; None: only where the logits
      could not be squeezed otherwise.
    spatial_squeeze: whether logits are [N, num_classes], not [N, 1, 1, …].
    scopes: of the pool (its end point too), the dropout and the convolution.
    side: of the window, pixels of the map.
    stride: of the window on larger maps.
    keep_prelogits: whether what dropout leaves is an end point.

  Returns:
    Logits (or features), and the end points of this part.
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
      net = slim.avg_pool2d(
        net, window, stride, padding='VALID', scope=pool_scope
      )
      end_points[pool_scope] = net
    if not num_classes:
      return net, end_points
    net = slim.dropout(net, dropout_keep_prob, scope=dropout_scope)
    if keep_prelogits:
      end_points['PreLogits'] = net  # [N, 1, 1, C]
    net = slim.conv2d(
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


def globally_pooled(
  net: tf.Tensor, num_classes: int | None, dropout_keep_prob: float
) -> tuple[tf.Tensor, EndPoints]:
  """Mean over space, dropout, fully connected logits, softmax."""
  end_points = {}
  net = attend(net, at=CLASS)
  with tf.variable_scope('Logits'):
    net = end_points['global_pool'] = _global_mean(net)
    if not num_classes:
      return net, end_points
    net = slim.flatten(slim.dropout(net, dropout_keep_prob, scope='Dropout'))
    end_points['PreLogitsFlatten'] = net  # [N, C]
    net = slim.fully_connected(
      net, num_classes, activation_fn=None, scope='Logits'
    )
  end_points['Logits'] = net  # [N, num_classes]
  end_points['Predictions'] = slim.softmax(net, scope='Predictions')
  return net, end_points


def pooled_then_convolved(
  net: tf.Tensor,
  num_classes: int | None,
  global_pool: bool,
  spatial_squeeze: bool,
  collection: str,
  scope: str,
) -> tuple[tf.Tensor, EndPoints]:
  """Mean over space, 1x1 convolution to the logits, softmax.

  Args:
    net: last feature map, [N, H, W, C].
    num_classes: 0 or None returns the pooled features.
    global_pool: whether to take the mean; False leaves a map of logits, which
      spatial_squeeze=False has to allow.
    spatial_squeeze: whether logits are [N, num_classes], not [N, 1, 1, …].
    collection: of the end points that the network's layers were put into.
    scope: the network's.

  Returns:
    Logits (or features), and all end points of the network.
  """
  end_points = {}
  net = attend(net, at=CLASS)
  if global_pool:
    net = tf.reduce_mean(net, [1, 2], keepdims=True, name='pool5')
    end_points['global_pool'] = net  # [N, 1, 1, C]
  if num_classes:
    net = slim.conv2d(
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
  inner = slim.utils.convert_collection_to_dict(collection)
  return net, {**inner, **end_points}


def convolved(
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
  """Fully connected layers as convolutions: fc6, fc7, fc8, dropout between.

  Args:
    net: last feature map, [N, H, W, C].
    num_classes: 0 or None returns the features of fc7.
    is_training: whether dropout is on.
    dropout_keep_prob: share of fc6 and of fc7 kept in training.
    global_pool: average fc7 over space; None: only where the logits could not
      be squeezed otherwise.
    spatial_squeeze: whether logits are [N, num_classes], not [N, H, W, …].
    side: of fc6's kernel.
    width: of fc6.
    padding: of fc6; 'SAME' leaves a map as large as net.

  Returns:
    Logits (or features), and the end points of this part.
  """
  end_points = {}
  squeezed = bool(num_classes and spatial_squeeze)

  def dropout(net: tf.Tensor, scope: str) -> tf.Tensor:
    return slim.dropout(
      net, dropout_keep_prob, is_training=is_training, scope=scope
    )

  net = attend(net, at=CLASS)
  net = slim.conv2d(net, width, side, padding=padding, scope='fc6')
  end_points['fc6'] = net
  net = slim.conv2d(dropout(net, 'dropout6'), 4096, 1, scope='fc7')
  end_points['fc7'] = net
  if _needs_global_pool(net, 1, global_pool, squeezed):
    net = end_points['global_pool'] = _global_mean(net)
  if not num_classes:
    return net, end_points
  net = slim.conv2d(
    dropout(net, 'dropout7'),
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


def scoped(scope: str, end_points: EndPoints) -> EndPoints:
  """'conv1' -> 'vgg_16/conv1', as slim's collections name end points."""
  return {
    name if name == 'global_pool' else f'{scope}/{name}': net
    for name, net in end_points.items()
  }
