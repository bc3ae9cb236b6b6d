"""Options of ResNets, on small ones."""

import dataclasses
import functools

import numpy as np
import pytest

from errors import UserError
from nets import (
  complexity,
  nets_factory,
  resnet,
  resnet_cifar,
  resnet_v1,
  resnet_v2,
  resnext,
)
from nets.resnet import Plan
from tf_compat import few_runs, slim, tf

UNITS = (1, 2, 1, 1)
PLANS = {
  'v1': Plan(resnet_v1.bottleneck, UNITS, 32),
  'v1a': Plan(
    functools.partial(resnet_v1.bottleneck, stride_1x1=True),
    UNITS,
    32,
    stride_first=True,
  ),
  'v1_basic': Plan(resnet_v1.basic, UNITS, 64, stride_first=True),
  'v2': Plan(resnet_v2.bottleneck, UNITS, 32, preactivated=True),
  'v2_basic': Plan(
    resnet_v2.basic, UNITS[:3], 32, 16, 1, stride_first=True, preactivated=True
  ),
  'thin': resnet_cifar.thin(14),
  'resnext': Plan(resnext.bottleneck, UNITS, 64, stride_first=True),
}


@dataclasses.dataclass(frozen=True)
class Tiny:
  """A ResNet with few units, built by tiny(images, num_classes=10, …)."""

  plan: Plan

  def __call__(self, images, num_classes=10, is_training=False, **kwargs):
    with slim.arg_scope(resnet.resnet_arg_scope(0.0)):
      return resnet.resnet(
        images, num_classes, is_training, self.plan, 'tiny', **kwargs
      )

  @property
  def depth(self) -> int:
    """Channels of the last map."""
    return self.plan.depth * 2 ** (len(self.plan.units) - 1)

  @property
  def output_strides(self) -> list[int]:
    """Supported values of output_stride; the last is the default."""
    return [self.plan.root_stride << n for n in range(len(self.plan.units))]

  def reduced(self, *sides: int) -> tuple[int, ...]:
    """Returns the sides of the last map for images of these sides."""
    return tuple(-(-side // self.output_strides[-1]) for side in sides)


@pytest.fixture(params=PLANS)
def tiny(request, graph) -> Tiny:
  return Tiny(PLANS[request.param])


@pytest.mark.slow
@pytest.mark.parametrize('num_classes', [0, None])
def test_features(tiny, num_classes):
  net, end_points = tiny(tf.zeros([2, 64, 64, 3]), num_classes)
  assert net.shape == (2, 1, 1, tiny.depth)
  assert net is end_points['global_pool']
  assert not {'predictions', 'tiny/logits'} & set(end_points)


def test_feature_map(tiny):
  net, end_points = tiny(tf.zeros([2, 65, 97, 3]), 0, global_pool=False)
  assert net.shape == (2, *tiny.reduced(65, 97), tiny.depth)
  assert 'global_pool' not in end_points


@pytest.mark.slow
def test_map_of_logits(tiny):
  net, end_points = tiny(
    tf.zeros([2, 65, 97, 3]), global_pool=False, spatial_squeeze=False
  )
  assert net.shape == (2, *tiny.reduced(65, 97), 10)
  assert end_points['predictions'].shape == net.shape


@pytest.mark.slow
def test_unsqueezed_logits(tiny):
  net, end_points = tiny(tf.zeros([2, 32, 32, 3]), spatial_squeeze=False)
  assert net.shape == (2, 1, 1, 10)
  assert 'tiny/spatial_squeeze' not in end_points


@pytest.mark.slow
@pytest.mark.parametrize('side', [1, 33])
def test_any_image_size(tiny, side):
  net, _ = tiny(tf.zeros([1, side, side, 3]))
  assert net.shape == (1, 10)


@pytest.mark.slow
def test_unknown_image_size(tiny):
  net, _ = tiny(tf.placeholder(tf.float32, [None, None, None, 3]))
  assert net.shape.as_list() == [None, 10]


@pytest.mark.slow
def test_stride_first(tiny):
  """The first block strides unless the plan has stride_first."""
  _, end_points = tiny(tf.zeros([1, 64, 64, 3]))
  stride = tiny.plan.root_stride * (1 if tiny.plan.stride_first else 2)
  assert end_points['tiny/block1'].shape[1] == 64 // stride


@pytest.mark.parametrize(
  ('name', 'scope', 'strides'),
  [
    ('resnet_v1_50', 'block1/unit_3/bottleneck_v1/conv2', 'last unit, 3x3'),
    ('resnet_v1a_50', 'block2/unit_1/bottleneck_v1/conv1', 'first unit, 1x1'),
    ('resnet_v1b_50', 'block2/unit_1/bottleneck_v1/conv2', 'first unit, 3x3'),
  ],
)
def test_the_convolution_that_strides(graph, name, scope, strides):
  """As in TF-Slim; in the paper and Keras; in torchvision and timm."""
  nets_factory.get_network_fn(name, 10)(tf.zeros([1, 32, 32, 3]))
  conv = graph.get_operation_by_name(f'{name}/{scope}/Conv2D')
  assert conv.get_attr('strides') == [1, 2, 2, 1]
  assert nets_factory.NETWORKS[name].strides == strides


@pytest.mark.slow
@pytest.mark.parametrize('which', [0, -2], ids=['densest', 'one_step_denser'])
def test_smaller_output_stride_has_the_same_features(tiny, which):
  """Every n-th feature is that of the default output stride."""
  images = np.random.default_rng(0).uniform(-1, 1, (1, 65, 65, 3))
  images = tf.constant(images, tf.float32)
  stride, own = tiny.output_strides[which], tiny.output_strides[-1]
  plain, _ = tiny(images, 0, global_pool=False)
  dense, _ = tiny(
    images, 0, global_pool=False, output_stride=stride, reuse=True
  )
  side = 64 // stride + 1
  assert dense.shape == (1, side, side, tiny.depth)
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    plain, dense = session.run([plain, dense])
  step = own // stride
  np.testing.assert_allclose(
    dense[:, ::step, ::step], plain, rtol=1e-3, atol=1e-3 * plain.max()
  )


@pytest.mark.parametrize('stride', [0, 6, 12, 64])
def test_output_stride_out_of_reach(tiny, stride):
  known = ', '.join(map(str, tiny.output_strides))
  with pytest.raises(
    UserError, match=f'output_stride {stride} .* one of {known}, or None'
  ):
    tiny(tf.zeros([1, 64, 64, 3]), output_stride=stride)


@pytest.mark.slow
def test_reuse_shares_variables(tiny):
  first, _ = tiny(tf.ones([1, 32, 32, 3]))
  count = len(tf.global_variables())
  second, end_points = tiny(tf.ones([1, 32, 32, 3]), reuse=True)
  assert len(tf.global_variables()) == count
  assert 'tiny/block2/unit_2/' in ' '.join(end_points)
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    np.testing.assert_array_equal(*session.run([first, second]))


@pytest.mark.slow
def test_batch_norm_decay(tiny):
  """After one update, the moving variance is 0.997 + 0.003 · variance."""
  images = tf.constant(
    np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)), tf.float32
  )
  tiny(images, is_training=True)
  # The input of the first norm gives the statistics of the batch.
  norm = next(
    op
    for op in tf.get_default_graph().get_operations()
    if op.type == 'FusedBatchNormV3'
  )
  name = norm.name.rpartition('/')[0]
  (moving,) = tf.get_collection(
    tf.GraphKeys.GLOBAL_VARIABLES, f'{name}/moving_variance'
  )
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    values = session.run([norm.inputs[0], *updates])[0]
    got = session.run(moving)
  count = values.size // values.shape[-1]
  variance = values.var((0, 1, 2)) * count / (count - 1)
  np.testing.assert_allclose(got, 0.997 + 0.003 * variance, rtol=1e-4)


