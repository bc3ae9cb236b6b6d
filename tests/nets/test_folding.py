"""Batch norm in kernels, against the network that has it still."""

import operator

import numpy as np
import pytest
from network_lists import QUICK, STRUCTURES

from nets import features, folding, nets_factory
from nets.attention import memory_ops
from nets.attention.attention_factory import ATTENTION_MODULES
from tf_compat import few_runs, slim, tf

SHAPE = 2, 9, 9, 6
# Large, and without batch norm.
PLAIN = {'alexnet_v2', 'overfeat', 'vgg_a'}


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


def shared_kernel(net):
  with tf.variable_scope('shared', reuse=tf.AUTO_REUSE):
    kernel = slim.model_variable('kernel', [3, 3, 6, 6])
  for _ in range(2):
    net = slim.batch_norm(tf.nn.conv2d(net, kernel, 1, 'SAME'))
  return net


def copied(net):
  net = slim.conv2d(net, 8, 3, activation_fn=None, biases_initializer=None)
  net, _ = tf.identity_n([net, tf.reduce_mean(net)])
  return slim.batch_norm(tf.stop_gradient(net))


def unconverted(net):
  return conv(memory_ops.unconverted(net))


def before_conv(net):
  return slim.conv2d(slim.batch_norm(net, scale=True), 8, 3)


def used_twice(net):
  net = slim.conv2d(net, 8, 3, activation_fn=None)
  return tf.concat([net, slim.batch_norm(net)], 3)


def of_images(net):
  """Convolves the images with a kernel that depends on them."""
  kernel = tf.reduce_mean(net) * slim.model_variable('kernel', [3, 3, 6, 8])
  return slim.batch_norm(tf.nn.conv2d(net, kernel, 1, 'SAME'))


def random_values(session, seed=0):
  """Gives every variable a value, as after training."""
  rng = np.random.default_rng(seed)
  variables, values = tf.global_variables(), {}
  for variable in variables:
    shape, name = variable.shape.as_list(), variable.op.name.split('/')[-1]
    if name in ('moving_variance', 'gamma'):
      value = rng.uniform(0.5, 1.5, shape)
    elif name in ('moving_mean', 'beta', 'biases', 'bias'):
      value = rng.normal(0, 0.1, shape)
    else:
      inward = shape[:2] if name == 'depthwise_weights' else shape[:-1]
      value = rng.normal(0, np.sqrt(2 / max(1, np.prod(inward))), shape)
    values[variable.initializer.inputs[1]] = value
  session.run([*map(operator.attrgetter('initializer'), variables)], values)


def operations(tensor):
  """Returns the types of the operations in a copy."""
  prefix = tensor.op.name.split('/')[0]
  return [
    op.type
    for op in tensor.graph.get_operations()
    if op.name.startswith(f'{prefix}/')
  ]


def difference(got, expected):
  """Returns the largest difference, relative to the largest value."""
  return np.abs(got - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(
  ('build', 'left'),
  [
    (conv, 0), (scaled, 0), (depthwise, 0), (grouped, 0), (dilated, 0),
    (shared_kernel, 0), (copied, 0), (unconverted, 0), (before_conv, 1),
    (used_twice, 1), (of_images, 1),
  ],
)  # fmt: skip
def test_a_copy_computes_what_the_variables_say(graph, build, left):
  images = tf.placeholder(tf.float32, SHAPE)
  with slim.arg_scope([slim.batch_norm], is_training=False):
    output = build(images)
  variables = tf.global_variables()
  kept, fill_kept = folding.fold(images, output)
  every, fill_every = folding.fold(images, output, replace_all=True)
  norms = [op for op in operations(kept) if 'Norm' in op]
  assert len(norms) == left
  assert not {'Identity', 'IdentityN', 'StopGradient'} & {*operations(kept)}
  assert operations(kept).count('Bitcast') == (build is unconverted)
  assert not {op for op in operations(every) if 'Norm' in op or op == 'Bitcast'}
  products = operations(every).count('Mul') - operations(kept).count('Mul')
  assert products == left
  assert tf.global_variables() == variables
  assert not tf.local_variables()
  values = np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)
  with tf.Session() as session:
    for seed in (0, 1):
      random_values(session, seed)
      session.run([fill_kept, fill_every])
      expected, *got = session.run([output, kept, every], {images: values})
      assert difference(got[0], expected) < 1e-5
      assert difference(got[1], expected) < 1e-5


