"""Every attention module compared with NumPy, its gradients and variables."""

import numpy as np
import pytest
from formulas import FORMS, FORMULAS, TEXTS

from nets.attention.attend import BLOCK, STAGE, VARIABLES, attend
from nets.attention.attention_factory import ATTENTION_MODULES, get_attention
from registry import parse_name
from tf_compat import few_runs, slim, tf

SHAPES = [
  (2, 5, 7, 16),
  (3, 4, 6, 20),
  (2, 1, 9, 3),
  (3, 5, 3, 2),
  (1, 1, 1, 1),
]
NORMED = (
  'bam_block',
  'coord_block',
  'cbam_block(spatial_batch_norm',
  'cbam_block(ratio=16, ',
  'triplet_block',
)


def weight(name, shape, rng):
  """Returns a value for a variable, large enough that gates differ."""
  value = rng.standard_normal(shape)
  return abs(value) + 0.5 if name.endswith('moving_variance') else value


def build(text, net, is_training=False):
  """Returns attend(net) for a flag value, at the module's default point."""
  with slim.arg_scope([slim.batch_norm], is_training=is_training):
    return attend(net, module=get_attention(text), at=(BLOCK, STAGE))


def assign(session, values):
  """Sets every variable of the default graph, by name."""
  variables = tf.global_variables()
  session.run(
    [v.initializer for v in variables],
    {v.initializer.inputs[1]: values[v.op.name] for v in variables},
  )


def by_layer(values):
  """{'cbam_block/sp_at/conv/kernel': …} -> {'sp_at/conv': {'kernel': …}}."""
  layers = {}
  for name, value in values.items():
    layer, part = name.split('/', 1)[1].rsplit('/', 1)
    layers.setdefault(layer, {})[part] = value
  return layers


def run(text, net, is_training=False, weight=weight):
  """Returns the gated map, and that of the formula with the same weights."""
  rng = np.random.default_rng(1)
  with tf.Graph().as_default(), tf.Session(config=few_runs()) as session:
    attended = build(text, tf.constant(net), is_training)
    values = {
      v.op.name: weight(v.op.name, v.shape.as_list(), rng)
      for v in tf.global_variables()
    }
    assign(session, values)
    got = session.run(attended)
  name, options = parse_name(text)
  options = ATTENTION_MODULES[name].defaults | options
  expected = FORMULAS[name](
    net.astype(float), by_layer(values), is_training, **options
  )
  return got, expected


def test_every_module_and_option_is_compared():
  assert set(FORMULAS) == set(ATTENTION_MODULES)
  tested = {name: set() for name in ATTENTION_MODULES}
  for name, options in map(parse_name, TEXTS):
    tested[name] |= set(options)
  assert tested == {n: set(k.defaults) for n, k in ATTENTION_MODULES.items()}


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('text', TEXTS)
def test_formula(text, shape):
  net = np.random.default_rng(0).standard_normal(shape)
  got, expected = run(text, net)
  np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('text', [t for t in TEXTS if t.startswith(NORMED)])
def test_formula_in_training(text, shape):
  """Batch norm uses the batch's statistics."""
  net = np.random.default_rng(0).standard_normal(shape)
  got, expected = run(text, net, is_training=True)
  np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('dtype', 'tolerance'), [('float32', 2e-5), ('float16', 2e-2)]
)
@pytest.mark.parametrize('text', FORMS)
def test_formula_in_less_precision(text, dtype, tolerance):
  def small(name, shape, rng):
    return weight(name, shape, rng) / 4

  net = np.random.default_rng(0).standard_normal((2, 5, 7, 16)).astype(dtype)
  got, expected = run(text, net, weight=small)
  assert got.dtype == dtype
  np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize('text', TEXTS)
