"""What slim's ResNets promise beyond their published form, on small ones."""

import functools

import numpy as np
import pytest

from errors import UserError
from nets import resnet, resnet_v1, resnet_v2
from tf_compat import slim, tf

BUILDERS = {
  'v1': functools.partial(resnet_v1.resnet_v1, scope='tiny'),
  'v2': functools.partial(resnet_v2.resnet_v2, scope='tiny'),
}


@pytest.fixture(params=BUILDERS)
def tiny(request, graph):
  """build(images, num_classes=10, is_training=False, …): five units."""

  def build(images, num_classes=10, is_training=False, decay=None, **kwargs):
    with slim.arg_scope(resnet.resnet_arg_scope(0.0, decay)):
      return BUILDERS[request.param](
        images, num_classes, is_training, (1, 2, 1, 1), **kwargs
      )

  return build


@pytest.mark.parametrize('num_classes', [0, None])
def test_features(tiny, num_classes):
  net, end_points = tiny(tf.zeros([2, 64, 64, 3]), num_classes)
  assert net.shape == (2, 1, 1, 2048)
  assert net is end_points['global_pool']
  assert not {'predictions', 'tiny/logits'} & set(end_points)


def test_feature_map(tiny):
  net, end_points = tiny(tf.zeros([2, 65, 97, 3]), 0, global_pool=False)
  assert net.shape == (2, 3, 4, 2048)
  assert 'global_pool' not in end_points


def test_map_of_logits(tiny):
  net, end_points = tiny(
    tf.zeros([2, 65, 97, 3]), global_pool=False, spatial_squeeze=False
  )
  assert net.shape == (2, 3, 4, 10)
  assert end_points['predictions'].shape == (2, 3, 4, 10)


def test_unsqueezed_logits(tiny):
  net, end_points = tiny(tf.zeros([2, 32, 32, 3]), spatial_squeeze=False)
  assert net.shape == (2, 1, 1, 10)
  assert 'tiny/spatial_squeeze' not in end_points


@pytest.mark.parametrize('side', [1, 33])
def test_any_image_size(tiny, side):
  net, _ = tiny(tf.zeros([1, side, side, 3]))
  assert net.shape == (1, 10)


def test_unknown_image_size(tiny):
  net, _ = tiny(tf.placeholder(tf.float32, [None, None, None, 3]))
  assert net.shape.as_list() == [None, 10]


@pytest.mark.parametrize('stride', [4, 16])
def test_denser_features_agree_where_they_meet(tiny, stride):
  """Every (32 / stride)-th feature of the dilated network is the plain one."""
  images = np.random.default_rng(0).uniform(-1, 1, (1, 65, 65, 3))
  images = tf.constant(images, tf.float32)
  plain, _ = tiny(images, 0, global_pool=False)
  dense, _ = tiny(
    images, 0, global_pool=False, output_stride=stride, reuse=True
  )
  assert dense.shape == (1, 64 // stride + 1, 64 // stride + 1, 2048)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    plain, dense = session.run([plain, dense])
  step = 32 // stride
  np.testing.assert_allclose(
    dense[:, ::step, ::step], plain, rtol=1e-3, atol=1e-3 * plain.max()
  )


@pytest.mark.parametrize('stride', [0, 1, 6, 12, 64])
def test_output_stride_out_of_reach(tiny, stride):
  with pytest.raises(
    UserError, match=f'output_stride {stride} .* one of 4, 8, 16, 32'
  ):
    tiny(tf.zeros([1, 64, 64, 3]), output_stride=stride)


def test_reuse_shares_variables(tiny):
  first, _ = tiny(tf.ones([1, 32, 32, 3]))
  count = len(tf.global_variables())
  second, end_points = tiny(tf.ones([1, 32, 32, 3]), reuse=True)
  assert len(tf.global_variables()) == count
  assert 'tiny/block2/unit_2/' in ' '.join(end_points)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    np.testing.assert_array_equal(*session.run([first, second]))


@pytest.mark.parametrize(('decay', 'expected'), [(None, 0.997), (0.9, 0.9)])
def test_batch_norm_decay(tiny, decay, expected):
  """After one update the moving variance is decay + (1 - decay) · variance."""
  images = tf.constant(
    np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)), tf.float32
  )
  tiny(images, is_training=True, decay=decay)
  # The first norm after a convolution: its batch's statistics are known.
  norm = next(
    op
    for op in tf.get_default_graph().get_operations()
    if op.type == 'FusedBatchNormV3'
  )
  name = norm.name.rpartition('/')[0]
  (moving,) = tf.get_collection(
    tf.GraphKeys.GLOBAL_VARIABLES, f'{name}/moving_variance'
  )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    values = session.run([norm.inputs[0], *updates])[0]
    got = session.run(moving)
  count = values.size // 64
  variance = values.var((0, 1, 2)) * count / (count - 1)
  np.testing.assert_allclose(
    got, expected + (1 - expected) * variance, rtol=1e-4
  )


def test_batch_norm_is_fused(tiny):
  tiny(tf.zeros([2, 32, 32, 3]), is_training=True)
  types = [op.type for op in tf.get_default_graph().get_operations()]
  norms = {v.op.name for v in tf.global_variables() if '/beta' in v.op.name}
  assert types.count('FusedBatchNormV3') == len(norms)
