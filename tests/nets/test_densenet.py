"""DenseNet's published parameter counts, and its options."""

import functools

import numpy as np
import pytest

from nets import densenet, nets_factory
from tf_compat import few_runs, slim, tf


# From the paper's tables and torchvision's densenet121. SE of ratio 16 adds
# 2·C·h + h + C at both transitions, with C = 108 and 150 channels; CBAM adds
# another 2·7·7 at each.
@pytest.mark.parametrize(
  ('name', 'classes', 'attention', 'expected'),
  [
    pytest.param('densenet_121', 1000, None, 7_978_856, marks=pytest.mark.slow),
    ('densenet_cifar_100_12', 10, None, 769_162),
    ('densenet_cifar_100_12', 10, 'se_block(ratio=16)', 769_162 + 4_269),
    ('densenet_cifar_100_12', 10, 'cbam_block(ratio=16)', 769_162 + 4_465),
  ],
)
def test_parameter_count(graph, name, classes, attention, expected):
  fn = nets_factory.get_network_fn(name, classes, attention_module=attention)
  fn(tf.zeros([1, 32, 32, 3]))
  count = sum(v.shape.num_elements() for v in tf.trainable_variables())
  assert count == expected


@pytest.fixture
def tiny(graph):
  """A function build(images, num_classes=10, …), with small blocks."""

  def build(images, num_classes=10, root=densenet.imagenet_root, **kwargs):
    with slim.arg_scope(densenet.densenet_arg_scope(0.0)):
      return densenet.densenet(
        images, num_classes, False, root, (1, 2), 4, 'tiny', **kwargs
      )

  return build


@pytest.mark.parametrize(
  ('root', 'side'), [('imagenet_root', 8), ('cifar_root', 32)]
)
def test_shapes(tiny, root, side):
  """Growth 4: (8 + 4) / 2 channels after the first block, 6 + 8 at the end."""
  build = functools.partial(tiny, root=getattr(densenet, root))
  net, end_points = build(tf.zeros([2, 32, 32, 3]), 0, global_pool=False)
  assert end_points['tiny/block1'].shape == (2, side, side, 12)
  assert end_points['tiny/transition1'].shape == (2, side // 2, side // 2, 6)
  assert net.shape == (2, side // 2, side // 2, 14)


def test_features(tiny):
  net, end_points = tiny(tf.zeros([2, 64, 64, 3]), 0)
  assert net.shape == (2, 1, 1, 14)
  assert 'predictions' not in end_points


def test_map_of_logits(tiny):
  net, _ = tiny(
    tf.zeros([2, 65, 97, 3]), global_pool=False, spatial_squeeze=False
  )
  assert net.shape == (2, 9, 13, 10)


@pytest.mark.parametrize('side', [1, 33])
def test_any_image_size(tiny, side):
  net, _ = tiny(tf.zeros([1, side, side, 3]))
  assert net.shape == (1, 10)


def test_a_block_preserves_its_input(tiny):
  """The first channels of a block's output are its input."""
  images = np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 3))
  _, end_points = tiny(
    tf.constant(images, tf.float32), root=densenet.cifar_root
  )
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    before, after = session.run(
      [end_points['tiny/transition1'], end_points['tiny/block2']]
    )
  np.testing.assert_array_equal(after[..., :6], before)
  assert after.shape[-1] == 14
