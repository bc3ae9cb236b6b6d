"""AlexNet, OverFeat and VGG: options, image sizes, initial values."""

import numpy as np
import pytest

from nets.nets_factory import get_network_fn
from tf_compat import few_runs, slim, tf

NAMES = ['alexnet_v2', 'overfeat', 'vgg_a']


def images(name, more=0, count=1):
  """Returns images that are `more` pixels larger than the default."""
  side = get_network_fn(name, 10).default_image_size + more
  return tf.placeholder(tf.float32, [count, side, side, 3])


@pytest.mark.parametrize('num_classes', [0, None])
@pytest.mark.parametrize('name', NAMES)
def test_features(graph, name, num_classes):
  net, end_points = get_network_fn(name, num_classes)(images(name))
  assert net.shape == (1, 1, 1, 4096)
  assert net is end_points[f'{name}/fc7']
  assert f'{name}/fc8' not in end_points
  assert not slim.get_variables(f'{name}/fc8')


@pytest.mark.parametrize('name', NAMES)
def test_map_of_logits(graph, name):
  net, end_points = get_network_fn(name, 10)(
    images(name, 64), spatial_squeeze=False
  )
  assert net.shape == (1, 3, 3, 10)
  assert net is end_points[f'{name}/fc8']
  assert 'global_pool' not in end_points


def test_padded_map_of_logits(graph):
  net, _ = get_network_fn('vgg_a', 10)(
    images('vgg_a'), spatial_squeeze=False, fc_conv_padding='SAME'
  )
  assert net.shape == (1, 7, 7, 10)


@pytest.mark.parametrize('kwargs', [{}, {'global_pool': True}])
@pytest.mark.parametrize('name', NAMES)
def test_larger_images_are_averaged(graph, name, kwargs):
  net, end_points = get_network_fn(name, 10)(images(name, 128), **kwargs)
  assert net.shape == (1, 10)
  assert end_points['global_pool'].shape == (1, 1, 1, 4096)


@pytest.mark.parametrize('name', NAMES)
def test_unknown_image_size(graph, name):
  net, _ = get_network_fn(name, 10)(
    tf.placeholder(tf.float32, [None, None, None, 3])
  )
  assert net.shape.as_list() == [None, 10]


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_reuse_shares_variables(graph, name):
  fn = get_network_fn(name, 10, attention_module='cbam_block')
  _, first = fn(images(name))
  count = len(tf.global_variables())
  _, second = fn(images(name), reuse=True)
  assert len(tf.global_variables()) == count
  assert list(first) == list(second)


@pytest.mark.parametrize(('is_training', 'count'), [(False, 0), (True, 2)])
@pytest.mark.parametrize('name', NAMES)
def test_dropout_only_in_training(graph, name, is_training, count):
  get_network_fn(name, 10, is_training=is_training)(images(name))
  drawn = {
    op.name.split('/')[1]
    for op in graph.get_operations()
    if op.type == 'RandomUniform' and 'dropout' in op.name
  }
  assert len(drawn) == count


@pytest.mark.parametrize(
  ('name', 'biases', 'stddev'),
  [('alexnet_v2', (0.1, 0.1), 0.005), ('overfeat', (0.0, 0.1), 0.005)],
)
def test_initial_values(graph, name, biases, stddev):
  """A normal truncated at two deviations has 0.88 of the deviation."""
  get_network_fn(name, 10)(images(name))
  values = {v.op.name.split('/', 1)[1]: v for v in tf.global_variables()}
  names = ('conv3/biases', 'fc7/biases', 'fc8/biases', 'fc8/weights')
  checked = [values[name] for name in names]
  with tf.Session(config=few_runs()) as session:
    session.run([v.initializer for v in checked])
    conv3, fc7, fc8, weights = session.run(checked)
  assert (conv3 == np.float32(biases[0])).all()
  assert (fc7 == np.float32(biases[1])).all()
  assert not fc8.any()
  assert weights.std() == pytest.approx(0.8796 * stddev, rel=0.03)


@pytest.mark.parametrize('name', NAMES)
def test_every_kernel_decays(graph, name):
  get_network_fn(name, 10, weight_decay=0.1)(images(name))
  kernels = slim.get_variables_by_suffix('weights')
  losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  assert len(losses) == len(kernels)
