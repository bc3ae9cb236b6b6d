"""NASNet-A: a normal and a reduction cell found by search, stacked.

Learning transferable architectures for scalable image recognition, Zoph et
al., 2017: https://arxiv.org/abs/1707.07012

A cell knows seven states: its input and the output of the cell before it,
both brought to the cell's depth, then five sums of two operations on earlier
states. Some of the states, side by side, are its output.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from nets.attention.attend import BLOCK, CLASS, STAGE, attend
from nets.network import EndPoints, Network
from tf_compat import slim, tf


class Term(NamedTuple):
  """One operation of OPERATIONS on one state."""

  operation: str
  state: int


class Cell(NamedTuple):
  """Five sums of two terms, and the states that make the output."""

  sums: tuple[tuple[Term, Term], ...]
  outputs: tuple[int, ...]


NORMAL = Cell(
  sums=(
    (Term('separable_5x5', 0), Term('separable_3x3', 1)),
    (Term('separable_5x5', 1), Term('separable_3x3', 1)),
    (Term('avg_pool_3x3', 0), Term('identity', 1)),
    (Term('avg_pool_3x3', 1), Term('avg_pool_3x3', 1)),
    (Term('separable_3x3', 0), Term('identity', 0)),
  ),
  outputs=(1, 2, 3, 4, 5, 6),
)
REDUCTION = Cell(
  sums=(
    (Term('separable_5x5', 0), Term('separable_7x7', 1)),
    (Term('max_pool_3x3', 0), Term('separable_7x7', 1)),
    (Term('avg_pool_3x3', 0), Term('separable_5x5', 1)),
    (Term('identity', 3), Term('avg_pool_3x3', 2)),
    (Term('separable_3x3', 2), Term('max_pool_3x3', 0)),
  ),
  outputs=(3, 4, 5, 6),
)


@dataclasses.dataclass(frozen=True)
class Config:
  """A variant of NASNet or PNASNet.

  Attributes:
    cells: normal cells; the stem's and the reductions come on top.
    depth: of the first cells' operations; each reduction doubles it.
    stem_depth: of the convolution that sees the images.
    imagenet: whether the stem reduces the images eightfold, with a strided
      convolution and two reducing cells, or leaves their size.
    path_keep_prob: of the last cell's operations at the end of training.
    path_steps: over which operations come to be dropped that often.
    dropout_keep_prob: of the features.
    skip_reduction: whether the cell after a reduction sees the cell two
      before the reduction as its previous one, not the one before.
  """

  cells: int
  depth: int
  stem_depth: int
  imagenet: bool = True
  path_keep_prob: float = 1.0
  path_steps: int = 250_000
  dropout_keep_prob: float = 0.5
  skip_reduction: bool = False

  @property
  def reductions(self) -> tuple[int, int]:
    """The cells at which the map is halved: a third and two thirds in."""
    return self.cells // 3, 2 * self.cells // 3


class State(NamedTuple):
  """A cell's output and how many pixels of the stem's map one of it spans."""

  net: tf.Tensor
  stride: int


# Operations -------------------------------------------------------------------


def normed_conv(
  net: tf.Tensor, depth: int, stride: int, scope: str, norm: str
) -> tf.Tensor:
  """Norm(1x1 convolution)."""
  net = slim.conv2d(net, depth, 1, stride, scope=scope)
  return slim.batch_norm(net, scope=norm)


def separable(
  net: tf.Tensor, depth: int, stride: int, kernel: int
) -> tf.Tensor:
  """Norm(separable convolution(relu)), twice; the first of them strides."""
  size = f'{kernel}x{kernel}'
  for layer in (1, 2):
    net = slim.separable_conv2d(
      tf.nn.relu(net),
      depth,
      kernel,
      stride=stride if layer == 1 else 1,
      scope=f'separable_{size}_{layer}',
    )
    net = slim.batch_norm(net, scope=f'bn_sep_{size}_{layer}')
  return net


def pooled(
  net: tf.Tensor, depth: int, stride: int, pool: Callable[..., tf.Tensor]
) -> tf.Tensor:
  """3x3 pooling that leaves out the padding, then to depth if need be."""
  net = pool(net, 3, stride, padding='SAME')
  if net.shape[-1] == depth:
    return net
  return normed_conv(net, depth, 1, '1x1', 'bn_1')


def identity(net: tf.Tensor, depth: int, stride: int) -> tf.Tensor:
  """The state itself, or norm(1x1 convolution(relu)) where it must change."""
  if stride == 1 and net.shape[-1] == depth:
    return net
  return normed_conv(tf.nn.relu(net), depth, stride, '1x1', 'bn_1')


OPERATIONS = {
  'identity': identity,
  'avg_pool_3x3': functools.partial(pooled, pool=slim.avg_pool2d),
  'max_pool_3x3': functools.partial(pooled, pool=slim.max_pool2d),
  'separable_3x3': functools.partial(separable, kernel=3),
  'separable_5x5': functools.partial(separable, kernel=5),
  'separable_7x7': functools.partial(separable, kernel=7),
}


def halved(net: tf.Tensor, depth: int) -> tf.Tensor:
  """Norm of the pixels at even places beside those at odd ones, 1x1 each."""
  even = net[:, ::2, ::2]
  odd = tf.pad(net, [[0, 0], [0, 1], [0, 1], [0, 0]])[:, 1::2, 1::2]
  half = depth // 2
  net = tf.concat(
    [
      slim.conv2d(even, half, 1, scope='path1_conv'),
      slim.conv2d(odd, depth - half, 1, scope='path2_conv'),
    ],
    axis=3,
  )
  return slim.batch_norm(net, scope='final_path_bn')


def dropped(net: tf.Tensor, keep_prob: float, steps: int) -> tf.Tensor:
  """Net / p or 0, per image, p falling from 1 to keep_prob over the steps."""
  step = tf.cast(tf.train.get_or_create_global_step(), tf.float32)
  keep = 1.0 - tf.minimum(1.0, step / steps) * (1.0 - keep_prob)
  kept = tf.floor(keep + tf.random_uniform([tf.shape(net)[0], 1, 1, 1]))
  return net / keep * kept


# Cells ------------------------------------------------------------------------


class Builder:
  """Makes cells one after another and keeps what they gave.

  Attributes:
    config: the variant.
    is_training: whether operations are dropped.
    cells: how many cells there will be, the stem's and reductions included.
    states: the stem's map and each cell's output.
  """

  def __init__(
    self, config: Config, is_training: bool, cells: int, net: tf.Tensor
  ):
    self.config, self.is_training, self.cells = config, is_training, cells
    self.states = [State(net, 1)]

  @property
  def net(self) -> tf.Tensor:
    """The last cell's output."""
    return self.states[-1].net

  @property
  def before(self) -> State | None:
    """What the last cell's input was, None for the first cell."""
    return self.states[-2] if len(self.states) > 1 else None

  def add(
    self,
    cell: Cell,
    scope: str,
    scale: float,
    stride: int = 1,
    previous: State | None = None,
    ends_stage: bool = False,
  ) -> tf.Tensor:
    """A cell of scale times the config's depth on the last cell's output.

    Args:
      cell: its operations.
      scope: variable scope.
      scale: of the depth.
      stride: of the operations on the cell's two inputs.
      previous: the state beside the last; None for self.before.
      ends_stage: whether the next cell reduces.

    Returns:
      [N, H/stride, W/stride, len(cell.outputs) · depth].
    """
    last, depth = self.states[-1], int(self.config.depth * scale)
    keep_prob = self._path_keep_prob()
    with tf.variable_scope(scope):
      other = _fitted(previous or self.before, last, depth)
      net = normed_conv(tf.nn.relu(last.net), depth, 1, '1x1', 'beginning_bn')
      states = [net, other]
      for index, terms in enumerate(cell.sums):
        with tf.variable_scope(f'comb_iter_{index}'):
          left, right = (
            self._operate(states, term, depth, stride, side, keep_prob)
            for term, side in zip(terms, ('left', 'right'), strict=True)
          )
          states.append(left + right)
      with tf.variable_scope('cell_output'):
        net = _joined(states, cell.outputs, depth)
      net = attend(net, at=(BLOCK, STAGE) if ends_stage else BLOCK)
    self.states.append(State(net, last.stride * stride))
    return net

  def _path_keep_prob(self) -> float:
    """Of the next cell's operations at the end: lower the deeper it is."""
    depth_ratio = len(self.states) / self.cells
    return 1.0 - depth_ratio * (1.0 - self.config.path_keep_prob)

  def _operate(
    self,
    states: list[tf.Tensor],
    term: Term,
    depth: int,
    stride: int,
    scope: str,
    keep_prob: float,
  ) -> tf.Tensor:
    """The term's operation; only those on the cell's inputs stride."""
    stride = stride if term.state < 2 else 1
    with tf.variable_scope(scope):
      net = OPERATIONS[term.operation](states[term.state], depth, stride)
      if self.is_training and keep_prob < 1.0 and term.operation != 'identity':
        net = dropped(net, keep_prob, self.config.path_steps)
    return net


