"""ResNets for small images: the shortcut without parameters."""

import numpy as np
import pytest

from nets import resnet_cifar
from tf_compat import few_runs, tf


@pytest.mark.parametrize('side', [7, 8])
@pytest.mark.parametrize(('depth', 'stride'), [(6, 1), (12, 2), (10, 1)])
def test_shortcut_subsamples_and_appends_zeros(graph, side, depth, stride):
  values = np.random.default_rng(0).normal(size=(2, side, side, 6))
  net = resnet_cifar.pad_depth(tf.constant(values), depth, stride)
  with tf.Session(config=few_runs()) as session:
    got = session.run(net)
  assert not tf.global_variables()
  subsampled = values[:, ::stride, ::stride]
  np.testing.assert_array_equal(got[..., :6], subsampled)
  assert got.shape == (*subsampled.shape[:3], depth)
  assert not got[..., 6:].any()
