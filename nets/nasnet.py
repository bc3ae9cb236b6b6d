"""NASNet-A: stacked normal and reduction cells from architecture search.

Learning transferable architectures for scalable image recognition, Zoph et
al., 2017: https://arxiv.org/abs/1707.07012

A cell has seven states. The first two are its input and the output of the
previous cell, both with the cell's depth; each of the others is the sum of two
operations on earlier states. The cell concatenates some states as its output.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from nets import layers, stochastic
from nets.attention.attend import BLOCK, CLASS, STAGE, attend
from nets.spec import EndPoints, NetworkSpec
from nets.stochastic import dropout
from tf_compat import slim, tf


class Term(NamedTuple):
  """An operation of OPERATIONS and the index of the state it is applied to."""

  operation: str
  state: int


class Cell(NamedTuple):
  """Five sums of two terms, and the indices of the output states."""

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
    cells: number of normal cells, without the stem and the reduction cells.
    depth: channels of the first cells' operations; each reduction doubles it.
    stem_depth: output channels of the first convolution.
    imagenet: whether the stem reduces height and width to an eighth, with a
      strided convolution and two reduction cells; otherwise it preserves them.
    path_keep_prob: probability that drop path keeps an operation of the last
      cell at the end of training.
    path_steps: training steps until that probability is reached.
    dropout_keep_prob: probability that dropout keeps a feature in training.
    skip_reduction: whether the second input of the cell after a reduction is
      the second-last cell before the reduction, instead of the last one.
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
    """Cells where height and width are halved: one third and two thirds in."""
    return self.cells // 3, 2 * self.cells // 3


class State(NamedTuple):
  """A cell's output and its stride relative to the stem's map."""

  net: tf.Tensor
  stride: int


# Operations -------------------------------------------------------------------


def normed_conv(
  net: tf.Tensor, depth: int, stride: int, scope: str, norm: str
) -> tf.Tensor:
  """norm(1x1 convolution)."""
  net = layers.conv2d(net, depth, 1, stride, scope=scope)
  return slim.batch_norm(net, scope=norm)


def separable(
  net: tf.Tensor, depth: int, stride: int, kernel: int
) -> tf.Tensor:
  """norm(separable convolution(relu(net))), twice; only the first strides."""
  size = f'{kernel}x{kernel}'
  for layer in (1, 2):
    net = layers.separable_conv2d(
      tf.nn.relu(net),
      depth,
      kernel,
      stride=stride if layer == 1 else 1,
      scope=f'separable_{size}_{layer}',
    )
    net = slim.batch_norm(net, scope=f'bn_sep_{size}_{layer}')
  return net


def pool(net: tf.Tensor, depth: int, stride: int, kind: str) -> tf.Tensor:
  """Pools 3x3, ignoring the padding; convolves 1x1 if the depth differs."""
  function = {'avg': layers.avg_pool2d, 'max': layers.max_pool2d}[kind]
  net = function(net, 3, stride, padding='SAME')
  if net.shape[-1] == depth:
    return net
  return normed_conv(net, depth, 1, '1x1', 'bn_1')


def identity(net: tf.Tensor, depth: int, stride: int) -> tf.Tensor:
  """Returns net, or norm(1x1 convolution(relu(net))) if the shape changes."""
  if stride == 1 and net.shape[-1] == depth:
    return net
  return normed_conv(tf.nn.relu(net), depth, stride, '1x1', 'bn_1')


OPERATIONS: dict[str, Callable[..., Any]] = {
  'identity': identity,
  'avg_pool_3x3': functools.partial(pool, kind='avg'),
  'max_pool_3x3': functools.partial(pool, kind='max'),
  'separable_3x3': functools.partial(separable, kernel=3),
  'separable_5x5': functools.partial(separable, kernel=5),
  'separable_7x7': functools.partial(separable, kernel=7),
}


def factorized_reduction(net: tf.Tensor, depth: int) -> tf.Tensor:
  """norm([1x1(pixels at even positions), 1x1(pixels at odd positions)])."""
  even = net[:, ::2, ::2]
  odd = tf.pad(net, [[0, 0], [0, 1], [0, 1], [0, 0]])[:, 1::2, 1::2]
  half = depth // 2
  net = tf.concat(
    [
      layers.conv2d(even, half, 1, scope='path1_conv'),
      layers.conv2d(odd, depth - half, 1, scope='path2_conv'),
    ],
    axis=3,
  )
  return slim.batch_norm(net, scope='final_path_bn')


def drop_path(net: tf.Tensor, keep_prob: float, steps: int) -> tf.Tensor:
  """net / p with probability p, else 0; p falls from 1 to keep_prob."""
  step = tf.cast(tf.train.get_or_create_global_step(), tf.float32)
  keep = 1.0 - tf.minimum(1.0, step / steps) * (1.0 - keep_prob)
  mask = tf.floor(keep + stochastic.uniform(net, [tf.shape(net)[0], 1, 1, 1]))
  return net / keep * mask


# Cells ------------------------------------------------------------------------


class Builder:
  """Adds cells one after another and records their outputs.

  Attributes:
    config: the variant.
    is_training: whether drop path is active.
    cells: total number of cells, including the stem's and the reductions.
    states: the stem's map and each cell's output.
  """

  def __init__(
    self, config: Config, is_training: bool, cells: int, net: tf.Tensor
  ):
    self.config, self.is_training, self.cells = config, is_training, cells
    self.states = [State(net, 1)]

  @property
  def net(self) -> tf.Tensor:
    """Output of the last cell."""
    return self.states[-1].net

  @property
  def previous(self) -> State | None:
    """Input of the last cell; None before the first cell."""
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
    """Adds a cell after the last one.

    Args:
      cell: operations of the cell.
      scope: variable scope.
      scale: ratio of the cell's depth to the config's.
      stride: stride of the operations on the cell's two inputs.
      previous: second input of the cell; None for self.previous.
      ends_stage: whether the next cell reduces height and width.

    Returns:
      [N, H/stride, W/stride, len(cell.outputs) · depth].
    """
    last, depth = self.states[-1], int(self.config.depth * scale)
    keep_prob = self._path_keep_prob()
    with tf.variable_scope(scope):
      other = _match(previous or self.previous, last, depth)
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
        net = _concatenate(states, cell.outputs, depth)
      net = attend(net, at=(BLOCK, STAGE) if ends_stage else BLOCK)
    self.states.append(State(net, last.stride * stride))
    return net

  def _path_keep_prob(self) -> float:
    """Returns the next cell's final keep probability, lower with depth."""
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
    """Applies a term; only operations on the cell's inputs stride."""
    stride = stride if term.state < 2 else 1
    with tf.variable_scope(scope):
      net = OPERATIONS[term.operation](states[term.state], depth, stride)
      if self.is_training and keep_prob < 1.0 and term.operation != 'identity':
        net = drop_path(net, keep_prob, self.config.path_steps)
    return net