def _fitted(previous: State | None, last: State, depth: int) -> tf.Tensor:
  """The previous state with the last one's size and the cell's depth.

  The first cell has none and takes its input as it is.
  """
  if previous is None:
    return last.net
  if previous.stride != last.stride:
    return halved(tf.nn.relu(previous.net), depth)
  if previous.net.shape[-1] != depth:
    net = tf.nn.relu(previous.net)
    return normed_conv(net, depth, 1, 'prev_1x1', 'prev_bn')
  return previous.net


def _joined(
  states: list[tf.Tensor], outputs: tuple[int, ...], depth: int
) -> tf.Tensor:
  """Those of the states, brought to depth, side by side."""
  nets = []
  for index in outputs:
    net = states[index]
    if net.shape[-1] != depth:
      with tf.variable_scope(f'reduction_{index}'):
        net = normed_conv(net, depth, 1, 'path_conv', 'path_bn')
    nets.append(net)
  return tf.concat(nets, 3)


# Networks ---------------------------------------------------------------------


def stem(
  images: tf.Tensor,
  config: Config,
  is_training: bool,
  cells: int,
  cell: Cell = REDUCTION,
) -> Builder:
  """The first convolution and, for ImageNet, two reducing cells after it."""
  if not config.imagenet:
    net = slim.conv2d(images, config.stem_depth, 3, scope='l1_stem_3x3')
    net = slim.batch_norm(net, scope='l1_stem_bn')  # [N, H, W, stem_depth]
    return Builder(config, is_training, cells, net)
  net = slim.conv2d(
    images, config.stem_depth, 3, 2, padding='VALID', scope='conv0'
  )
  net = slim.batch_norm(net, scope='conv0_bn')  # [N, H/2, W/2, stem_depth]
  builder = Builder(config, is_training, cells, net)
  for index, scale in enumerate((1 / 4, 1 / 2)):
    builder.add(cell, f'cell_stem_{index}', scale, stride=2)
  return builder  # [N, H/8, W/8, …]


