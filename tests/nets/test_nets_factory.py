"""Networks by name: specs, refused arguments, image sizes, batch norm."""

import pytest
from network_lists import STRUCTURES

from errors import UserError
from nets.attention.attend import VARIABLES
from nets.nets_factory import NETWORKS, get_network_fn, is_auxiliary
from preprocessing.preprocessing_factory import PREPROCESSINGS
from tf_compat import few_runs, tf


@pytest.mark.parametrize('name', list(NETWORKS))
def test_spec_is_complete(name):
  network = NETWORKS[name]
  fn = get_network_fn(name, 7)
  assert fn.default_image_size == network.image_size >= network.min_image_size
  assert fn.num_classes == 7
  assert network.preprocessing in PREPROCESSINGS
  assert network.channels in (None, 3)
  assert network.labels_offset in (None, 0, 1)
  assert network.attention_points > 0


@pytest.mark.parametrize(
  ('name', 'attention', 'message'),
  [
    ('resnet_v1_51', None, "network 'resnet_v1_51'.*mean 'resnet_v1_50'"),
    (
      'x',
      None,
      'Known: lenet, cifarnet, airbench_cifar, resnet_v1_18, _34, _50, .*, vgg_a, _16',
    ),
    ('lenet', 'cbam', "attention module 'cbam'.*Known: se_block, cbam_block"),
    ('lenet', 'se_block(ratio=0)', 'ratio=0'),
  ],
)
def test_unknown_names_are_refused_before_any_graph(name, attention, message):
  with pytest.raises(UserError, match=message):
    get_network_fn(name, 10, attention_module=attention)


def too_small():
  """Returns the networks with a side one pixel below their minimum."""
  return [(n.name, n.min_image_size - 1) for n in NETWORKS.values()]


@pytest.mark.parametrize(('name', 'side'), too_small())
def test_small_images_are_refused(graph, name, side):
  least = side + 1
  with pytest.raises(
    UserError, match=f'{side} x {least} are too small for {name}.*{least} x'
  ):
    get_network_fn(name, 10)(tf.zeros([1, side, least, 3]))


@pytest.mark.parametrize(
  'name',
  [
    name
    if name in ('lenet', 'cifarnet', 'alexnet_v2', 'overfeat', 'vgg_a')
    else pytest.param(name, marks=pytest.mark.slow)
    for name in STRUCTURES
  ],
)
def test_smallest_images_are_supported(graph, name):
  side = NETWORKS[name].min_image_size
  logits, _ = get_network_fn(name, 10, attention_module='cbam_block')(
    tf.zeros([1, side, side, 3])
  )
  assert logits.shape == (1, 10)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('name', ['lenet', 'cifarnet'])
def test_unknown_batch_size_and_any_channels(graph, name, channels):
  images = tf.placeholder(tf.float32, [None, 20, 24, channels])
  logits, _ = get_network_fn(name, 10)(images)
  assert logits.shape.as_list() == [None, 10]


@pytest.mark.parametrize('placement', ['inner', 'conv'])
def test_blocks_without_a_second_convolution_have_no_points_inside(placement):
  with pytest.raises(UserError, match=f'lenet has no .* kind {placement!r}'):
    get_network_fn(
      'lenet', 10, attention_module='se_block', attention_placement=placement
    )


@pytest.mark.parametrize(
  ('name', 'placement', 'scopes'),
  [
    ('resnet_v1_50', 'later', {f'block{n}' for n in (2, 3, 4)}),
    ('resnet_v1_50', 'inner', {f'block{n}' for n in (1, 2, 3, 4)}),
    ('mobilenet_v2_035', 'inner', {f'expanded_conv_{n}' for n in range(1, 17)}),
  ],
)
def test_placements_of_the_authors(graph, name, placement, scopes):
  """GC in stages 3 to 5, coordinate attention in blocks that expand."""
  get_network_fn(
    name, 10, attention_module='se_block', attention_placement=placement
  )(tf.zeros([1, 32, 32, 3]))
  names = [v.op.name for v in tf.get_collection(VARIABLES)]
  assert {name.split('/')[1] for name in names} == scopes


def test_attention_before_the_norm_of_the_spatial_convolution(graph):
  get_network_fn(
    'resnet_v1_50', 10, attention_module='se_block', attention_placement='conv'
  )(tf.zeros([1, 32, 32, 3]))
  scope = 'resnet_v1_50/block1/unit_1/bottleneck_v1/conv2/'
  gate = graph.get_operation_by_name(f'{scope}se_block/gate')
  scaled = next(c for c in gate.outputs[0].consumers() if c.type == 'Mul')
  (norm,) = scaled.outputs[0].consumers()
  assert norm.name.startswith(f'{scope}BatchNorm/')


@pytest.mark.parametrize('decay', [0.5, 0.75])
def test_batch_norm_of_attention_follows_the_network(graph, decay):
  """This includes a network without batch norm."""
  images = tf.ones([2, 8, 8, 1])
  for training in (False, True):
    with tf.variable_scope('', reuse=training):
      get_network_fn(
        'lenet', 10, is_training=training, batch_norm_decay=decay,
        attention_module='bam_block',
      )(images)  # fmt: skip
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    assert bool(updates) == training
  (variance,) = [
    v for v in tf.global_variables()
    if v.op.name.endswith('channel/norm/moving_variance')
  ]  # fmt: skip
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    session.run(updates)
    # Equal images have no variance, and the average starts at one.
    assert session.run(variance) == pytest.approx([decay] * 32)


def test_scopes_of_training_alone_are_auxiliary_classifiers():
  scopes = [s for network in NETWORKS.values() for s in network.training_only]
  assert scopes
  assert all(is_auxiliary(f'{scope}/weights') for scope in scopes)
  assert is_auxiliary('InceptionV3/AuxLogits/Conv2d_2b_1x1/weights')
  assert not is_auxiliary('InceptionV3/Logits/Conv2d_1c_1x1/weights')
