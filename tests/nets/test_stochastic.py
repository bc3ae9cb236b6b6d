"""Dropout and uniform numbers: by chance, or by seed and step."""

import numpy as np
import pytest

from nets import stochastic
from tf_compat import tf


def draw(seed, steps, kept=0.8):
  """Returns dropout of ones and uniform numbers at each step."""
  with tf.Graph().as_default(), tf.Session() as session:
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
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    one, other = session.run([first, second])
  assert (one != other).any()


def test_nothing_is_dropped_in_evaluation(graph):
  net = stochastic.dropout(tf.ones([100]), is_training=False)
  with tf.Session() as session:
    assert session.run(net).min() == 1