def test_gradient(graph, text, is_training):
  """Compares with finite differences, for the input and every variable."""
  rng = np.random.default_rng(0)
  net = tf.get_variable('net', [2, 5, 6, 8], tf.float64)
  attended = build(text, net, is_training)
  # With different weights, so that no pixel can be confused with another.
  total = tf.reduce_sum(attended * rng.standard_normal(attended.shape))
  variables = tf.trainable_variables()
  gradients = tf.gradients(total, variables)
  values = {
    v.op.name: weight(v.op.name, v.shape.as_list(), rng)
    for v in tf.global_variables()
  }
  with tf.Session(config=few_runs()) as session:

    def total_at(name, value):
      assign(session, values | {name: value})
      return session.run(total)

    assign(session, values)
    for variable, gradient in zip(
      variables, session.run(gradients), strict=True
    ):
      name = variable.op.name
      along = rng.standard_normal(gradient.shape)
      above, below = (
        total_at(name, values[name] + step * along) for step in (1e-6, -1e-6)
      )
      expected = pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-7)
      assert (gradient * along).sum() == expected, name


@pytest.mark.parametrize(
  ('text', 'share'), [('se_block', 2), ('cbam_block', 4)]
)
def test_zero_weights_scale_by_an_exact_factor(text, share):
  net = np.random.default_rng(0).standard_normal((2, 5, 7, 24))
  net = net.astype(np.float32)
  got, _ = run(text, net, weight=lambda name, shape, rng: np.zeros(shape))
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
  build(text.format(ratio), tf.zeros([1, 2, 2, channels]))
  hidden = max(1, channels // ratio)
  assert (
    sum(v.shape.num_elements() for v in tf.trainable_variables())
    == 2 * channels * hidden + hidden + channels + spatial
  )


@pytest.mark.parametrize('text', TEXTS)
def test_initial_values(graph, text):
  """Kernels of variance 2 / fan_in, or zero where a sum ends; no bias."""
  tf.set_random_seed(0)
  build(text, tf.zeros([1, 2, 2, 512]))
  start = {'bias': 0, 'beta': 0, 'moving_mean': 0}
  start |= {'gamma': 0 if 'norm_gamma=0' in text else 1, 'moving_variance': 1}
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    for variable in tf.global_variables():
      value = session.run(variable)
      *_, layer, part = variable.op.name.split('/')
      if part in start:
        assert (value == start[part]).all()
      elif layer == 'expand' and 'scale' not in text:
        assert not value.any()
      elif value.size > 1000:
        fan_in = value.size / value.shape[-1]
        assert value.std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize('channels', [1, 2, 3, 16])
@pytest.mark.parametrize('text', FORMS)
def test_batch_and_sides_may_be_unknown(graph, text, channels):
  net = tf.placeholder(tf.float32, [None, None, None, channels])
  attended = build(text, net, is_training=True)
  gradients = tf.gradients(attended, [net, *tf.trainable_variables()])
  assert attended.shape.as_list()[3] == channels
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    for shape in ((1, 3, 5, channels), (2, 6, 1, channels)):
      fed = {net: np.ones(shape)}
      assert session.run(attended, fed).shape == shape
      assert all(np.isfinite(g).all() for g in session.run(gradients, fed))


@pytest.mark.slow
@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
@pytest.mark.parametrize('text', FORMS)
def test_half_precision_trains(graph, text, dtype):
  """Outputs and gradients have the dtype of the input and are finite."""
  net = tf.random_normal([2, 7, 5, 16], dtype=dtype, seed=0)
  attended = build(text, net, is_training=True)
  gradients = tf.gradients(attended, [net, *tf.trainable_variables()])
  assert attended.dtype == dtype
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    for gradient in session.run(gradients):
      assert np.isfinite(gradient.astype(float)).all()


@pytest.mark.parametrize('text', FORMS)
def test_variables_are_model_variables_and_only_kernels_decay(graph, text):
  attend(
    tf.zeros([1, 4, 4, 8]),
    module=get_attention(text),
    weights_regularizer=slim.l2_regularizer(1.0),
    at=(BLOCK, STAGE),
  )
  variables = tf.global_variables()
  assert set(slim.get_model_variables()) == set(variables)
  assert set(tf.get_collection(VARIABLES)) == set(variables)
  decayed = {
    loss.op.name.split('/Regularizer/')[0]
    for loss in tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  }
  names = {v.op.name for v in tf.trainable_variables()}
  assert decayed == {name for name in names if name.endswith('/kernel')}
