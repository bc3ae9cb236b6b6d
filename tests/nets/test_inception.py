"""Inception networks: layers, auxiliary logits, image sizes, aliases."""

import functools

import numpy as np
import pytest

from nets import inception, inception_v1
from nets.nets_factory import NETWORKS, get_network_fn
from tf_compat import few_runs, slim, tf

# Network -> width of the features.
WIDTH = {
  'inception_v1': 1024,
  'inception_v2': 1024,
  'inception_v3': 2048,
  'inception_v4': 1536,
  'inception_resnet_v2': 1536,
}
WITH_AUX = ['inception_v3', 'inception_v4', 'inception_resnet_v2']


@pytest.fixture
def tiny(monkeypatch, graph):
  """A function build(shape, num_classes=10, …), for v1 up to the first cell."""
  monkeypatch.setattr(inception_v1, 'LAYERS', inception_v1.LAYERS[:6])
  return functools.partial(build, 'inception_v1')


def build(name, shape, num_classes=10, **kwargs):
  images = tf.placeholder(tf.float32, shape)
  return get_network_fn(name, num_classes)(images, **kwargs)


def test_kernel_size_is_that_of_the_scope(graph):
  net = tf.zeros([1, 9, 9, 4])
  with inception.cell_scope():
    inception.conv('Conv2d_0b_1x7', 8)(net)
    inception.conv('Conv2d_1a_1x1', 8, kernel=3)(net)
  shapes = [v.shape.as_list() for v in slim.get_variables_by_suffix('weights')]
  assert shapes == [[1, 7, 4, 8], [3, 3, 4, 8]]


def test_branches_are_concatenated(graph):
  net = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype('float32')
  layer = inception.cell(
    'Mixed',
    [inception.max_pool('MaxPool_0a_3x3')],
    [inception.fork(tf.identity, tf.negative)],
  )
  with inception.cell_scope(), tf.Session(config=few_runs()) as session:
    got = session.run(layer(tf.constant(net)))
  np.testing.assert_array_equal(got[..., 3:6], net)
  np.testing.assert_array_equal(got[..., 6:], -net)
  assert got[0, 0, 0, 0] == net[0, :2, :2, 0].max()


@pytest.mark.parametrize('side', [1, 3])
def test_spatial_mean(graph, side):
  net = inception.spatial_mean(tf.zeros([2, side, side, 3]))
  assert net.shape == (2, 1, 1, 3)


@pytest.mark.slow
@pytest.mark.parametrize('name', WIDTH)
def test_features(graph, name):
  net, end_points = build(name, [2, 96, 96, 3], 0)
  assert net.shape == (2, 1, 1, WIDTH[name])
  assert not {'Logits', 'AuxLogits', 'Predictions'} & set(end_points)
  assert not slim.get_variables_by_suffix('biases', scope='.*/Logits/')


@pytest.mark.slow
@pytest.mark.parametrize('shape', [[2, 331, 400, 3], [None, None, None, 3]])
@pytest.mark.parametrize('name', WIDTH)
def test_larger_and_unknown_images(graph, name, shape):
  """The variables are those of the published image size."""
  net, end_points = build(name, shape)
  assert net.shape.as_list() == [shape[0], 10]
  if NETWORKS[name].aux_logits:
    assert end_points['AuxLogits'].shape.as_list() == [shape[0], 10]
    kernels = [v.shape for v in slim.get_variables_by_suffix('weights')]
    assert [5, 5, 128, 768] in kernels


@pytest.mark.parametrize('num_classes', [0, None])
def test_features_of_a_tiny_one(tiny, num_classes):
  net, end_points = tiny([2, 56, 56, 3], num_classes)
  assert net.shape == (2, 1, 1, 256)
  assert net is end_points['AvgPool_0a_7x7']
  assert 'Logits' not in end_points


@pytest.mark.parametrize(
  ('shape', 'pooled'),
  [
    ([2, 40, 40, 3], 'AvgPool_0a_7x7'),
    ([2, 80, 56, 3], 'global_pool'),
    ([None, None, None, 3], 'global_pool'),
  ],
)
def test_other_image_sizes(tiny, shape, pooled):
  net, end_points = tiny(shape)
  assert net.shape.as_list() == [shape[0], 10]
  assert end_points[pooled].shape.as_list() == [shape[0], 1, 1, 256]


def test_map_of_logits(tiny):
  """A 7 x 7 window at stride 1 on the map of 10 x 12."""
  net, _ = tiny([2, 80, 96, 3], spatial_squeeze=False)
  assert net.shape == (2, 4, 6, 10)


def test_global_pool(tiny):
  _, end_points = tiny([2, 64, 64, 3], global_pool=True)
  assert end_points['global_pool'].shape == (2, 1, 1, 256)
  assert 'AvgPool_0a_7x7' not in end_points


@pytest.mark.slow
@pytest.mark.parametrize('name', WITH_AUX)
def test_without_auxiliary_logits(graph, name):
  _, end_points = build(name, [1, 75, 75, 3], create_aux_logits=False)
  assert 'AuxLogits' not in end_points
  assert not slim.get_variables('.*/AuxLogits')


def test_reuse_shares_variables(tiny):
  _, first = tiny([1, 32, 32, 3])
  count = len(tf.global_variables())
  _, second = tiny([1, 32, 32, 3], reuse=True)
  assert len(tf.global_variables()) == count
  assert list(first) == list(second)


def test_batch_norm_is_fused(tiny, graph):
  """The stem has three convolutions with batch norm, and the cell six."""
  tiny([1, 32, 32, 3])
  types = [op.type for op in graph.get_operations()]
  assert types.count('FusedBatchNormV3') == 9


def test_alias_of_se_scopes(contract_variables):
  """…/block35_1/se_block is …/block35_1/block35_1_SE, except in Block8."""
  network = NETWORKS['inception_resnet_v2']
  variables = contract_variables['inception_resnet_v2+se_block']['variables']
  names = [name for name, _, _ in variables]
  aliases = [
    '/'.join('se_block' if part.endswith('_SE') else part for part in parts)
    for parts in (name.split('/') for name in names)
  ]
  assert len(set(aliases) - set(names)) == 39 * 4
  assert [network.own_name(name) for name in aliases] == names
  assert [network.own_name(name) for name in names] == names