def aux_head(net: tf.Tensor, num_classes: int, scope: str) -> tf.Tensor:
  """Logits from the middle of the network, which only training looks at."""
  with tf.variable_scope(scope), tf.variable_scope('aux_logits'):
    net = slim.avg_pool2d(tf.nn.relu(net), 5, 3, padding='VALID')
    net = slim.conv2d(net, 128, 1, scope='proj')
    net = tf.nn.relu(slim.batch_norm(net, scope='aux_bn0'))
    # One kernel as large as the map, so that image sizes share no weights.
    side = net.shape[1:3].as_list()
    net = slim.conv2d(net, 768, side, padding='VALID', scope='Conv')
    net = tf.nn.relu(slim.batch_norm(net, scope='aux_bn1'))
    return slim.fully_connected(slim.flatten(net), num_classes, scope='FC')


def classify(
  net: tf.Tensor, num_classes: int | None, is_training: bool, keep_prob: float
) -> tuple[tf.Tensor, EndPoints]:
  """Relu, attention, mean over space, dropout, one layer to the logits."""
  with tf.variable_scope('final_layer'):
    net = attend(tf.nn.relu(net), at=CLASS)
    net = tf.reduce_mean(net, [1, 2])  # [N, C]
    end_points = {'global_pool': net}
    if not num_classes:
      return net, end_points
    net = slim.dropout(net, keep_prob, is_training=is_training)
    net = slim.fully_connected(net, num_classes, scope='FC')
    end_points['Logits'] = net
    end_points['Predictions'] = slim.softmax(net, scope='predictions')
  return net, end_points