def _match(previous: State | None, last: State, depth: int) -> tf.Tensor:
  """Returns the previous state with the last one's size and the cell's depth.

  The first cell has no previous state and uses its input unchanged.
  """
  if previous is None:
    return last.net
  if previous.stride != last.stride:
    return factorized_reduction(tf.nn.relu(previous.net), depth)
  if previous.net.shape[-1] != depth:
    net = tf.nn.relu(previous.net)
    return normed_conv(net, depth, 1, 'prev_1x1', 'prev_bn')
  return previous.net


def _concatenate(
  states: list[tf.Tensor], outputs: tuple[int, ...], depth: int
) -> tf.Tensor:
  """Concatenates the output states, each converted to `depth` if it differs."""
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
  """Adds the first convolution and, for ImageNet, two reduction cells."""
  if not config.imagenet:
    net = layers.conv2d(images, config.stem_depth, 3, scope='l1_stem_3x3')
    net = slim.batch_norm(net, scope='l1_stem_bn')  # [N, H, W, stem_depth]
    return Builder(config, is_training, cells, net)
  net = layers.conv2d(
    images, config.stem_depth, 3, 2, padding='VALID', scope='conv0'
  )
  net = slim.batch_norm(net, scope='conv0_bn')  # [N, H/2, W/2, stem_depth]
  builder = Builder(config, is_training, cells, net)
  for index, scale in enumerate((1 / 4, 1 / 2)):
    builder.add(cell, f'cell_stem_{index}', scale, stride=2)
  return builder  # [N, H/8, W/8, …]


