"""Every network with every attention, built once and shared among checks."""

import dataclasses

import numpy as np
import pytest

from nets import nets_factory
from nets.attention import attention_factory
from tf_compat import slim, tf

KEYS = [
  f'{network}+{attention}'
  for network in nets_factory.NETWORKS
  for attention in ('none', *attention_factory.ATTENTION_MODULES)
]
# What the quick suite builds: these with every attention, and single ones.
# Everything else is left to the long suite.
QUICK = {
  'lenet',
  'cifarnet',
  'resnet_v1_50',
  'resnet_v2_50',
  'mobilenet_v1_025+none',
  'inception_v1+cbam_block',
  'mobilenet_v2_035+cbam_block',
  'mobilenet_v3_small_minimalistic+none',
}
CLASSES = 10


def _param(key: str):
  """The key, marked slow unless the quick suite has it."""
  quick = key in QUICK or key.split('+')[0] in QUICK
  return pytest.param(key, marks=() if quick else pytest.mark.slow)


@dataclasses.dataclass(frozen=True)
class Built:
  """A network's graph and what it gave."""

  network: nets_factory.Network
  attention: str
  graph: tf.Graph
  images: tf.Tensor
  logits: tf.Tensor
  end_points: dict[str, tf.Tensor]
  loss: tf.Tensor | None = None
  gradients: list[tf.Tensor] | None = None

  @property
  def variables(self) -> set:
    """(name, shape, trainable) of every variable."""
    with self.graph.as_default():
      trainable = {variable.ref() for variable in tf.trainable_variables()}
      return {
        (v.op.name, tuple(v.shape), v.ref() in trainable)
        for v in tf.global_variables()
      }


@pytest.fixture(scope='module', params=[_param(key) for key in KEYS])
def key(request) -> str:
  """'network+attention', for the whole registry."""
  return request.param


@pytest.fixture(scope='module')
def inference(key) -> Built:
  """The network as the contract describes it: two images, ten classes."""
  name, attention = key.split('+')
  network = nets_factory.NETWORKS[name]
  with tf.Graph().as_default() as graph:
    side = network.image_size
    images = tf.placeholder(tf.float32, [2, side, side, 3])
    logits, end_points = nets_factory.get_network_fn(
      name, CLASSES, attention_module=attention
    )(images)
  return Built(network, attention, graph, images, logits, end_points)


@pytest.fixture(scope='module')
def training(key) -> Built:
  """The network on two small noise images, with its loss and gradients."""
  name, attention = key.split('+')
  network = nets_factory.NETWORKS[name]
  side = max(network.min_image_size, min(network.image_size, 64))
  with tf.Graph().as_default() as graph:
    tf.set_random_seed(0)
    noise = np.random.default_rng(0).uniform(-1, 1, (2, side, side, 3))
    images = tf.constant(noise, tf.float32)
    logits, end_points = nets_factory.get_network_fn(
      name, CLASSES, 1e-4, is_training=True, attention_module=attention
    )(images)
    heads = [end_points[k] for k in ('AuxLogits',) if k in end_points]
    for head in (logits, *heads):
      tf.losses.sparse_softmax_cross_entropy([1, 2], head)
    loss = slim.losses.get_total_loss()
    gradients = tf.gradients(loss, tf.trainable_variables())
  return Built(
    network, attention, graph, images, logits, end_points, loss, gradients
  )
