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
# What the quick suite builds, at least the smallest of each family; all other
# graphs are left to the long one.
QUICK = (
  'lenet',
  'cifarnet',
  'resnet_v1_50',
  'resnet_v2_50',
)
CLASSES = 10


def pytest_collection_modifyitems(items):
  """Marks what builds another network than those of QUICK as slow."""
  for item in items:
    key = getattr(item, 'callspec', None) and item.callspec.params.get('key')
    if key and not {key, key.split('+')[0]} & set(QUICK):
      item.add_marker(pytest.mark.slow)


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


@pytest.fixture(scope='module', params=KEYS)
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