@pytest.mark.slow
def test_batch_norm_is_fused(tiny):
  tiny(tf.zeros([2, 32, 32, 3]), is_training=True)
  types = [op.type for op in tf.get_default_graph().get_operations()]
  norms = {v.op.name for v in tf.global_variables() if '/beta' in v.op.name}
  assert types.count('FusedBatchNormV3') == len(norms)


@pytest.mark.parametrize(
  ('unit', 'expected'),
  [
    (resnet_v1.basic, lambda net: np.maximum(net - 1, 0)),
    (resnet_v2.basic, lambda net: net - 1),
  ],
  ids=['v1', 'v2'],
)
def test_only_the_sum_of_a_basic_unit_is_activated(graph, unit, expected):
  """With a residual of -1: relu(net - 1) in v1, net - 1 in v2."""
  images = np.random.default_rng(0).normal(size=(1, 4, 4, 8))
  step = resnet.Step(stride=1, rate=1, rate_after=1)
  with slim.arg_scope(resnet.resnet_arg_scope(0.0)):
    net = unit(tf.constant(images, tf.float32), 8, step, 'end_points')
  last = 'conv2/BatchNorm/beta' if unit is resnet_v1.basic else 'conv2/biases'
  (shift,) = (v for v in tf.global_variables() if v.op.name.endswith(last))
  (kernel,) = (v for v in tf.global_variables() if 'conv2/weights' in v.name)
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    session.run([shift.assign(-tf.ones(8)), kernel.assign(0 * kernel)])
    got = session.run(net)
  np.testing.assert_allclose(got, expected(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  ('name', 'billions'),
  [
    ('resnet_v1_18', 1.814),
    ('wide_resnet_18_x1_5', 3.866),
    ('wide_resnet_18_x2', 6.696),
    pytest.param('resnet_v1_34', 3.664, marks=pytest.mark.slow),
    pytest.param('resnet_v1_50', 3.482, marks=pytest.mark.slow),
  ],
)
def test_multiply_adds(graph, name, billions):
  """Table 4 of the CBAM paper; less for ResNet-50, which strides later."""
  logits, _ = nets_factory.get_network_fn(name, 1000)(
    tf.zeros([1, 224, 224, 3])
  )
  assert complexity.multiply_adds(logits) / 1e9 == pytest.approx(
    billions, abs=6e-4
  )
