"""Batch norm in kernels, against the graph that has it still."""

import numpy as np
import pytest

from tf_compat import slim, tf
from tools.export import folding

SHAPE = 2, 9, 9, 6


def conv(net):
  return slim.conv2d(net, 8, 3, normalizer_fn=slim.batch_norm)


def scaled(net):
  return slim.conv2d(
    net, 8, 3, normalizer_fn=slim.batch_norm, normalizer_params={'scale': True}
  )


def depthwise(net):
  return slim.separable_conv2d(
    net, None, 3, 2, normalizer_fn=slim.batch_norm, activation_fn=None
  )


def grouped(net):
  kernel = slim.model_variable('kernel', [3, 3, 2, 9])
  return slim.batch_norm(tf.nn.conv2d(net, kernel, 1, 'SAME'))


def dilated(net):
  kernel = slim.model_variable('kernel', [3, 3, 6, 8])
  return slim.batch_norm(
    tf.nn.with_space_to_batch(
      net, [2, 2], 'SAME',
      lambda net, _, padding: tf.nn.conv2d(net, kernel, 1, padding), [3, 3],
    )
  )  # fmt: skip


def before_conv(net):
  return slim.conv2d(slim.batch_norm(net, scale=True), 8, 3)


def used_twice(net):
  net = slim.conv2d(net, 8, 3, activation_fn=None)
  return tf.concat([net, slim.batch_norm(net)], 3)


def shared_kernel(net):
  with tf.variable_scope('shared', reuse=tf.AUTO_REUSE):
    kernel = slim.model_variable('kernel', [3, 3, 6, 6])
  for _ in range(2):
    net = slim.batch_norm(tf.nn.conv2d(net, kernel, 1, 'SAME'))
  return net


def random_values(session):
  """Gives every variable a value, as after training."""
  rng = np.random.default_rng(0)
  for variable in tf.global_variables():
    shape = variable.shape.as_list()
    positive = variable.op.name.endswith(('moving_variance', 'gamma'))
    value = rng.uniform(0.2, 3, shape) if positive else rng.normal(0, 1, shape)
    variable.load(value.astype(np.float32), session)


@pytest.mark.parametrize(
  ('build', 'products'),
  [
    (conv, 0), (scaled, 0), (depthwise, 0), (grouped, 0), (dilated, 0),
    (shared_kernel, 0), (before_conv, 1), (used_twice, 1),
  ],
)  # fmt: skip
def test_the_folded_graph_computes_the_same(graph, build, products):
  images = tf.placeholder(tf.float32, SHAPE, 'images')
  with slim.arg_scope([slim.batch_norm], is_training=False):
    output = tf.identity(build(images), 'output')
  values = np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    random_values(session)
    expected = session.run(output, {images: values})
    constants = tf.graph_util.convert_variables_to_constants(
      session, graph.as_graph_def(), ['output']
    )
  folded = folding.fold(constants, ['output'])
  types = [node.op for node in folded.node]
  assert not [op for op in types if 'Norm' in op or op == 'Identity'][1:]
  assert types.count('Mul') == products
  with tf.Graph().as_default(), tf.Session() as session:
    tf.import_graph_def(folded, name='')
    got = session.run('output:0', {'images:0': values})
  assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()
