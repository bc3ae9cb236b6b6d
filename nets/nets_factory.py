"""Every network by name, and the one way to build it."""

from collections.abc import Callable

from errors import UserError
from nets import (
  alexnet,
  cifarnet,
  densenet,
  inception_resnet_v2,
  inception_v1,
  inception_v2,
  inception_v3,
  inception_v4,
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
  vgg,
  wide_resnet,
)
from nets.attention.attend import attend
from nets.attention.attention_factory import get_attention
from nets.network import EndPoints, Network
from registry import Table
from tf_compat import slim, tf

NETWORKS = Table(
  'network',
  (
    *lenet.NETWORKS,
    *cifarnet.NETWORKS,
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


def get_network_fn(
  name: str,
  num_classes: int,
  weight_decay: float = 0.0,
  is_training: bool = False,
  attention_module: str | None = None,
  attention_placement: str | None = None,
  batch_norm_decay: float | None = None,
) -> Callable[..., tuple[tf.Tensor, EndPoints]]:
  """The function that builds a network.

  Args:
    name: of a network in NETWORKS.
    num_classes: width of the logits; 0 gives features instead.
    weight_decay: L2 coefficient of the network's and the attention's kernels.
    is_training: whether dropout and batch statistics are on.
    attention_module: for instance 'cbam_block(ratio=16)'; None, '' or 'none'
      for off.
    attention_placement: 'block', 'stage', 'class' or 'both'; None for the
      module's own.
    batch_norm_decay: of batch norm's moving averages; None for the family's.

  Returns:
    network_fn(images [N, H, W, C], **kwargs) -> logits [N, num_classes], end
    points by name; with attributes `default_image_size` and `num_classes`.

  Raises:
    UserError: for an unknown network, attention module or placement, and in
      network_fn for images too small.
  """
  network = NETWORKS[name]
  attention = get_attention(attention_module, attention_placement)
  decay = {} if batch_norm_decay is None else {'decay': batch_norm_decay}

  def network_fn(images: tf.Tensor, **kwargs) -> tuple[tf.Tensor, EndPoints]:
    _check_size(network, images)
    with (
      slim.arg_scope(network.arg_scope(weight_decay)),
      # Inside: an arg scope given as a dict replaces all those around it.
      slim.arg_scope(
        [attend],
        module=attention,
        weights_regularizer=slim.l2_regularizer(weight_decay),
      ),
      # Over the family's own decay; and for attention where there is none.
      slim.arg_scope([slim.batch_norm], is_training=is_training, **decay),
    ):
      return network.build(images, num_classes, is_training, **kwargs)

  network_fn.default_image_size = network.image_size
  network_fn.num_classes = num_classes
  return network_fn


def _check_size(network: Network, images: tf.Tensor) -> None:
  """Raises UserError if images are known to be too small."""
  height, width = images.shape[1:3]
  sides = [side for side in (height, width) if side is not None]
  least = network.min_image_size
  if sides and min(sides) < least:
    raise UserError(
      f'Images of {height} x {width} are too small for {network.name}, which '
      f'takes {least} x {least} or more.'
    )