def nasnet(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  config: Config,
  reuse: bool | None = None,
) -> tuple[tf.Tensor, EndPoints]:
  """Stem, three stages of normal cells with a reduction between, classifier.

  Args:
    images: [N, H, W, C]; H and W must be known where is_training.
    num_classes: 0 or None returns the features before the dropout.
    is_training: whether dropout, dropped paths, the batch's statistics and
      the auxiliary head are on.
    config: the variant.
    reuse: whether to share the variables made before.

  Returns:
    Logits [N, num_classes], or features [N, C], and the end points.
  """
  outer = tf.get_variable_scope()
  with (
    tf.variable_scope(outer, reuse=reuse),
    slim.arg_scope([slim.batch_norm], is_training=is_training),
  ):
    count = config.cells + (4 if config.imagenet else 2)
    builder = stem(images, config, is_training, count)
    end_points, scale = {'Stem': builder.net}, 1
    for index in range(config.cells):
      previous = builder.before
      if index in config.reductions:
        number, scale = config.reductions.index(index), 2 * scale
        end_points[f'Reduction_Cell_{number}'] = builder.add(
          REDUCTION, f'reduction_cell_{number}', scale, stride=2
        )
      if not config.skip_reduction:
        previous = builder.before
      net = builder.add(
        NORMAL,
        f'cell_{index}',
        scale,
        previous=previous,
        ends_stage=index + 1 in config.reductions,
      )
      end_points[f'Cell_{index}'] = net
      if is_training and num_classes and index == config.reductions[1] - 1:
        end_points['AuxLogits'] = aux_head(net, num_classes, f'aux_{index}')
    net, last = classify(
      net, num_classes, is_training, config.dropout_keep_prob
    )
  return net, end_points | last


def nasnet_arg_scope(
  weight_decay: float, decay: float = 0.9997, epsilon: float = 0.001
) -> dict[str, Any]:
  """Linear layers without biases, L2 on all; fused batch norm on its own."""
  with (
    slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d, slim.fully_connected],
      activation_fn=None,
      weights_initializer=slim.variance_scaling_initializer(mode='FAN_OUT'),
      weights_regularizer=slim.l2_regularizer(weight_decay),
    ),
    slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d], biases_initializer=None
    ),
    slim.arg_scope(
      [slim.batch_norm], decay=decay, epsilon=epsilon, scale=True, fused=True
    ) as scope,
  ):
    return scope


CIFAR = Config(
  cells=18,
  depth=32,
  stem_depth=96,
  imagenet=False,
  path_keep_prob=0.6,
  path_steps=937_500,
  dropout_keep_prob=1.0,
)
MOBILE = Config(cells=12, depth=44, stem_depth=32)
LARGE = Config(
  cells=18, depth=168, stem_depth=96, path_keep_prob=0.7, skip_reduction=True
)


def _network(name: str, config: Config, image_size: int) -> Network:
  """The record of an ImageNet variant."""
  return Network(
    name=name,
    build=functools.partial(nasnet, config=config),
    arg_scope=nasnet_arg_scope,
    image_size=image_size,
    # What the auxiliary head needs; without it a feature map is left from 3.
    min_image_size=67,
    preprocessing='inception',
    attention_points=config.cells + 4,
    stage_points=len(config.reductions),
    aux_logits=True,
    labels_offset=0,
    training_only=(f'aux_{config.reductions[1] - 1}',),
  )


NETWORKS = (
  Network(
    name='nasnet_cifar',
    build=functools.partial(nasnet, config=CIFAR),
    arg_scope=functools.partial(nasnet_arg_scope, decay=0.9, epsilon=1e-5),
    image_size=32,
    min_image_size=9,
    preprocessing='cifarnet',
    attention_points=CIFAR.cells + 2,
    stage_points=len(CIFAR.reductions),
    aux_logits=True,
    training_only=('aux_11',),
  ),
  _network('nasnet_mobile', MOBILE, 224),
  _network('nasnet_large', LARGE, 331),
)
