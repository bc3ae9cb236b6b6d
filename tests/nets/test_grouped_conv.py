"""Grouped convolution compared with one convolution for each group."""

import numpy as np
import pytest

from nets.grouped_conv import grouped_conv2d
from tf_compat import few_runs, slim, tf

BATCH, HEIGHT, WIDTH, DEPTH, OUT, GROUPS = 2, 6, 7, 12, 8, 4


def convolve(net, kernel, stride, rate):
  """Returns the VALID convolution in NumPy, with loops over pixels."""
  reach = 2 * rate
  rows = range(0, net.shape[1] - reach, stride)
  columns = range(0, net.shape[2] - reach, stride)
  windows = [
    [
      net[:, y : y + reach + 1 : rate, x : x + reach + 1 : rate]
      for x in columns
    ]
    for y in rows
  ]
  return np.einsum('yxnklc,klcd->nyxd', windows, kernel)


def by_group(net, kernel, stride, rate):
  """Concatenates the convolutions of the groups."""
  parts = zip(
    np.split(net, GROUPS, axis=3), np.split(kernel, GROUPS, axis=3), strict=True
  )
  return np.concatenate([convolve(*part, stride, rate) for part in parts], 3)


@pytest.fixture
def values():
  """A map [N, H, W, C] and a kernel [3, 3, C / groups, out]."""
  rng = np.random.default_rng(0)
  return (
    rng.normal(size=(BATCH, HEIGHT, WIDTH, DEPTH)),
    rng.normal(size=(3, 3, DEPTH // GROUPS, OUT)),
  )


@pytest.mark.parametrize(('stride', 'rate'), [(1, 1), (2, 1), (1, 2)])
def test_values_and_gradients(graph, values, stride, rate):
  """The convolution is linear, so its values determine its gradients."""
  net, kernel = values
  images = tf.constant(net, tf.float32)
  out = grouped_conv2d(
    images,
    OUT,
    3,
    stride,
    'VALID',
    rate,
    GROUPS,
    activation_fn=None,
    normalizer_fn=tf.identity,
    weights_initializer=tf.constant_initializer(kernel),
  )
  (weights,) = tf.trainable_variables()
  expected = by_group(net, kernel, stride, rate)
  cotangent = np.random.default_rng(1).normal(size=expected.shape)
  gradients = tf.gradients(
    out, [images, weights], tf.constant(cotangent, tf.float32)
  )
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    got, (from_images, from_weights) = session.run([out, gradients])
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
  # ⟨cotangent, conv(direction)⟩ = ⟨gradient, direction⟩ for any direction.
  directions = np.random.default_rng(2)
  for gradient, point, conv in (
    (from_images, net, lambda d: by_group(d, kernel, stride, rate)),
    (from_weights, kernel, lambda d: by_group(net, d, stride, rate)),
  ):
    for _ in range(3):
      direction = directions.normal(size=point.shape)
      np.testing.assert_allclose(
        (gradient * direction).sum(),
        (cotangent * conv(direction)).sum(),
        rtol=1e-4,
        atol=1e-3,
      )


def test_arg_scope_applies(graph, values):
  """Regularizer, initializer, norm, activation and collection can be set."""
  net, _ = values
  with (
    slim.arg_scope(
      [grouped_conv2d],
      weights_initializer=tf.ones_initializer(),
      weights_regularizer=slim.l2_regularizer(0.5),
      normalizer_params={'is_training': True, 'scale': True},
      outputs_collections='outputs',
    ),
    tf.variable_scope('block'),
  ):
    out = grouped_conv2d(
      tf.constant(net, tf.float32), OUT, 3, groups=GROUPS, scope='conv2'
    )
  names = {v.op.name for v in slim.get_model_variables()}
  assert names == {
    'block/conv2/weights',
    *(
      f'block/conv2/BatchNorm/{name}'
      for name in ('gamma', 'beta', 'moving_mean', 'moving_variance')
    ),
  }
  end_points = slim.utils.convert_collection_to_dict('outputs')
  assert end_points == {'block/conv2': out}
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    got, decay = session.run([out, tf.losses.get_regularization_loss()])
  assert decay == pytest.approx(0.5 * 9 * 3 * OUT / 2)
  assert got.shape == (BATCH, HEIGHT, WIDTH, OUT)
  assert (got.min(), got.mean() > 0) == (0, True)
