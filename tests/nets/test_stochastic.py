"""Dropout and uniform numbers: by chance, or by seed and step."""

import numpy as np
import pytest

from errors import UserError
from nets import nets_factory, stochastic
from tf_compat import few_runs, tf


def draw(seed, steps, kept=0.8):
  """Returns dropout of ones and uniform numbers at each step."""
  with tf.Graph().as_default(), tf.Session(config=few_runs()) as session:
    tf.set_random_seed(seed)
    step = tf.train.get_or_create_global_step()
    net = tf.ones([64, 100], name='net')
    tensors = [stochastic.dropout(net, kept), stochastic.uniform(net, [64, 1])]
    results = []
    for number in steps:
      session.run(step.assign(number))
      results.append(session.run(tensors))
  return results


@pytest.mark.parametrize('seed', [None, 5])
def test_dropout_keeps_the_mean_and_uniform_fills_the_range(seed):
  (dropped, uniform), (others, _) = draw(seed, [0, 1])
  assert set(np.unique(dropped)) == {0, np.float32(1.25)}
  assert dropped.mean() == pytest.approx(1, abs=0.05)
  assert (dropped != others).any()
  assert 0 <= uniform.min() < 0.2
  assert 0.8 < uniform.max() < 1


def test_a_seed_repeats_the_numbers_of_a_step_in_another_session():
  for one, other in zip(draw(5, range(4))[2:], draw(5, [2, 3]), strict=True):
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
  assert (draw(6, [2])[0][0] != draw(5, [2])[0][0]).any()
  assert (draw(None, [2])[0][0] != draw(None, [2])[0][0]).any()


def test_each_tensor_gets_other_numbers(graph):
  tf.set_random_seed(1)
  tf.train.get_or_create_global_step()
  net = tf.ones([100])
  first = stochastic.dropout(net)
  second = stochastic.dropout(tf.identity(net))
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    one, other = session.run([first, second])
  assert (one != other).any()


def test_nothing_is_dropped_in_evaluation(graph):
  net = stochastic.dropout(tf.ones([100]), is_training=False)
  with tf.Session(config=few_runs()) as session:
    assert session.run(net).min() == 1


def test_a_branch_is_dropped_for_whole_images_and_scaled_for_the_others(graph):
  tf.set_random_seed(3)
  step = tf.train.get_or_create_global_step()
  ones = tf.ones([400, 2, 2, 3])
  branch = stochastic.drop_path(ones, rate=0.4, depth=lambda: 0.5)
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    found = session.run(branch)
    np.testing.assert_array_equal(session.run(branch), found)
    session.run(step.assign(1))
    assert (session.run(branch) != found).any()
  images = found.reshape(400, -1)
  assert (images == images[:, :1]).all()
  assert set(np.unique(images)) == {0, np.float32(1 / 0.8)}
  assert (images[:, 0] == 0).mean() == pytest.approx(0.2, abs=0.06)


def kept(name, is_training=True, size=32, rate=0.5):
  """The probabilities with which the residual branches are kept."""
  fn = nets_factory.get_network_fn(
    name, 10, is_training=is_training, stochastic_depth_rate=rate
  )
  fn(tf.zeros([2, size, size, nets_factory.NETWORKS[name].channels or 3]))
  return tf.get_collection(stochastic.DROPPED)


@pytest.mark.parametrize(
  ('name', 'blocks', 'residual'),
  [
    ('resnet_cifar_20', 9, range(1, 10)),
    ('resnet_v1_18', 8, range(1, 9)),
    ('wide_resnet_28_10', 12, range(1, 13)),
    # Those with stride 1 and as many channels as before.
    ('mobilenet_v2', 17, (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)),
  ],
)
def test_branches_are_dropped_more_often_with_depth(
  graph, name, blocks, residual
):
  assert kept(name) == pytest.approx([1 - 0.5 * n / blocks for n in residual])


def test_evaluation_drops_no_branch(graph):
  assert kept('resnet_cifar_20', is_training=False) == []


def test_networks_without_residual_blocks_refuse_it(graph):
  with pytest.raises(UserError, match='lenet has no residual blocks'):
    kept('lenet', size=28)
