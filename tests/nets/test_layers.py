"""Symmetric padding compared with NumPy, and in every structure."""

import numpy as np
import pytest
from network_lists import STRUCTURES

from errors import UserError
from nets import layers
from nets.grouped_conv import grouped_conv2d
from nets.nets_factory import NETWORKS, get_network_fn
from tf_compat import few_runs, slim, tf

# An even and an odd side.
SHAPE = (2, 8, 11, 6)
# (height, width), stride, dilation.
KERNELS = [
  ((3, 3), 2, 1),
  ((7, 7), 2, 1),
  ((5, 5), 3, 1),
  ((1, 7), 2, 1),
  ((2, 2), 2, 1),
  ((1, 1), 2, 1),
  ((3, 3), 1, 1),
  ((3, 3), 1, 2),
]
WINDOWS = [case for case in KERNELS if case[2] == 1]
# The others are for the whole suite.
QUICK = ('lenet', 'resnet_v1_18', 'mobilenet_v1_025', 'inception_v1')


def windows(net, sides, stride=1, rate=1, padding='SAME'):
  """Returns the windows [N, H, W, C, *sides] of a map padded with zeros."""
  margins = [
    [rate * ((side - 1) // 2)] * 2 if padding == 'SAME' else [0, 0]
    for side in sides
  ]
  net = np.pad(net, [[0, 0], *margins, [0, 0]])
  reach = [rate * (side - 1) + 1 for side in sides]
  view = np.lib.stride_tricks.sliding_window_view(net, reach, (1, 2))
  return view[:, ::stride, ::stride, :, ::rate, ::rate]


@pytest.fixture
def net() -> np.ndarray:
  """A map with negative values, which padded zeros exceed."""
  return np.random.default_rng(0).normal(size=SHAPE)


@pytest.fixture
def run(graph):
  """run(layer, net, …, **kwargs) -> output of a layer with symmetric padding."""

  def run(layer, net, *args, pads='symmetric', **kwargs):
    with slim.arg_scope([layer], pads=pads):
      output = layer(tf.constant(net, tf.float32), *args, **kwargs)
    with tf.Session(config=few_runs()) as session:
      session.run(tf.global_variables_initializer())
      return session.run(output)

  return run


def linear(kernel) -> dict:
  """Returns the arguments of a convolution without bias or activation."""
  return {
    'weights_initializer': tf.constant_initializer(kernel),
    'normalizer_fn': tf.identity,
    'activation_fn': None,
  }


def weights(*shape) -> np.ndarray:
  return np.random.default_rng(1).normal(size=shape)


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
@pytest.mark.parametrize(('sides', 'stride', 'rate'), KERNELS)
def test_convolution(run, net, sides, stride, rate, padding):
  kernel = weights(*sides, SHAPE[3], 4)
  got = run(
    layers.conv2d, net, 4, sides, stride, padding, rate, **linear(kernel)
  )
  expected = np.einsum(
    'nyxchw,hwcd->nyxd', windows(net, sides, stride, rate, padding), kernel
  )
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
@pytest.mark.parametrize(('sides', 'stride', 'rate'), KERNELS)
def test_depthwise_convolution(run, net, sides, stride, rate, padding):
  kernel = weights(*sides, SHAPE[3], 2)
  got = run(
    layers.separable_conv2d,
    net,
    None,
    sides,
    2,
    stride,
    padding,
    rate,
    **linear(kernel),
  )
  expected = np.einsum(
    'nyxchw,hwcm->nyxcm', windows(net, sides, stride, rate, padding), kernel
  )
  expected = expected.reshape(*expected.shape[:3], -1)
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('side', 'stride', 'rate'), [(3, 2, 1), (3, 1, 2)])
def test_grouped_convolution(run, net, side, stride, rate):
  groups, each = 2, SHAPE[3] // 2
  kernel = weights(side, side, each, 4)
  got = run(
    grouped_conv2d,
    net,
    4,
    side,
    stride,
    rate=rate,
    groups=groups,
    **linear(kernel),
  )
  expected = [
    np.einsum(
      'nyxchw,hwcd->nyxd',
      windows(part, (side, side), stride, rate),
      kernel[..., group * 2 : group * 2 + 2],
    )
    for group, part in enumerate(np.split(net, groups, axis=3))
  ]
  np.testing.assert_allclose(
    got, np.concatenate(expected, 3), rtol=1e-4, atol=1e-4
  )


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
@pytest.mark.parametrize(('sides', 'stride', 'rate'), WINDOWS)
@pytest.mark.parametrize(
  ('pool', 'reduce'),
  [(layers.max_pool2d, np.max), (layers.avg_pool2d, np.mean)],
  ids=['max', 'avg'],
)
def test_pooling(run, net, pool, reduce, sides, stride, rate, padding):
  """Padded zeros are values: the greatest among negative ones, and counted."""
  got = run(pool, net, sides, stride, padding)
  expected = reduce(windows(net, sides, stride, rate, padding), (-2, -1))
  np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('size', [6, 7])
@pytest.mark.parametrize(
  ('pool', 'reduce', 'pads', 'counted'),
  [
    (layers.max_pool2d, np.max, 'zero_pool', True),
    (layers.avg_pool2d, np.mean, 'zero_pool', True),
    (layers.max_pool2d, np.max, 'zero_avg_pool', False),
    (layers.avg_pool2d, np.mean, 'zero_avg_pool', True),
  ],
)
def test_strided_pooling_counts_the_zeros(
  run, net, pool, reduce, pads, counted, size
):
  """An even side is padded at its end alone; without a stride none counts."""
  net = net[:, :size, :size] - 9
  got = run(pool, net, 3, 2, 'SAME', pads=pads)
  padded = np.pad(net, [[0, 0], *[[size % 2, 1]] * 2, [0, 0]])
  view = np.lib.stride_tricks.sliding_window_view(padded, [3, 3], (1, 2))
  expected = reduce(view[:, ::2, ::2], (-2, -1))
  if counted:
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
  else:
    assert (got < 0).all()
  plain = run(pool, net, 3, 1, 'SAME', pads='same')
  np.testing.assert_array_equal(run(pool, net, 3, 1, 'SAME', pads=pads), plain)


def test_a_map_below_a_window_is_refused(run):
  with pytest.raises(UserError, match=r'map of 1 pixels.*window of 2.*larger'):
    run(layers.max_pool2d, np.zeros([1, 1, 4, 1]), 2, 2, 'SAME')


def test_an_unknown_padding_is_refused():
  with pytest.raises(UserError, match=r"padding 'valid'.*same, symmetric"):
    get_network_fn('lenet', 10, padding='valid')


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in dict.fromkeys([*QUICK, *STRUCTURES])
  ],
)
def test_every_structure_pads_symmetrically(graph, name, contract_variables):
  """Sizes and variables stay; no layer pads as TensorFlow where that differs."""
  side = NETWORKS[name].image_size
  _, end_points = get_network_fn(name, 10, padding='symmetric')(
    tf.placeholder(tf.float32, [2, side, side, 3])
  )
  contract = contract_variables[f'{name}+none']
  shapes = {key: list(net.shape) for key, net in end_points.items()}
  assert shapes == contract['end_points']
  trained = {v.op.name for v in tf.trainable_variables()}
  assert sorted(
    [v.op.name, list(v.shape), v.op.name in trained]
    for v in tf.global_variables()
  ) == sorted(contract['variables'])
  for op in graph.get_operations():
    if op.node_def.attr['padding'].s == b'SAME':
      assert 'Conv' in op.type
      assert set(op.get_attr('strides')) == {1}
