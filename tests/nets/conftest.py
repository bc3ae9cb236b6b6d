"""Every network, plain and gated, built once and shared among its checks."""

import dataclasses
import gzip
import json
import pathlib
import tempfile
import zlib

import numpy as np
import pytest

from nets import nets_factory
from tf_compat import slim, tf

GOLDEN = pathlib.Path(__file__).parent.parent / 'golden'
with gzip.open(GOLDEN / 'variables.json.gz') as file:
  IN_CONTRACT = frozenset(json.load(file))
# What the quick suite builds: these plain, with SE and with CBAM, and single
# ones. Everything else is left to the long suite.
QUICK = {
  'lenet',
  'cifarnet',
  'resnet_v1_50',
  'resnet_v2_50',
  'mobilenet_v1_025+none',
  'resnet_v1_18+none',
  'resnet_cifar_20+cbam_block',
  'inception_v1+cbam_block',
  'mobilenet_v2_035+cbam_block',
  'mobilenet_v3_small_minimalistic+none',
}
# Every check is made of every network plain and with CBAM, which has all that
# a gate can have; with SE where published checkpoints have it too.
KEYS = [
  key
  for network in nets_factory.NETWORKS
  for attention in ('none', 'se_block', 'cbam_block')
  for key in [f'{network}+{attention}']
  if attention != 'se_block' or key in IN_CONTRACT or network in QUICK
]
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
  """'network+attention', for every network of the registry."""
  return request.param


@pytest.fixture(scope='session')
def keys() -> list[str]:
  """Every 'network+attention' that `key` takes."""
  return KEYS


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


@dataclasses.dataclass(frozen=True)
class Trained:
  """What two real steps left.

  Attributes:
    losses: of both steps.
    finite: whether every variable still was.
    checkpoint: path of what was saved after them.
    checksums: name -> crc32 of what each variable was then.
  """

  losses: list[float]
  finite: bool
  checkpoint: str
  checksums: dict[str, int]


@pytest.fixture(scope='module')
def trained(training):
  """Two real steps, saved. The checkpoint goes at once: some have 500 MB."""
  with (
    tempfile.TemporaryDirectory() as folder,
    training.graph.as_default(),
    tf.Session() as session,
  ):
    optimizer = tf.train.GradientDescentOptimizer(1e-6)
    pairs = zip(training.gradients, tf.trainable_variables(), strict=True)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    step = tf.group(optimizer.apply_gradients(pairs), *updates)
    session.run(tf.global_variables_initializer())
    losses = [session.run([training.loss, step])[0] for _ in range(2)]
    path = tf.train.Saver().save(session, f'{folder}/model.ckpt')
    values = session.run({v.op.name: v for v in tf.global_variables()})
    finite = all(np.isfinite(value).all() for value in values.values())
    sums = {n: zlib.crc32(value.tobytes()) for n, value in values.items()}
    del values
    yield Trained(losses, finite, path, sums)
