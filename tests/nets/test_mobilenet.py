"""Inverted residuals compared with NumPy, and options on a small MobileNet."""

import functools

import numpy as np
import pytest

from nets import mobilenet, mobilenet_v3
from nets.mobilenet import Block
from tf_compat import few_runs, slim, tf

BLOCKS = (
  Block(1, 8),
  Block(4, 16, 2, 5, squeeze=True),
  Block(2, 16, activation=mobilenet_v3.hard_swish),
  Block(2, 24, fused=True),
)


@pytest.fixture
def tiny(graph):
  """A function build(images, num_classes=10, is_training=False, …)."""
  build = functools.partial(
    mobilenet.mobilenet,
    stem=8,
    blocks=BLOCKS,
    top=32,
    activation=tf.nn.relu,
    scope='tiny',
  )

  def scoped(images, num_classes=10, is_training=False, **kwargs):
    with slim.arg_scope(mobilenet.mobilenet_arg_scope(0.5)):
      return build(images, num_classes, is_training, **kwargs)

  return scoped


def run(*tensors):
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensors)


@pytest.mark.parametrize(
  ('depth', 'rounded'), [(3, 8), (11.2, 16), (18, 24), (44.8, 48), (184.0, 184)]
)
def test_round_depth(depth, rounded):
  assert mobilenet.round_depth(depth) == rounded


def test_hard_swish(graph):
  x = np.linspace(-5, 5, 41, dtype=np.float32)
  (got,) = run(mobilenet_v3.hard_swish(tf.constant(x)))
  np.testing.assert_allclose(got, x * np.clip(x + 3, 0, 6) / 6, atol=1e-6)


def test_squeeze_excite(graph):
  net = np.random.default_rng(0).normal(size=(2, 3, 5, 16)).astype('float32')
  gated = mobilenet.squeeze_excite(tf.constant(net))
  gated, a, b = run(gated, *slim.get_variables_by_suffix('weights'))
  assert a.shape == (1, 1, 16, 8)
  hidden = np.maximum(net.mean((1, 2)) @ a[0, 0], 0)
  gate = np.clip(hidden @ b[0, 0] + 3, 0, 6) * 0.16667
  np.testing.assert_allclose(gated, net * gate[:, None, None], rtol=1e-4)


def test_which_blocks_are_residual(tiny):
  tiny(tf.zeros([1, 32, 32, 3]))
  sums = [
    op.name.split('/')[1]
    for op in tf.get_default_graph().get_operations()
    if op.type == 'AddV2' and op.name.count('/') == 2 and 'expanded' in op.name
  ]
  assert sums == ['expanded_conv', 'expanded_conv_2']


@pytest.mark.parametrize('field', ['residual', 'squeeze', 'fused'])
def test_edgetpu_table(field):
  """One block is not residual, none has a squeeze, the first nine are fused."""
  values = [getattr(block, field) for block in mobilenet_v3.EDGETPU]
  expected = {
    'residual': [index != 13 for index in range(22)],
    'squeeze': [False] * 22,
    'fused': [True] * 9 + [False] * 13,
  }
  assert values == expected[field]


@pytest.mark.parametrize(
  ('multiplier', 'top', 'pooled'),
  [(0.5, 32, None), (2.0, 64, None), (0.5, 16, 40), (2.0, 64, 80)],
)
def test_depth_multiplier_never_narrows_the_features(
  tiny, multiplier, top, pooled
):
  kwargs = {'pooled': 40} if pooled else {}
  net, end_points = tiny(
    tf.zeros([1, 32, 32, 3]), 0, depth_multiplier=multiplier, **kwargs
  )
  assert end_points['layer_6'].shape == (1, 8, 8, top)
  assert net.shape == (1, 1, 1, pooled or top)


@pytest.mark.slow
@pytest.mark.parametrize('num_classes', [0, None])
def test_features(tiny, num_classes):
  net, end_points = tiny(tf.zeros([2, 33, 65, 3]), num_classes)
  assert net.shape == (2, 1, 1, 32)
  assert net is end_points['global_pool']
  assert 'Logits' not in end_points


@pytest.mark.parametrize('shape', [(1, 1), (33, 70), (None, None)])
def test_any_image_size(tiny, shape):
  net, _ = tiny(tf.placeholder(tf.float32, [None, *shape, 3]))
  assert net.shape.as_list() == [None, 10]


def test_reuse_shares_variables(tiny):
  first, _ = tiny(tf.ones([1, 32, 32, 3]))
  count = len(tf.global_variables())
  second, _ = tiny(tf.ones([1, 32, 32, 3]), reuse=True)
  assert len(tf.global_variables()) == count
  np.testing.assert_array_equal(*run(first, second))


@pytest.mark.slow
def test_dropout_only_in_training(tiny):
  images = tf.ones([1, 32, 32, 3])
  logits = tiny(images, dropout_keep_prob=0.5)[0]
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    np.testing.assert_array_equal(session.run(logits), session.run(logits))
  tiny(images, is_training=True, dropout_keep_prob=0.5, reuse=True)
  ops = [op.type for op in tf.get_default_graph().get_operations()]
  assert ops.count('RandomUniform') == 1


def test_depthwise_kernels_are_not_decayed(tiny):
  tiny(tf.ones([1, 32, 32, 3]))
  loss = tf.losses.get_regularization_loss()
  weights = slim.get_variables_by_suffix('weights')
  pairs = zip(weights, tf.gradients(loss, weights), strict=True)
  untouched = {v.op.name for v, gradient in pairs if gradient is None}
  assert untouched == {
    f'tiny/expanded_conv{index}/depthwise/depthwise_weights'
    for index in ('', '_1', '_2')
  }


def test_batch_norm_decay(tiny):
  """An update changes a moving mean from 0 to 0.003 · mean of the batch."""
  noise = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3))
  tiny(tf.constant(noise, tf.float32), is_training=True)
  norm = next(
    op
    for op in tf.get_default_graph().get_operations()
    if op.type == 'FusedBatchNormV3'
  )
  (moving,) = slim.get_variables_by_name('tiny/Conv/BatchNorm/moving_mean')
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    values = session.run([norm.inputs[0], *updates])[0]
    got = session.run(moving)
  np.testing.assert_allclose(
    got, 0.003 * values.mean((0, 1, 2)), rtol=1e-3, atol=1e-7
  )
