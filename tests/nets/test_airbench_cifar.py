"""airbench_cifar: whitening, identity kernels, and biases that learn faster."""

import numpy as np
import pytest

from nets import airbench_cifar
from nets.nets_factory import get_network_fn
from tf_compat import few_runs, tf


def test_whitening_decorrelates_patches_with_the_covariance_of_cifar():
  """Images whose pixels depend on their neighbors as CIFAR-10's do."""
  rng = np.random.default_rng(0)
  pixels = [(y, x) for y in (0, 1) for x in (0, 1)]
  covariance = np.array(
    [
      [
        airbench_cifar.COVARIANCE[abs(y - v), abs(x - u)][i][j]
        for v, u in pixels
        for j in range(3)
      ]
      for y, x in pixels
      for i in range(3)
    ]
  )
  patches = rng.multivariate_normal(np.zeros(12), covariance, 200_000)
  kernel = airbench_cifar.whitening_kernel(epsilon=0)
  assert kernel.shape == (2, 2, 3, 24)
  outputs = patches @ kernel.reshape(12, 24)
  np.testing.assert_array_equal(outputs[:, :12], -outputs[:, 12:])
  np.testing.assert_allclose(np.cov(outputs[:, :12].T), np.eye(12), atol=0.02)


@pytest.mark.parametrize('outputs', [4, 6, 9])
def test_kernels_pass_on_their_inputs(graph, outputs):
  values = np.random.default_rng(1).normal(size=(2, 5, 5, 6))
  kernel = airbench_cifar.identity_kernel([3, 3, 6, outputs], tf.float32)
  net = tf.nn.conv2d(tf.constant(values, tf.float32), kernel, padding='SAME')
  with tf.Session(config=few_runs()) as session:
    net, kernel = session.run([net, kernel])
  passed = min(outputs, 6)
  np.testing.assert_allclose(
    net[..., :passed], values[..., :passed], rtol=1e-5, atol=1e-6
  )
  # Uniform between -1 / sqrt(n) and 1 / sqrt(n).
  random = kernel[..., passed:] * np.sqrt(3 * 3 * 6)
  assert (abs(random) <= 1).all()
  if random.size:
    assert random.std() == pytest.approx(1 / np.sqrt(3), rel=0.1)


def test_biases_learn_64_times_as_fast(graph):
  """One step changes what is added by 64 · rate · gradient."""
  rng = np.random.default_rng(2)
  net = tf.constant(rng.normal(size=(2, 3, 3, 4)), tf.float32)
  weights = rng.normal(size=(2, 3, 3, 4)).astype(np.float32)
  output = airbench_cifar._bias(net)
  loss = tf.reduce_sum(output * weights)
  step = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    before = session.run(output)
    session.run(step)
    change = session.run(output) - before
  expected = -64 * 0.01 * weights.sum((0, 1, 2))
  np.testing.assert_allclose(
    change, np.broadcast_to(expected, change.shape), rtol=1e-4, atol=1e-5
  )


def test_gray_images_are_whitened_as_three_equal_colors(graph):
  network_fn = get_network_fn('airbench_cifar', 10)
  values = np.random.default_rng(3).normal(size=(2, 9, 9, 1))
  gray = tf.constant(values, tf.float32)
  whitened = []
  for scope, images in (('gray', gray), ('color', tf.repeat(gray, 3, 3))):
    with tf.variable_scope(scope):
      _, end_points = network_fn(images)
    whitened.append(end_points['whiten'])
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    of_gray, of_color = session.run(whitened)
  np.testing.assert_allclose(of_gray, of_color, rtol=1e-4, atol=1e-3)


def test_only_the_whitening_kernel_is_fixed_and_undecayed(graph):
  get_network_fn('airbench_cifar', 10, weight_decay=1.0)(
    tf.zeros([1, 32, 32, 3])
  )
  kernels = {
    v.op.name for v in tf.model_variables() if v.op.name.endswith('weights')
  }
  trained = kernels & {v.op.name for v in tf.trainable_variables()}
  assert kernels - trained == {'AirbenchCifar/whiten/weights'}
  losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  assert len(losses) == len(trained) == 7
