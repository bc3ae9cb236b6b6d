"""SE and CBAM against their formulas in NumPy."""

import numpy as np
import pytest

from nets.attention import attention_factory
from nets.attention.attend import attend
from tf_compat import slim, tf

SHAPES = [(2, 5, 7, 16), (3, 4, 6, 20), (2, 1, 9, 3), (1, 1, 1, 1)]


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def mlp(net, first, second):
  """[N, C] through relu(net · kernel + bias) · kernel + bias."""
  hidden = np.maximum(net @ first['kernel'] + first['bias'], 0)
  return hidden @ second['kernel'] + second['bias']


def se_reference(net, weights):
  scores = mlp(
    net.mean((1, 2)), weights['bottleneck_fc'], weights['recover_fc']
  )
  return net * sigmoid(scores)[:, None, None]


def cbam_reference(net, weights):
  layers = weights['ch_at/mlp_0'], weights['ch_at/mlp_1']
  scores = mlp(net.mean((1, 2)), *layers) + mlp(net.max((1, 2)), *layers)
  net = net * sigmoid(scores)[:, None, None]
  pooled = np.stack([net.mean(3), net.max(3)], 3)
  kernel = weights['sp_at/conv']['kernel']
  size, margin = len(kernel), len(kernel) // 2
  around = [(0, 0), (margin, margin), (margin, margin), (0, 0)]
  windows = np.lib.stride_tricks.sliding_window_view(
    np.pad(pooled, around), (size, size), (1, 2)
  )  # [N, H, W, 2, k, k]
  scores = np.einsum('nhwcij,ijco->nhwo', windows, kernel)
  return net * sigmoid(scores)


REFERENCES = {'se_block': se_reference, 'cbam_block': cbam_reference}


def run(text, net, weight):
  """attend(net) under the flag value, with weight(shape) for each variable.

  Returns the gated map and the weights by layer and part.
  """
  module = attention_factory.get_attention(text)
  with tf.Graph().as_default(), tf.Session() as session:
    with slim.arg_scope([attend], module=module):
      attended = attend(tf.constant(net))
    variables = tf.global_variables()
    values = {v.op.name: weight(v.shape.as_list()) for v in variables}
    session.run(
      [v.initializer for v in variables],
      {v.initializer.inputs[1]: values[v.op.name] for v in variables},
    )
    weights = {}
    for name, value in values.items():
      _, layer = name.split('/', 1)
      layer, part = layer.rsplit('/', 1)
      weights.setdefault(layer, {})[part] = value
    return session.run(attended), weights


def test_every_module_has_a_reference():
  assert set(REFERENCES) == set(attention_factory.ATTENTION_MODULES)


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize(
  'text',
  [
    'se_block',
    'se_block(ratio=2)',
    'cbam_block',
    'cbam_block(ratio=3, kernel_size=3)',
    'cbam_block(kernel_size=1)',
  ],
)
def test_formula(text, shape):
  rng = np.random.default_rng(0)
  net = rng.standard_normal(shape).astype(np.float32)
  got, weights = run(
    text, net, lambda shape: rng.standard_normal(shape).astype(np.float32)
  )
  expected = REFERENCES[text.split('(')[0]](net.astype(float), weights)
  np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
  ('text', 'share'), [('se_block', 2), ('cbam_block', 4)]
)
def test_zero_weights_give_an_exact_share(text, share):
  net = np.random.default_rng(0).standard_normal((2, 5, 7, 24))
  net = net.astype(np.float32)
  got, _ = run(text, net, np.zeros)
  np.testing.assert_array_equal(got, net / share)


@pytest.mark.parametrize('channels', [1, 6, 64, 256, 2048])
@pytest.mark.parametrize('ratio', [2, 4, 8, 16, 32])
@pytest.mark.parametrize(
  ('text', 'spatial'),
  [
    ('se_block(ratio={})', 0),
    ('cbam_block(ratio={})', 2 * 7 * 7),
    ('cbam_block(ratio={}, kernel_size=3)', 2 * 3 * 3),
  ],
)
def test_parameter_count(graph, text, spatial, ratio, channels):
  """2·C·h + h + C with h = max(1, C // r), and 2·k·k for CBAM."""
  module = attention_factory.get_attention(text.format(ratio))
  attend(tf.zeros([1, 2, 2, channels]), module=module)
  hidden = max(1, channels // ratio)
  assert (
    sum(v.shape.num_elements() for v in tf.trainable_variables())
    == 2 * channels * hidden + hidden + channels + spatial
  )


@pytest.mark.parametrize('text', ['se_block', 'cbam_block'])
def test_initial_values(graph, text):
  """Kernels of variance 2 / fan_in, zero biases."""
  tf.set_random_seed(0)
  attend(tf.zeros([1, 2, 2, 512]), module=attention_factory.get_attention(text))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for variable in tf.global_variables():
      value = session.run(variable)
      if variable.op.name.endswith('bias'):
        assert not value.any()
      elif value.size > 1000:
        fan_in = value.size / value.shape[-1]
        assert value.std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)


@pytest.mark.parametrize('text', ['se_block', 'cbam_block'])
def test_batch_and_sides_may_be_unknown(graph, text):
  net = tf.placeholder(tf.float32, [None, None, None, 4])
  attended = attend(net, module=attention_factory.get_attention(text))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for shape in ((1, 3, 5, 4), (2, 6, 2, 4)):
      assert session.run(attended, {net: np.ones(shape)}).shape == shape
