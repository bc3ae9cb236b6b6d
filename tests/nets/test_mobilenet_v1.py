"""MobileNet v1: the options that TF-Slim documents."""

import numpy as np
import pytest

from errors import UserError
from nets.mobilenet_v1 import BLOCKS
from nets.nets_factory import get_network_fn
from tf_compat import few_runs, slim, tf

NAME = 'mobilenet_v1_025'


def build(shape, num_classes=10, **kwargs):
  images = tf.placeholder(tf.float32, shape)
  return get_network_fn(NAME, num_classes)(images, **kwargs)


@pytest.mark.parametrize('num_classes', [0, None])
def test_features(graph, num_classes):
  net, end_points = build([2, 224, 224, 3], num_classes)
  assert net.shape == (2, 1, 1, 256)
  assert net is end_points['AvgPool_1a']
  assert 'Logits' not in end_points


def test_map_of_logits(graph):
  """The window of 7 x 7 has stride 2 on the map of 12 x 12."""
  net, _ = build([2, 384, 384, 3], spatial_squeeze=False)
  assert net.shape == (2, 3, 3, 10)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('shape', 'pooled'),
  [
    ([2, 320, 256, 3], 'global_pool'),
    ([2, 160, 192, 3], 'AvgPool_1a'),
    ([None, None, None, 3], 'global_pool'),
  ],
)
def test_other_image_sizes(graph, shape, pooled):
  net, end_points = build(shape)
  assert net.shape.as_list() == [shape[0], 10]
  assert end_points[pooled].shape.as_list() == [shape[0], 1, 1, 256]


@pytest.mark.slow
def test_global_pool(graph):
  _, end_points = build([2, 64, 64, 3], global_pool=True)
  assert end_points['global_pool'].shape == (2, 1, 1, 256)
  assert 'AvgPool_1a' not in end_points


@pytest.mark.parametrize(
  'stride', [8, pytest.param(16, marks=pytest.mark.slow)]
)
def test_smaller_output_stride_has_the_same_features(graph, stride):
  """Every (32 / stride)-th feature is that of the default output stride."""
  images = np.random.default_rng(0).uniform(-1, 1, (1, 97, 97, 3))
  images = tf.constant(images, tf.float32)
  fn = get_network_fn(NAME, 0)
  last = f'Conv2d_{len(BLOCKS)}_pointwise'
  plain = fn(images)[1][last]
  dense = fn(images, output_stride=stride, reuse=True)[1][last]
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    plain, dense = session.run([plain, dense])
  step = 32 // stride
  np.testing.assert_allclose(
    dense[:, ::step, ::step], plain, rtol=1e-3, atol=1e-3 * plain.max()
  )


@pytest.mark.parametrize('stride', [0, 4, 12, 64])
def test_output_stride_out_of_reach(graph, stride):
  with pytest.raises(
    UserError, match=f'output_stride {stride} .* one of 8, 16, 32'
  ):
    build([1, 64, 64, 3], output_stride=stride)


@pytest.mark.slow
def test_depthwise_kernels_do_not_decay(graph):
  get_network_fn(NAME, 10, weight_decay=0.1)(tf.zeros([1, 32, 32, 3]))
  losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  kernels = slim.get_variables_by_suffix('/weights')
  assert len(losses) == len(kernels) == 1 + len(BLOCKS) + 1
