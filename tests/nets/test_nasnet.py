"""Parts of NASNet and PNASNet compared with NumPy, and small networks."""

import dataclasses

import numpy as np
import pytest

from nets import nasnet, nets_factory, pnasnet
from nets.nasnet import Config
from tf_compat import few_runs, slim, tf

TINY = Config(cells=3, depth=8, stem_depth=12, imagenet=False)
BUILDERS = {'nasnet': nasnet.nasnet, 'pnasnet': pnasnet.pnasnet}


@pytest.fixture(params=BUILDERS)
def tiny(request, graph):
  """A function build(images, num_classes=10, is_training=False, **config)."""

  def build(images, num_classes=10, is_training=False, reuse=None, **config):
    config = dataclasses.replace(TINY, **config)
    with slim.arg_scope(nasnet.nasnet_arg_scope(0.0)):
      return BUILDERS[request.param](
        images, num_classes, is_training, config, reuse=reuse
      )

  return build


def run(*tensors):
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensors)


def test_factorized_reduction(graph):
  """Every second pixel from (0, 0) and, with zero padding, from (1, 1)."""
  net = np.random.default_rng(0).normal(size=(2, 5, 6, 4)).astype('float32')
  with (
    slim.arg_scope(nasnet.nasnet_arg_scope(0.0)),
    slim.arg_scope([slim.batch_norm], is_training=False),
  ):
    reduced = nasnet.factorized_reduction(tf.constant(net), 7)
  reduced, a, b = run(reduced, *slim.get_variables_by_suffix('weights'))
  assert a.shape[-1] == 3
  assert b.shape[-1] == 4
  padded = np.pad(net, [(0, 0), (0, 1), (0, 1), (0, 0)])
  expected = np.concatenate(
    [net[:, ::2, ::2] @ a[0, 0], padded[:, 1::2, 1::2] @ b[0, 0]], -1
  ) / np.sqrt(1.001)
  np.testing.assert_allclose(reduced, expected, rtol=1e-4, atol=1e-5)


def test_average_excludes_the_padding(graph):
  pooled = nasnet.OPERATIONS['avg_pool_3x3'](tf.ones([1, 4, 4, 2]), 2, 2)
  np.testing.assert_array_equal(run(pooled)[0], np.ones((1, 2, 2, 2)))


@pytest.mark.parametrize(('step', 'keep'), [(0, 1.0), (5, 0.75), (20, 0.5)])
def test_drop_path(graph, step, keep):
  """Entire images become zero, more of them in later steps; others scale up."""
  tf.set_random_seed(0)
  assign = tf.assign(tf.train.get_or_create_global_step(), step)
  with tf.control_dependencies([assign]):
    net = nasnet.drop_path(tf.ones([4000, 1, 2, 1]), 0.5, 10)
  (net,) = run(net)
  assert (net[:, 0, 0] == net[:, 0, 1]).all()
  positive = net[:, 0, 0, 0] > 0
  assert positive.mean() == pytest.approx(keep, abs=0.03)
  np.testing.assert_allclose(net[positive], 1 / keep, rtol=1e-6)


def test_keep_probability_decreases_with_depth():
  config = dataclasses.replace(TINY, path_keep_prob=0.6)
  builder = nasnet.Builder(config, True, 5, None)
  probabilities = []
  for _ in range(5):
    probabilities.append(builder._path_keep_prob())
    builder.states.append(nasnet.State(None, 1))
  np.testing.assert_allclose(probabilities, [0.92, 0.84, 0.76, 0.68, 0.6])


@pytest.mark.slow
@pytest.mark.parametrize('is_training', [True, False])
def test_drop_path_and_auxiliary_head_are_for_training(tiny, is_training):
  _, end_points = tiny(
    tf.zeros([2, 9, 9, 3]), is_training=is_training, path_keep_prob=0.5
  )
  ops = [op.type for op in tf.get_default_graph().get_operations()]
  assert ('RandomUniform' in ops) == is_training
  assert ('AuxLogits' in end_points) == is_training
  assert bool(slim.get_variables('aux_1')) == is_training


@pytest.mark.slow
@pytest.mark.parametrize('num_classes', [0, None])
def test_features(tiny, num_classes):
  net, end_points = tiny(tf.zeros([2, 9, 9, 3]), num_classes, is_training=True)
  assert net is end_points['global_pool']
  assert net.shape[0] == 2
  assert not {'Logits', 'AuxLogits'} & set(end_points)


@pytest.mark.slow
@pytest.mark.parametrize('imagenet', [True, False])
@pytest.mark.parametrize('shape', [(35, 50), (None, None)])
def test_any_image_size(tiny, imagenet, shape):
  images = tf.placeholder(tf.float32, [None, *shape, 3])
  net, _ = tiny(images, imagenet=imagenet, skip_reduction=imagenet)
  assert net.shape.as_list() == [None, 10]


@pytest.mark.slow
def test_reuse_shares_variables(tiny):
  first, _ = tiny(tf.ones([1, 9, 9, 3]))
  count = len(tf.global_variables())
  second, _ = tiny(tf.ones([1, 9, 9, 3]), reuse=True)
  assert len(tf.global_variables()) == count
  np.testing.assert_array_equal(*run(first, second))


@pytest.mark.slow
def test_every_variable_gets_a_gradient(tiny):
  """Like the slow conformance test, but with three cells."""
  logits, end_points = tiny(
    tf.random_uniform([2, 9, 9, 3]), is_training=True, path_keep_prob=0.9
  )
  loss = tf.reduce_sum(logits) + tf.reduce_sum(end_points['AuxLogits'])
  gradients = tf.gradients(loss, tf.trainable_variables())
  assert None not in gradients
  assert np.isfinite(run(loss)[0])


@pytest.mark.parametrize(
  ('name', 'decay', 'epsilon'),
  [('nasnet_cifar', 0.9, 1e-5), ('nasnet_mobile', 0.9997, 1e-3)],
)
def test_batch_norm(name, decay, epsilon):
  scope = nets_factory.NETWORKS[name].arg_scope(0.0)
  settings = scope[slim.arg_scope_func_key(slim.batch_norm)]
  assert settings['decay'] == decay
  assert settings['epsilon'] == epsilon


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', ['nasnet_cifar', 'nasnet_mobile', 'pnasnet_mobile']
)
def test_training_only_variables(graph, contract_variables, name):
  """The shape of the auxiliary kernel depends on the image size."""
  network = nets_factory.NETWORKS[name]
  side = network.image_size
  fn = nets_factory.get_network_fn(name, 10, is_training=True)
  fn(tf.placeholder(tf.float32, [2, side, side, 3]))
  contract = contract_variables[f'{name}+none']
  everything = contract['variables'] + contract['training_only']
  assert {(v.op.name, tuple(v.shape)) for v in tf.global_variables()} == {
    (name, tuple(shape)) for name, shape, _ in everything
  }
  assert {
    v.op.name
    for scope in network.training_only
    for v in slim.get_variables(f'{scope}/')
  } == {
    name
    for name, *_ in contract['training_only']
    if not name.endswith('/global_step')
  }
