"""Fixtures that build each network once, without and with attention."""

import dataclasses
import gzip
import json
import pathlib
import tempfile
import zlib

import numpy as np
import pytest
import tiny_network
from network_lists import DEEP_WITH_ATTENTION, QUICK, STRUCTURES

from nets import nets_factory
from nets.attention.attention_factory import get_attention
from tf_compat import few_runs, slim, tf

GOLDEN = pathlib.Path(__file__).parent.parent / 'golden'
with gzip.open(GOLDEN / 'variables.json.gz') as file:
  IN_CONTRACT = frozenset(json.load(file))
# Every network is checked without attention; each structure also with CBAM, which
# has every kind of variable of a gate; and what published checkpoints have.
KEYS = [
  key
  for network in nets_factory.NETWORKS
  for attention in ('none', 'se_block', 'cbam_block')
  for key in [f'{network}+{attention}']
  if attention == 'none'
  or key in IN_CONTRACT - DEEP_WITH_ATTENTION
  or network in QUICK
  or (attention == 'cbam_block' and network in STRUCTURES)
]
CLASSES = 10


def _param(key: str):
  """Returns the key as a parameter, slow unless it is in QUICK."""
  quick = key in QUICK or key.split('+')[0] in QUICK
  return pytest.param(key, marks=() if quick else pytest.mark.slow)


@dataclasses.dataclass(frozen=True)
class Built:
  """A network's graph, with its inputs and outputs.

  Attributes:
    points: kinds of its attention points, if it has attention.
  """

  network: nets_factory.NetworkSpec
  attention: str
  graph: tf.Graph
  images: tf.Tensor
  logits: tf.Tensor
  end_points: dict[str, tf.Tensor]
  points: list[str] = dataclasses.field(default_factory=list)
  loss: tf.Tensor | None = None
  gradients: list[tf.Tensor] | None = None

  @property
  def variables(self) -> set:
    """Set of (name, shape, trainable) of all variables."""
    with self.graph.as_default():
      trainable = {variable.ref() for variable in tf.trainable_variables()}
      return {
        (v.op.name, tuple(v.shape), v.ref() in trainable)
        for v in tf.global_variables()
      }


@pytest.fixture(scope='module', params=[_param(key) for key in KEYS])
def key(request) -> str:
  """'network+attention', for every network of the table."""
  return request.param


# Training is checked with CBAM, which has all that a gate can have, for each
# structure; and for some small networks without attention.
TRAINED_KEYS = [
  _param(key)
  for key in KEYS
  if key in QUICK
  or (
    key == f'{key.split("+")[0]}+cbam_block' and key.split('+')[0] in STRUCTURES
  )
]


@pytest.fixture(scope='module', params=TRAINED_KEYS)
def trained_key(request) -> str:
  """'network+attention', for each structure."""
  return request.param


@pytest.fixture(scope='session')
def keys() -> list[str]:
  """All values of `key`."""
  return KEYS


class Recorded:
  """An attention module that records the kinds of all attention points."""

  def __init__(self, module):
    self._module = module
    self.points = []

  def __getattr__(self, name):
    return getattr(self._module, name)

  def __call__(self, net):
    return self._module(net)

  @property
  def places(self):
    return self

  def intersection(self, points):
    self.points += points
    return self._module.places.intersection(points)


@pytest.fixture(scope='module')
def inference(key) -> Built:
  """The network for inference, with two images and ten classes."""
  name, attention = key.split('+')
  network = nets_factory.NETWORKS[name]
  module = get_attention(attention)
  recorded = module and Recorded(module)
  with pytest.MonkeyPatch.context() as patch, tf.Graph().as_default() as graph:
    patch.setattr(nets_factory, 'get_attention', lambda *_: recorded)
    side = network.image_size
    images = tf.placeholder(tf.float32, [2, side, side, 3])
    logits, end_points = nets_factory.get_network_fn(
      name, CLASSES, attention_module=attention
    )(images)
  points = recorded.points if recorded else []
  return Built(network, attention, graph, images, logits, end_points, points)


@pytest.fixture(scope='module')
def short_inference(trained_key) -> Built:
  """The shortened network for inference, to be compared with training."""
  return build_short(trained_key, is_training=False)


@pytest.fixture(scope='module')
def training(trained_key) -> Built:
  """The shortened network for training, with gradients."""
  built = build_short(trained_key, is_training=True)
  ends = built.end_points
  with built.graph.as_default():
    for head in (built.logits, *(ends[k] for k in ('AuxLogits',) if k in ends)):
      tf.losses.sparse_softmax_cross_entropy([1, 2], head)
    loss = slim.losses.get_total_loss()
    gradients = tf.gradients(loss, tf.trainable_variables())
  return dataclasses.replace(built, loss=loss, gradients=gradients)


def build_short(key: str, is_training: bool) -> Built:
  """Builds a shortened network for two small noise images and ten classes."""
  name, attention = key.split('+')
  with pytest.MonkeyPatch.context() as patch, tf.Graph().as_default() as graph:
    tiny_network.shorten(patch.setattr)
    network = nets_factory.NETWORKS[name]
    side = max(network.min_image_size, min(network.image_size, 64))
    tf.set_random_seed(0)
    noise = np.random.default_rng(0).uniform(-1, 1, (2, side, side, 3))
    images = tf.constant(noise, tf.float32)
    logits, end_points = nets_factory.get_network_fn(
      name, CLASSES, 1e-4, is_training=is_training, attention_module=attention
    )(images)
  return Built(network, attention, graph, images, logits, end_points)


@dataclasses.dataclass(frozen=True)
class Trained:
  """The result of two training steps.

  Attributes:
    losses: losses of both steps.
    finite: whether every variable was finite afterwards.
    checkpoint: path of the checkpoint that was saved afterwards.
    checksums: name -> crc32 of each variable's value in it.
  """

  losses: list[float]
  finite: bool
  checkpoint: str
  checksums: dict[str, int]


@pytest.fixture(scope='module')
def trained(training):
  """Two training steps and a checkpoint, deleted at once: some have 500 MB."""
  with (
    tempfile.TemporaryDirectory() as folder,
    training.graph.as_default(),
    tf.Session(config=few_runs()) as session,
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
