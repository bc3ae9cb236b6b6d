"""LeNet and CifarNet: dropout, weight decay and initial values."""

import numpy as np
import pytest

from nets.nets_factory import get_network_fn
from tf_compat import few_runs, tf

NAMES = ['lenet', 'cifarnet']


@pytest.mark.parametrize('is_training', [True, False])
@pytest.mark.parametrize('name', NAMES)
def test_dropout_only_in_training(graph, name, is_training):
  images = tf.ones([2, 32, 32, 3])
  logits, _ = get_network_fn(name, 10, is_training=is_training)(images)
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    first, second = session.run(logits), session.run(logits)
  assert np.array_equal(first, second) != is_training


def test_dropout_zeroes_half_and_doubles_the_rest(graph):
  fn = get_network_fn('lenet', 10, is_training=True)
  _, end_points = fn(tf.random_normal([8, 28, 28, 1]))
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    before, after = session.run([end_points['fc3'], end_points['dropout3']])
  positive = before > 0
  before, after = before[positive], after[positive]
  nonzero = after > 0
  assert nonzero.mean() == pytest.approx(0.5, abs=0.05)
  np.testing.assert_allclose(after[nonzero], 2 * before[nonzero])


@pytest.mark.parametrize(
  ('name', 'decayed'),
  [('lenet', {'conv1', 'conv2', 'fc3', 'fc4'}), ('cifarnet', {'fc3', 'fc4'})],
)
@pytest.mark.parametrize('weight_decay', [0.0, 0.5])
def test_weight_decay(graph, name, decayed, weight_decay):
  """The loss is weight_decay / 2 · Σ w² for the layers that TF-Slim decays."""
  get_network_fn(name, 10, weight_decay=weight_decay)(tf.ones([1, 32, 32, 3]))
  losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  weights = [
    v
    for v in tf.global_variables()
    if v.op.name.split('/')[1] in decayed and v.op.name.endswith('weights')
  ]
  if not weight_decay:
    assert not losses
    return
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    losses, weights = session.run([losses, weights])
  expected = [weight_decay / 2 * (w.astype(float) ** 2).sum() for w in weights]
  np.testing.assert_allclose(sorted(losses), sorted(expected), rtol=1e-4)


@pytest.mark.parametrize(
  ('name', 'stddev', 'biases'),
  [
    ('lenet', {'conv2': 0.1, 'fc3': 0.1, 'fc4': 0.1}, 0.0),
    (
      'cifarnet',
      {'conv2': 0.05, 'fc3': 0.04, 'fc4': 0.04, 'logits': 1 / 192},
      0.1,
    ),
  ],
)
def test_initial_values(graph, name, stddev, biases):
  tf.set_random_seed(0)
  get_network_fn(name, 100)(tf.ones([1, 32, 32, 3]))
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    values = {v.op.name.split('/', 1)[1]: v for v in tf.global_variables()}
    values = session.run(values)
  for layer, expected in stddev.items():
    # A normal truncated at two deviations has 0.88 of the deviation.
    assert values[f'{layer}/weights'].std() == pytest.approx(
      0.8796 * expected, rel=0.03
    )
  assert (values['fc3/biases'] == np.float32(biases)).all()
  assert not values['conv1/biases'].any()
  last = 'logits' if 'logits' in stddev else 'fc4'
  assert not values[f'{last}/biases'].any()


@pytest.mark.parametrize(
  ('name', 'width'), [('lenet', 1024), ('cifarnet', 192)]
)
def test_features_without_classes(graph, name, width):
  net, end_points = get_network_fn(name, 0)(tf.ones([2, 28, 28, 3]))
  assert net.shape == (2, width)
  assert 'Logits' not in end_points
