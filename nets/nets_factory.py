"""The table of networks, and the function that builds them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol, cast

from errors import UserError
from nets import (
  airbench_cifar,
  alexnet,
  cifarnet,
  densenet,
  inception_resnet_v2,
  inception_v1,
  inception_v2,
  inception_v3,
  inception_v4,
  layers,
  lenet,
  mobilenet_v1,
  mobilenet_v2,
  mobilenet_v3,
  nasnet,
  overfeat,
  pnasnet,
  resnet_cifar,
  resnet_v1,
  resnet_v2,
  resnext,
  stochastic,
  vgg,
  wide_resnet,
)
from nets.attention.attend import CONV, INNER, Stages, attend
from nets.attention.attention_factory import Attention, get_attention
from nets.grouped_conv import grouped_conv2d
from nets.spec import EndPoints, NetworkSpec
from registry import Table, unknown
from tf_compat import slim, tf

NETWORKS = Table(
  'network',
  (
    *lenet.NETWORKS,
    *cifarnet.NETWORKS,
    *airbench_cifar.NETWORKS,
    *resnet_v1.NETWORKS,
    *resnet_v2.NETWORKS,
    *resnet_cifar.NETWORKS,
    *wide_resnet.NETWORKS,
    *resnext.NETWORKS,
    *densenet.NETWORKS,
    *alexnet.NETWORKS,
    *overfeat.NETWORKS,
    *vgg.NETWORKS,
    *mobilenet_v1.NETWORKS,
    *inception_v1.NETWORKS,
    *inception_v2.NETWORKS,
    *inception_v3.NETWORKS,
    *inception_v4.NETWORKS,
    *inception_resnet_v2.NETWORKS,
    *mobilenet_v2.NETWORKS,
    *mobilenet_v3.NETWORKS,
    *nasnet.NETWORKS,
    *pnasnet.NETWORKS,
  ),
)


def is_auxiliary(name: str) -> bool:
  """Whether a variable is of an auxiliary classifier, by its name."""
  return any(
    part == 'AuxLogits' or part.startswith('aux_') for part in name.split('/')
  )


class NetworkFn(Protocol):
  """A function that builds a network.

  Attributes:
    default_image_size: default height and width of the images, pixels.
    num_classes: width of the logits.
  """

  default_image_size: int
  num_classes: int

  def __call__(
    self, images: tf.Tensor, **kwargs
  ) -> tuple[tf.Tensor, EndPoints]:
    """Returns logits [N, num_classes] and end points of images [N, H, W, C]."""


def get_network_fn(
  name: str,
  num_classes: int,
  weight_decay: float = 0.0,
  is_training: bool = False,
  attention_module: str | None = None,
  attention_placement: str | None = None,
  batch_norm_decay: float | None = None,
  padding: str = 'same',
  stochastic_depth_rate: float = 0.0,
) -> NetworkFn:
  """Returns the function that builds a network.

  Args:
    name: name of a network in NETWORKS.
    num_classes: width of the logits; 0 returns features instead.
    weight_decay: L2 coefficient of the kernels of network and attention.
    is_training: whether to apply dropout and use batch statistics.
    attention_module: for example 'cbam_block(ratio=16)'; None, '' or 'none'
      disables attention.
    attention_placement: one of attention_factory.PLACEMENTS, or the default.
    batch_norm_decay: decay of the moving averages; None for the family's.
    padding: what SAME padding means, one of layers.PADDINGS.
    stochastic_depth_rate: probability in training that the last residual block
      is left out; that of the others grows with depth.

  Returns:
    network_fn(images [N, H, W, C], **kwargs) -> logits [N, num_classes], end
    points by name; with attributes `default_image_size` and `num_classes`.

  Raises:
    UserError: for an unknown name, if the network lacks what attention or
      stochastic depth need, and in network_fn if the images are too small.
  """
  network = NETWORKS[name]
  attention = get_attention(attention_module, attention_placement)
  _check_placement(network, attention)
  if padding not in layers.PADDINGS:
    raise UserError(unknown('padding', padding, layers.PADDINGS))
  decay = {} if batch_norm_decay is None else {'decay': batch_norm_decay}
  drop_rate = stochastic_depth_rate if is_training else 0.0

  def network_fn(images: tf.Tensor, **kwargs) -> tuple[tf.Tensor, EndPoints]:
    _check_size(network, images)
    with (
      slim.arg_scope(network.arg_scope(weight_decay)),
      # After the line above: an arg scope from a dict replaces outer ones.
      _of_blocks(network, attention, weight_decay, drop_rate),
      # Overrides the family's decay; also for attention in networks without
      # batch norm.
      slim.arg_scope([slim.batch_norm], is_training=is_training, **decay),
      slim.arg_scope([*layers.LAYERS, grouped_conv2d], pads=padding),
    ):
      return network.build(images, num_classes, is_training, **kwargs)

  vars(network_fn).update(
    default_image_size=network.image_size, num_classes=num_classes
  )
  return cast(NetworkFn, network_fn)


@contextlib.contextmanager
def _of_blocks(
  network: NetworkSpec,
  attention: Attention | None,
  weight_decay: float,
  drop_rate: float,
) -> Iterator[None]:
  """Sets what blocks end with: attention and stochastic depth.

  Raises:
    UserError: if the body adds no branch that stochastic depth could drop.
  """
  stages = Stages()
  with (
    slim.arg_scope(
      [attend],
      module=attention,
      weights_regularizer=slim.l2_regularizer(weight_decay),
      stages=stages,
    ),
    slim.arg_scope(
      [stochastic.drop_path],
      rate=drop_rate,
      depth=lambda: stages.block / network.attention_points,
    ),
  ):
    yield
  if drop_rate and not tf.get_collection(stochastic.DROPPED):
    raise UserError(
      f'{network.name} has no residual blocks that stochastic depth could leave '
      'out: omit --stochastic_depth_rate, or take a ResNet, ResNeXt, Inception-'
      'ResNet, or MobileNet v2 or v3.'
    )


def _check_placement(network: NetworkSpec, attention: Attention | None) -> None:
  """Raises UserError if the network lacks the points within its blocks."""
  points = {INNER: network.inner_points, CONV: network.conv_points}
  for kind, count in points.items():
    if attention and attention.places == {kind} and not count:
      raise UserError(
        f'{network.name} has no attention points of the kind {kind!r}, which '
        'ResNets and MobileNet v2 and v3 have. Set another '
        '--attention_placement.'
      )


def _check_size(network: NetworkSpec, images: tf.Tensor) -> None:
  """Raises UserError if the images are known to be too small."""
  height, width = images.shape[1:3]
  sides = [side for side in (height, width) if side is not None]
  least = network.min_image_size
  if sides and min(sides) < least:
    raise UserError(
      f'Images of {height} x {width} are too small for {network.name}, which '
      f'takes {least} x {least} or more.'
    )