@pytest.mark.parametrize(
  ('gate', 'merged'),
  [
    (lambda net: tf.sigmoid(conv(net)), True),
    (lambda net: tf.identity(tf.sigmoid(net - 1)), True),
    (lambda net: tf.sigmoid(net), False),
    (lambda net: tf.sigmoid(tf.reduce_mean(net, [1, 2], keepdims=True)), False),
    (lambda net: tf.sigmoid(tf.constant(0.5, tf.float32, net.shape)), False),
    (lambda net: tf.sin(net), False),
  ],
)
@pytest.mark.parametrize('first', [True, False])
def test_gates_of_every_value_are_merged(graph, gate, merged, first):
  images = tf.placeholder(tf.float32, SHAPE)
  with slim.arg_scope([slim.batch_norm], is_training=False):
    net = conv(images)
    gates = gate(net)
  output = tf.multiply(*((gates, net) if first else (net, gates)))
  copy, fill = folding.fold(images, output)
  exported, fill_exported = folding.fold(images, output, replace_all=True)
  assert ('SoftplusGrad' in operations(copy)) == merged
  assert 'SoftplusGrad' not in operations(exported)
  values = np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)
  with tf.Session() as session:
    random_values(session)
    session.run([fill, fill_exported])
    expected, *got = session.run([output, copy, exported], {images: values})
  assert difference(got[0], expected) < 1e-5
  assert difference(got[1], expected) < 1e-5


def test_a_gate_that_is_used_twice_is_kept(graph):
  images = tf.placeholder(tf.float32, SHAPE)
  gate = tf.sigmoid(images - 1)
  copy, _ = folding.fold(images, images * gate + gate)
  assert 'Sigmoid' in operations(copy)


def test_a_check_of_the_images_is_not_dropped(graph):
  images = tf.placeholder(tf.float32, SHAPE)
  with tf.control_dependencies([tf.assert_positive(images)]):
    output = conv(tf.identity(images))
  with pytest.raises(ValueError, match='assert_positive'):
    folding.fold(images, output)


def test_a_check_before_a_product_with_a_gate_is_not_dropped(graph):
  images = tf.placeholder(tf.float32, SHAPE)
  gate = tf.sigmoid(images - 1)
  with tf.control_dependencies([tf.assert_positive(images)]):
    output = images * gate
  with pytest.raises(ValueError, match='assert_positive'):
    folding.fold(images, output)


@pytest.mark.parametrize(
  ('name', 'attention'),
  [
    (name, 'none')
    if f'{name}+none' in QUICK or name in QUICK
    else pytest.param(name, 'none', marks=pytest.mark.slow)
    for name in STRUCTURES
    if name not in PLAIN
  ]
  + [('tiny', kind) for kind in ATTENTION_MODULES]
  + [('tiny', 'cbam_block(spatial_batch_norm=True)')],
)
def test_every_network_and_attention(graph, short_networks, name, attention):
  network = nets_factory.NETWORKS[name]
  shape = [2, *[network.min_image_size] * 2, network.channels or 3]
  images = tf.placeholder(tf.float32, shape)
  logits, _ = nets_factory.get_network_fn(name, 10, attention_module=attention)(
    images
  )
  folded, fill = folding.fold(images, logits)
  outputs = [
    logits,
    folded,
    features.of_logits(logits),
    features.of_logits(folded),
  ]
  values = np.random.default_rng(1).uniform(-1, 1, shape)
  with tf.Session(config=few_runs()) as session:
    random_values(session)
    session.run(fill)
    expected, got, vectors, folded_vectors = session.run(
      outputs, {images: values}
    )
  assert difference(got, expected) < 1e-5
  assert difference(folded_vectors, vectors) < 1e-5