def aux_head(net: tf.Tensor, num_classes: int, scope: str) -> tf.Tensor:
  """Adds auxiliary logits, which only training uses."""
  with tf.variable_scope(scope), tf.variable_scope('aux_logits'):
    net = layers.avg_pool2d(tf.nn.relu(net), 5, 3, padding='VALID')
    net = layers.conv2d(net, 128, 1, scope='proj')
    net = tf.nn.relu(slim.batch_norm(net, scope='aux_bn0'))
    # The kernel is as large as the map: its shape depends on the image size.
    side = net.shape[1:3].as_list()
    net = layers.conv2d(net, 768, side, padding='VALID', scope='Conv')
    net = tf.nn.relu(slim.batch_norm(net, scope='aux_bn1'))
    return slim.fully_connected(slim.flatten(net), num_classes, scope='FC')


def classify(
  net: tf.Tensor, num_classes: int | None, is_training: bool, keep_prob: float
) -> tuple[tf.Tensor, EndPoints]:
  """Adds relu, attention, mean over space, dropout and the logits."""
  with tf.variable_scope('final_layer'):
    net = attend(tf.nn.relu(net), at=CLASS)
    net = tf.reduce_mean(net, [1, 2])  # [N, C]
    end_points = {'global_pool': net}
    if not num_classes:
      return net, end_points
    net = dropout(net, keep_prob, is_training=is_training)
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
  """Builds the stem, three stages of normal cells, reductions and classifier.

  Args:
    images: [N, H, W, C]; H and W must be known if is_training.
    num_classes: width of the logits; 0 or None returns the features before the
      dropout.
    is_training: whether dropout, drop path and the auxiliary head are active
      and batch norm uses the batch's statistics.
    config: the variant.
    reuse: whether to reuse the variables created earlier.

  Returns:
    Logits [N, num_classes] (or features [N, C]) and the end points by name.
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
      previous = builder.previous
      if index in config.reductions:
        number, scale = config.reductions.index(index), 2 * scale
        end_points[f'Reduction_Cell_{number}'] = builder.add(
          REDUCTION, f'reduction_cell_{number}', scale, stride=2
        )
      if not config.skip_reduction:
        previous = builder.previous
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
  """Returns an arg scope: linear layers without biases, L2, batch norm."""
  with (
    slim.arg_scope(
      [layers.conv2d, layers.separable_conv2d, slim.fully_connected],
      activation_fn=None,
      weights_initializer=slim.variance_scaling_initializer(mode='FAN_OUT'),
      weights_regularizer=slim.l2_regularizer(weight_decay),
    ),
    slim.arg_scope(
      [layers.conv2d, layers.separable_conv2d], biases_initializer=None
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


def _network(name: str, config: Config, image_size: int) -> NetworkSpec:
  """Returns the spec of an ImageNet variant."""
  return NetworkSpec(
    name=name,
    build=functools.partial(nasnet, config=config),
    arg_scope=nasnet_arg_scope,
    image_size=image_size,
    # The auxiliary head needs it; without the head, 3 would be enough.
    min_image_size=67,
    preprocessing='inception',
    attention_points=config.cells + 4,
    stage_points=len(config.reductions),
    aux_logits=True,
    labels_offset=0,
    training_only=(f'aux_{config.reductions[1] - 1}',),
  )


NETWORKS = (
  NetworkSpec(
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
