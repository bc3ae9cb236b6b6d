"""Parameters and multiply-adds against hand counts and published figures."""

import pytest

from nets import complexity, nets_factory
from tf_compat import slim, tf


def layer(output: tf.Tensor) -> complexity.Layer:
  """Returns the only layer that a tensor depends on."""
  (only,) = complexity.layers(output)
  return only


def test_convolution(graph):
  """3x3, 8 -> 16 channels, stride 2, with batch norm and its beta."""
  net = slim.conv2d(
    tf.zeros([1, 10, 12, 8]), 16, 3, 2, normalizer_fn=slim.batch_norm, scope='a'
  )
  assert layer(net) == complexity.Layer(
    'a', (5, 6, 16), 9 * 8 * 16 + 16, 5 * 6 * 16 * 9 * 8
  )


def test_dilated_convolution(graph):
  net = slim.conv2d(tf.zeros([1, 9, 9, 8]), 4, 3, rate=2, scope='a')
  assert layer(net).multiply_adds == 9 * 9 * 4 * 9 * 8


def test_grouped_convolution(graph):
  kernel = slim.model_variable('a/weights', [3, 3, 2, 16])
  net = tf.nn.conv2d(tf.zeros([1, 5, 5, 8]), kernel, 1, 'SAME')
  assert layer(net) == complexity.Layer('a', (5, 5, 16), 288, 25 * 16 * 9 * 2)


def test_separable_convolution(graph):
  """A depthwise and a pointwise kernel in one layer."""
  net = slim.separable_conv2d(tf.zeros([1, 6, 6, 8]), 16, 3, scope='a')
  assert layer(net) == complexity.Layer(
    'a', (6, 6, 16), 72 + 128 + 16, 36 * 8 * 9 + 36 * 8 * 16
  )


def test_dense(graph):
  net = slim.fully_connected(tf.zeros([1, 20]), 5, scope='a')
  assert layer(net) == complexity.Layer('a', (5,), 105, 100)


@pytest.mark.parametrize('transposed', [False, True])
def test_tensordot(graph, transposed):
  """A dense layer at each of 4 x 4 pixels."""
  kernel = slim.model_variable('a/kernel', [5, 8] if transposed else [8, 5])
  axes = [[3], [1 if transposed else 0]]
  net = tf.tensordot(tf.zeros([1, 4, 4, 8]), kernel, axes)
  bias = slim.model_variable('a/bias', [5])
  net = tf.nn.bias_add(net, bias)
  assert layer(net) == complexity.Layer('a', (4, 4, 5), 45, 16 * 40)


def attention_map(form: str, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
  """Returns [N, 7, 5], the product of a [N, 7, 3] and b [N, 5, 3]."""
  if form == 'einsum':
    return tf.einsum('nqc,nkc->nqk', a, b)
  if form == 'ellipsis':
    return tf.einsum('...qc,...kc->...qk', a, b)
  if form == 'adjoint':
    return tf.matmul(tf.transpose(a, [0, 2, 1]), b, True, True)
  return tf.matmul(a, b, transpose_b=True)


def test_pooling_by_a_matrix_does_not_count(graph):
  shares = tf.constant([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
  net = tf.einsum('ih,nhwc->niwc', shares, tf.zeros([1, 4, 4, 8]))
  assert complexity.layers(net) == []


@pytest.mark.parametrize('form', ['matmul', 'adjoint', 'einsum', 'ellipsis'])
def test_product_of_activations(graph, form):
  with tf.name_scope('gate'):
    net = attention_map(form, tf.zeros([2, 7, 3]), tf.zeros([2, 5, 3]))
  product = layer(net)
  assert product.name.split('/')[0] == 'gate'
  assert (product.shape, product.parameters) == ((7, 5), 0)
  assert product.multiply_adds == 2 * 7 * 5 * 3


def test_a_norm_of_its_own_and_a_shared_kernel(graph):
  """Shared parameters count once, but their multiply-adds at each use."""
  net = slim.batch_norm(
    tf.zeros([1, 4, 4, 2]), scale=True, is_training=False, scope='norm'
  )
  for reuse in (False, True):
    net = slim.conv2d(net, 2, 1, scope='a', reuse=reuse)
  assert complexity.layers(net) == [
    complexity.Layer('norm', (4, 4, 2), 4, 0),
    complexity.Layer('a', (4, 4, 2), 6, 2 * 16 * 4),
  ]
  assert complexity.multiply_adds(net) == 128


def test_layers_that_the_output_does_not_need_do_not_count(graph):
  net = slim.conv2d(tf.zeros([1, 4, 4, 2]), 2, 1, scope='a')
  slim.conv2d(net, 100, 3, scope='head')
  assert [layer.name for layer in complexity.layers(net)] == ['a']


def test_unknown_shapes_are_refused(graph):
  net = slim.conv2d(tf.placeholder(tf.float32, [None, 4, 4, 2]), 2, 1)
  with pytest.raises(ValueError, match='Conv/Conv2D has an unknown shape'):
    complexity.layers(net)


@pytest.mark.slow
@pytest.mark.parametrize('attention', ['none', 'cbam_block'])
def test_every_parameter_of_a_network_is_in_one_layer(graph, attention):
  fn = nets_factory.get_network_fn(
    'resnet_v1_50', 7, attention_module=attention
  )
  logits, _ = fn(tf.zeros([1, 64, 64, 3]))
  layers = complexity.layers(logits)
  parameters, multiply_adds = complexity.total(layers)
  assert parameters == sum(
    v.shape.num_elements() for v in tf.trainable_variables()
  )
  assert multiply_adds == complexity.multiply_adds(logits)
  assert layers[-1] == complexity.Layer(
    'resnet_v1_50/logits', (1, 1, 7), 2048 * 7 + 7, 2048 * 7
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  ('model', 'millions'), [('ResNet50', 3_858), ('MobileNetV2', 300)]
)
def test_a_graph_of_keras(graph, model, millions):
  """Keras strides in a unit's first convolution, as the paper does."""
  net = getattr(tf.keras.applications, model)(
    weights=None, input_tensor=tf.keras.Input(batch_shape=(1, 224, 224, 3))
  )
  assert complexity.multiply_adds(net.output) == pytest.approx(
    millions * 1e6, rel=0.01
  )
