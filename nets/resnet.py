"""What both versions of ResNet share: root, blocks of units, classifier.

A unit is unit(net, depth, stride, rate, end_points) -> net of `depth`
channels. The last unit of a block strides, not the first of the next: slim's
choice, which its checkpoints carry.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from errors import UserError
from nets.attention.attend import CLASS, STAGE, attend
from nets.network import EndPoints
from tf_compat import slim, tf

# Units in each of the four blocks, by the number of layers.
UNITS = {
  50: (3, 4, 6, 3),
  101: (3, 4, 23, 3),
  152: (3, 8, 36, 3),
  200: (3, 24, 36, 3),
}
ROOT_STRIDE = 4


def conv2d_same(
  net: tf.Tensor, depth: int, kernel_size: int, stride: int, rate: int, **kwargs
) -> tf.Tensor:
  """A convolution padded alike on both sides whatever its stride.

  TensorFlow's own SAME pads an even side unevenly when it strides, and the
  features would shift against those of the same network run denser.
  """
  if stride == 1:
    return slim.conv2d(net, depth, kernel_size, rate=rate, **kwargs)
  total = rate * (kernel_size - 1)
  margin = [total // 2, total - total // 2]
  net = tf.pad(net, [[0, 0], margin, margin, [0, 0]])
  return slim.conv2d(
    net, depth, kernel_size, stride, rate=rate, padding='VALID', **kwargs
  )


def subsample(net: tf.Tensor, stride: int) -> tf.Tensor:
  """Every stride-th pixel of every stride-th row."""
  if stride == 1:
    return net
  return slim.max_pool2d(net, 1, stride, scope='shortcut')


def root(net: tf.Tensor, **kwargs) -> tf.Tensor:
  """7x7 convolution and 3x3 pooling, each at stride 2."""
  net = conv2d_same(net, 64, 7, stride=2, rate=1, scope='conv1', **kwargs)
  return slim.max_pool2d(net, 3, 2, scope='pool1')


def blocks(
  net: tf.Tensor,
  unit: Callable[..., tf.Tensor],
  units: Sequence[int],
  output_stride: int | None,
  end_points: str,
) -> tf.Tensor:
  """The blocks of units; block b has 256 · 2^(b-1) channels."""
  steps = _strides_and_rates(units, output_stride)
  for number, count in enumerate(units, start=1):
    with tf.variable_scope(f'block{number}') as block:
      for index in range(1, count + 1):
        stride, rate = next(steps)
        with tf.variable_scope(f'unit_{index}'):
          depth = 256 * 2 ** (number - 1)
          net = unit(net, depth, stride, rate, end_points)
      if number < len(units):
        net = attend(net, at=STAGE)
      slim.utils.collect_named_outputs(end_points, block.name, net)
  return net


def _strides_and_rates(
  units: Sequence[int], output_stride: int | None
) -> Iterator[tuple[int, int]]:
  """Each unit's (stride, dilation): from output_stride on, dilate instead."""
  nominal = ROOT_STRIDE * 2 ** (len(units) - 1)
  reachable = [2**n for n in range(2, nominal.bit_length())]
  if output_stride not in (None, *reachable):
    raise UserError(
      f'output_stride {output_stride} cannot be reached: take one of '
      f'{", ".join(map(str, reachable))}, or None for {nominal}.'
    )
  current, rate = ROOT_STRIDE, 1
  for number, count in enumerate(units, start=1):
    yield from [(1, rate)] * (count - 1)
    stride = 2 if number < len(units) else 1
    if current == output_stride:
      yield 1, rate
      rate *= stride
    else:
      yield stride, rate
      current *= stride


def classify(
  net: tf.Tensor,
  num_classes: int | None,
  global_pool: bool,
  spatial_squeeze: bool,
  collection: str,
  scope: str,
) -> tuple[tf.Tensor, EndPoints]:
  """Global mean, 1x1 convolution to the logits, softmax; all end points."""
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
      scope='logits',
    )
    if spatial_squeeze:
      net = tf.squeeze(net, [1, 2], name='SpatialSqueeze')  # [N, num_classes]
      end_points[f'{scope}/spatial_squeeze'] = net
    end_points['predictions'] = slim.softmax(net, scope='predictions')
  inner = slim.utils.convert_collection_to_dict(collection)
  return net, {**inner, **end_points}


def resnet_arg_scope(
  weight_decay: float = 0.0001, batch_norm_decay: float | None = None
) -> dict[str, Any]:
  """Convolution, fused batch norm (decay 0.997, epsilon 1e-5), relu; L2."""
  batch_norm = {
    'decay': 0.997 if batch_norm_decay is None else batch_norm_decay,
    'epsilon': 1e-5,
    'scale': True,
    'fused': True,
  }
  with (
    slim.arg_scope(
      [slim.conv2d],
      weights_initializer=slim.variance_scaling_initializer(),
      weights_regularizer=slim.l2_regularizer(weight_decay),
      activation_fn=tf.nn.relu,
      normalizer_fn=slim.batch_norm,
    ),
    slim.arg_scope([slim.batch_norm], **batch_norm),
    slim.arg_scope([slim.max_pool2d], padding='SAME') as scope,
  ):
    return scope
