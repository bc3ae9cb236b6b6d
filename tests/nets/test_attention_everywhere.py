"""Every attention module at each shape of each structure, in one graph."""

import dataclasses

import numpy as np
import pytest
import tiny_network
from network_lists import QUICK, STRUCTURES

from nets import nets_factory
from nets.attention.attend import BLOCK, CLASS, STAGE, VARIABLES
from nets.attention.attention_factory import ATTENTION_MODULES
from tf_compat import few_runs, tf


@dataclasses.dataclass
class Everything:
  """The mean of some modules: a product of their gates would be almost zero.

  Only the first point of each shape gets them, since a module depends on
  nothing else. They take turns over the shapes, unless `count` is all of them.
  """

  count: int
  calls: int = 0
  places: frozenset[str] = frozenset({BLOCK, STAGE, CLASS})
  shapes: set[tuple] = dataclasses.field(default_factory=set)

  @property
  def name(self) -> str:
    """A different name at each point: ends of block and stage share a scope."""
    return f'everything_{self.calls}'

  tag = name

  def __call__(self, net):
    self.calls += 1
    if (shape := tuple(net.shape)) in self.shapes:
      return net, ()
    begin = len(self.shapes) * self.count
    self.shapes.add(shape)
    gated, gates = [], ()
    kinds = [*ATTENTION_MODULES.values()] * 2
    begin %= len(ATTENTION_MODULES)
    for kind in kinds[begin : begin + self.count]:
      with tf.variable_scope(kind.name):
        attended, own_gates = kind.function(net)
        gated.append(attended)
        gates += own_gates
    return tf.add_n(gated) / len(gated), gates


@dataclasses.dataclass(frozen=True)
class Built:
  """A network for training, with the gradients of attention's variables."""

  graph: tf.Graph
  loss: tf.Tensor
  variables: list[tf.Variable]
  gradients: list[tf.Tensor | None]


def build(name: str) -> Built:
  module = Everything(len(ATTENTION_MODULES) if name in TRAINED else TURN)
  with pytest.MonkeyPatch.context() as patch, tf.Graph().as_default() as graph:
    tiny_network.shorten(patch.setattr)
    patch.setattr(nets_factory, 'get_attention', lambda *_: module)
    network = nets_factory.NETWORKS[name]
    side = max(network.min_image_size, min(network.image_size, 64))
    tf.set_random_seed(0)
    images = tf.random_uniform([2, side, side, 3], -1, 1, seed=0)
    logits, _ = nets_factory.get_network_fn(name, 10, 1e-4, is_training=True)(
      images
    )
    loss = tf.losses.sparse_softmax_cross_entropy([1, 2], logits)
    inside = set(tf.get_collection(VARIABLES))
    variables = [v for v in tf.trainable_variables() if v in inside]
    gradients = tf.gradients(loss, variables)
  return Built(graph, loss, variables, gradients)


# Modules at each shape of a structure; with fewer, its few shapes would not get
# every module.
TURN = 5
# Networks of which a step of training is run with all modules.
TRAINED = (
  'lenet',
  'cifarnet',
  'resnet_cifar_20',
  'inception_v1',
  'mobilenet_v3_small',
)


def kinds_of(variables) -> set[str]:
  """Returns the modules that the variables belong to."""
  return {
    kind
    for variable in variables
    for kind in ATTENTION_MODULES
    if f'/{kind}/' in variable.op.name
  }


def slow_but_for(names, quick):
  return [
    name if name in quick else pytest.param(name, marks=pytest.mark.slow)
    for name in names
  ]


@pytest.fixture(scope='module', params=slow_but_for(STRUCTURES, QUICK))
def key(request) -> str:
  return request.param


@pytest.fixture(scope='module')
def built(key) -> Built:
  return build(key)


@pytest.mark.slow
def test_every_variable_of_attention_gets_a_gradient(built):
  missing = [
    variable.op.name
    for variable, gradient in zip(built.variables, built.gradients, strict=True)
    if gradient is None
  ]
  assert not missing
  assert kinds_of(built.variables) == {*ATTENTION_MODULES} - {'simam_block'}


@pytest.mark.slow
@pytest.mark.parametrize(
  'key', slow_but_for(TRAINED, {'lenet', 'cifarnet'}), indirect=True
)
def test_a_step_of_every_kind_trains_and_is_restored(built, tmp_path):
  """A step changes the variables of all modules, and they can be restored."""
  with built.graph.as_default(), tf.Session(config=few_runs()) as session:
    step = tf.train.GradientDescentOptimizer(0.01).apply_gradients(
      zip(built.gradients, built.variables, strict=True)
    )
    attention_variables = tf.get_collection(VARIABLES)
    saver = tf.train.Saver(attention_variables)
    session.run(tf.global_variables_initializer())
    before = session.run(built.variables)
    loss, _ = session.run([built.loss, step])
    assert np.isfinite(loss)
    after = session.run(attention_variables)
    assert all(np.isfinite(value).all() for value in after)
    changed = kinds_of(
      variable
      for variable, old, new in zip(
        built.variables, before, session.run(built.variables), strict=True
      )
      if (old != new).any()
    )
    assert changed == {*ATTENTION_MODULES} - {'simam_block'}
    path = saver.save(session, str(tmp_path / 'attention'))
    session.run(tf.global_variables_initializer())
    saver.restore(session, path)
    restored = session.run(attention_variables)
    for value, expected in zip(restored, after, strict=True):
      np.testing.assert_array_equal(value, expected)
