"""Pools, products and modules compared with plain TensorFlow."""

import gc
import weakref

import numpy as np
import pytest

from benchmarks import plain_attention
from nets.attention import memory_ops
from nets.attention.attend import BLOCK, GATES, STAGE, attend
from nets.attention.attention_factory import ATTENTION_MODULES, get_attention
from nets.attention.memory_ops import CHANNELS, COLUMNS, ROWS, SPACE
from tf_compat import tf

# Channels that are a multiple of LANES or not; odd sides; a single pixel; a
# single channel.
SHAPES = [
  (2, 5, 7, 32),
  (3, 4, 3, 48),
  (2, 1, 1, 16),
  (2, 3, 6, 20),
  (2, 4, 4, 1),
]
PLAIN = {
  'avg': tf.reduce_mean,
  'max': tf.reduce_max,
  'lse': tf.reduce_logsumexp,
  'lp': lambda net, axes, keepdims: tf.sqrt(
    tf.reduce_sum(net**2, axes, keepdims=keepdims)
  ),
}


def noise(shape, seed=0):
  return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def outcome(function, shape, known):
  """Returns function(net), the gates, and gradients by net and variables.

  The gradients are of a sum in which every output has another weight and which
  also depends on net directly.
  """
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(1)
    sides = shape if known else [None, None, None, shape[3]]
    net = tf.placeholder(tf.float32, sides)
    outputs = function(net)
    total = tf.reduce_sum(net**2) + sum(
      tf.reduce_sum(tf.cos(3 * output) * (index + 1))
      for index, output in enumerate(outputs)
    )
    gates = tf.get_collection(GATES)
    by = [net, *gates, *tf.trainable_variables()]
    session.run(tf.global_variables_initializer())
    fetches = [outputs, gates, tf.gradients(total, by)]
    return session.run(fetches, {net: noise(shape)})


def assert_alike(optimized, plain):
  for one, other in zip(
    tf.nest.flatten(optimized), tf.nest.flatten(plain), strict=True
  ):
    np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize('known', [True, False])
@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize(
  'axes',
  [SPACE, CHANNELS, ROWS, COLUMNS],
  ids=['space', 'channels', 'rows', 'columns'],
)
def test_pools(axes, shape, known):
  """Each pool alone, and all together."""
  assert set(memory_ops.POOLS) == set(PLAIN)
  for kinds in (*((kind,) for kind in PLAIN), tuple(PLAIN)):

    def optimized(net, kinds=kinds):
      net, pools = memory_ops.pool(net, axes, kinds)
      return net, *pools

    def plain(net, kinds=kinds):
      return net, *(PLAIN[kind](net, axes, keepdims=True) for kind in kinds)

    assert_alike(outcome(optimized, shape, known), outcome(plain, shape, known))


@pytest.mark.parametrize('known', [True, False])
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_scale_and_shift(shape, known):
  """By a value per channel, position, row and column."""
  for axes in (SPACE, CHANNELS, ROWS, COLUMNS):

    def combined(scale, shift, axes=axes):
      def function(net):
        part = tf.reduce_mean(net, axes, keepdims=True)
        net = scale(net, tf.sigmoid(part))
        return [net, shift(net, tf.sin(part)) if axes == SPACE else net]

      return function

    assert_alike(
      outcome(combined(memory_ops.scale, memory_ops.shift), shape, known),
      outcome(combined(tf.multiply, tf.add), shape, known),
    )


@pytest.mark.parametrize('known', [True, False])
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_shift_of_positions(shape, known):
  def outer(shift):
    def function(net):
      places = tf.reduce_mean(net, CHANNELS, keepdims=True)
      return [shift(places, tf.reduce_mean(net, SPACE, keepdims=True))]

    return function

  assert_alike(
    outcome(outer(memory_ops.shift), shape, known),
    outcome(outer(tf.add), shape, known),
  )


@pytest.mark.slow
@pytest.mark.parametrize('known', [True, False])
@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('name', list(plain_attention.MODULES))
def test_modules(name, shape, known):
  """Values, gates and gradients are those of the plain formula."""

  def attended(module):
    def function(net):
      gated, gates = module(net)
      for gate in gates:
        tf.add_to_collection(GATES, gate)
      return [gated]

    return function

  assert_alike(
    outcome(attended(get_attention(name)), shape, known),
    outcome(attended(plain_attention.MODULES[name]), shape, known),
  )


@pytest.mark.parametrize('known', [True, False])
@pytest.mark.parametrize('channels', [32, 20])
@pytest.mark.parametrize('axes', [SPACE, CHANNELS], ids=['space', 'channels'])
def test_equal_maxima_share_one_gradient(axes, channels, known):
  """As after a relu, where all values of a channel or pixel may be zero."""
  net = np.maximum(noise((2, 5, 7, channels)), 0)
  net[0, 1:3] = net[..., 3:9] = 0
  net[1] = 0
  shape = net.shape if known else [None, None, None, channels]
  with tf.Graph().as_default(), tf.Session() as session:
    fed = tf.placeholder(tf.float32, shape)
    _, (maxima,) = memory_ops.pool(fed, axes, ['max'])
    weights = tf.random_normal(tf.shape(maxima), seed=1)
    gradient = tf.gradients(maxima, fed, weights)
    maxima, weights, (gradient,) = session.run(
      [maxima, weights, gradient], {fed: net}
    )
  np.testing.assert_array_equal(maxima, net.max(axes, keepdims=True))
  assert not gradient[net < maxima].any()
  np.testing.assert_allclose(
    gradient.sum(axes, keepdims=True), weights, rtol=1e-5, atol=1e-6
  )


def test_the_plain_formula_has_the_same_variables(graph):
  for name, function in plain_attention.MODULES.items():
    attend(
      tf.zeros([1, 4, 4, 32]), module=get_attention(name), scope='optimized'
    )
    with tf.variable_scope('plain'):
      function(tf.zeros([1, 4, 4, 32]))
  shapes = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
  optimized, plain = (
    {n.split('/', 1)[1]: s for n, s in shapes.items() if n.startswith(scope)}
    for scope in ('optimized', 'plain')
  )
  assert optimized == plain


@pytest.mark.parametrize('name', list(plain_attention.MODULES))
def test_an_imported_graph_computes_the_same(name):
  shape = (2, 5, 7, 32)
  with tf.Graph().as_default() as graph, tf.Session() as session:
    net = tf.placeholder(tf.float32, shape, name='net')
    gated, _ = get_attention(name)(net)
    gated = tf.identity(gated, name='gated')
    session.run(tf.global_variables_initializer())
    expected = session.run(gated, {net: noise(shape)})
    frozen = tf.graph_util.convert_variables_to_constants(
      session, graph.as_graph_def(), ['gated']
    )
  with tf.Graph().as_default(), tf.Session() as session:
    tf.import_graph_def(frozen, name='')
    got = session.run('gated:0', {'net:0': noise(shape)})
  np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('name', ATTENTION_MODULES)
def test_graphs_are_garbage_collected(name):
  """A gradient function registered at each use would keep them alive."""
  with tf.Graph().as_default() as graph:
    net = tf.zeros([1, 3, 3, 16])
    total = tf.reduce_sum(attend(net, get_attention(name), at=(BLOCK, STAGE)))
    tf.gradients(total, net)
  reference = weakref.ref(graph)
  del graph, net, total
  gc.collect()
  assert reference() is None
