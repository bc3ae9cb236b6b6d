"""Attention modules by name and options, and recognized in checkpoints."""

import functools

import pytest
from formulas import TEXTS

from errors import UserError
from nets.attention.attend import BLOCK, STAGE, VARIABLES, Stages, attend
from nets.attention.attention_factory import (
  ATTENTION_MODULES,
  get_attention,
  recognize,
)
from tf_compat import slim, tf


@pytest.mark.parametrize('text', [None, '', 'none', ' none '])
def test_off(text):
  assert get_attention(text) is None


@pytest.mark.parametrize(
  ('text', 'canonical'),
  [
    ('se_block', 'se_block'),
    ('se_block(ratio=8)', 'se_block'),
    ('se_block( ratio = 16 )', 'se_block(ratio=16)'),
    (
      'cbam_block(kernel_size=3,ratio=4)',
      'cbam_block(ratio=4, kernel_size=3)',
    ),
    ("cbam_block(channel_pools=('avg', 'max'))", 'cbam_block'),
    (
      "cbam_block(channel_pools=['lp'], mlp_bias=False)",
      "cbam_block(channel_pools='lp', mlp_bias=False)",
    ),
  ],
)
def test_text_is_the_shortest_flag_value(text, canonical):
  assert str(get_attention(text)) == canonical


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('cbam', "Unknown attention module 'cbam'.*Known: se_block, cbam_block"),
    ('seblock', "Did you mean 'se_block'"),
    (
      'cbam_block(ration=16)',
      r"cbam_block has no option 'ration'.*"
      r"cbam_block\(ratio=8, kernel_size=7, channel_pools='avg\+max', "
      r"spatial_pools='avg\+max', order='channel_spatial', "
      r'spatial_batch_norm=False, mlp_bias=True, norm_gamma=1\.0, '
      r'norm_epsilon=None\)',
    ),
    (
      'se_block(kernel_size=3)',
      r"se_block has no option 'kernel_size'.*se_block\(ratio=8, squeeze='avg'",
    ),
    ('se_block(ratio=0)', 'ratio=0 of se_block must be a whole number from 1'),
    ('se_block(ratio=-8)', 'ratio=-8 .* from 1'),
    ('se_block(ratio=2.5)', r'ratio=2\.5 '),
    ("se_block(ratio='16')", "ratio='16' "),
    ('se_block(ratio=True)', 'ratio=True '),
    ('cbam_block(kernel_size=4)', 'kernel_size=4 .* odd whole number'),
    ('cbam_block(kernel_size=-3)', 'kernel_size=-3 '),
    ("cbam_block(channel_pools='mean')", 'one or more of avg, max, lse, lp'),
    ("cbam_block(channel_pools='avg+avg')", r"'avg\+avg' .* joined by \+"),
    ('cbam_block(channel_pools=())', r'channel_pools=\(\) '),
    ('cbam_block(channel_pools=([],))', 'one or more of'),
    ("cbam_block(spatial_pools='lse')", 'one or more of avg, max, conv'),
    ("cbam_block(order='both')", "one of 'channel_spatial', 'spatial_cha"),
    ('cbam_block(mlp_bias=0)', 'mlp_bias=0 .* True or False'),
    ("se_block(squeeze='lse')", "squeeze='lse' .* one of 'avg', 'max'"),
    ("se_block(excitation='relu')", "one of 'sigmoid', 'hard_sigmoid', 'tan"),
    ('cbam_block(norm_gamma=-1)', 'norm_gamma=-1 .* a number from 0'),
    ('cbam_block(norm_epsilon=0)', "epsilon=0 .* or None for the network's"),
    ('bam_block(dilation=0)', 'dilation=0 .* whole number from 1'),
    ("bam_block(combination='max')", "one of 'add', 'multiply'"),
    ("bam_block(norm='first')", "norm='first' .* one of 'last', 'inside'"),
    ('eca_block(kernel_size=(3, 4))', r'kernel_size=\(3, 4\) .* a tuple of'),
    ('eca_block(kernel_size=())', r'kernel_size=\(\) .* a tuple of'),
    ("scse_block(spatial_bias='no')", "spatial_bias='no' .* True or False"),
    ('eca_block(kernel_size=2)', "kernel_size=2 .* or 'adaptive'"),
    ("eca_block(kernel_size='big')", "kernel_size='big' .* odd whole"),
    ("gc_block(pool='max')", "pool='max' .* one of 'attention', 'avg'"),
    ("gc_block(fusion='mul')", "fusion='mul' .* one of 'add', 'scale'"),
    ('coord_block(ratio=0)', 'ratio=0 '),
    ('simam_block(e_lambda=0)', 'e_lambda=0 .* a number above 0'),
    ("scse_block(combination='mean')", "one of 'add', 'max'"),
    ('ema_block(factor=0)', 'factor=0 .* whole number from 1'),
    ('triplet_block(kernel_size=2)', 'kernel_size=2 .* odd whole'),
    ("triplet_block(spatial='no')", "spatial='no' .* True or False"),
    ('ela_block(norm_groups=0)', 'norm_groups=0 .* whole number from 1'),
    (
      'scsa_block(kernel_sizes=(3, 5, 7))',
      r'kernel_sizes=\(3, 5, 7\) .* four odd whole numbers',
    ),
    ("scsa_block(window_size='map')", "'map' .* or 'all' for the whole map"),
    ('mlca_block(local_weight=1.5)', r'local_weight=1\.5 .* from 0 to 1'),
    ('mlca_block(local_weight=True)', 'local_weight=True .* from 0 to 1'),
    ("strip_block(gate='relu')", "gate='relu' .* one of 'linear', 'sigmoid'"),
    ('cbam_block(16)', 'Cannot read'),
    ('cbam_block(', 'Cannot read'),
  ],
)
def test_refusals(text, message):
  with pytest.raises(UserError, match=message):
    get_attention(text)


@functools.cache
def shapes_of(text: str, channels: tuple[int, ...]) -> dict[str, list[int]]:
  """Returns a checkpoint's shapes, with attention, slots and averages."""
  with tf.Graph().as_default():
    for index, count in enumerate(channels):
      module = get_attention(text)
      with tf.variable_scope(f'net/unit_{index}/{module.name}'):
        module(tf.zeros([1, 2, 2, count]))
    shapes = {v.op.name: v.shape.as_list() for v in slim.get_model_variables()}
  for name, shape in list(shapes.items()):
    shapes[f'{name}/Momentum'] = shape
    shapes[f'{name}/ExponentialMovingAverage'] = shape
  return {'net/conv1/weights': [3, 3, 3, 8], 'global_step': [], **shapes}


@pytest.mark.parametrize('channels', [(64,), (256, 512, 2048), (48, 320)])
@pytest.mark.parametrize(
  'text',
  [
    'se_block',
    'se_block(ratio=2)',
    'se_block(ratio=16)',
    'cbam_block',
    'cbam_block(ratio=4)',
    'cbam_block(kernel_size=3)',
    'cbam_block(ratio=16, kernel_size=5)',
    "cbam_block(kernel_size=3, spatial_pools='conv')",
    "cbam_block(spatial_pools='avg+max+conv', spatial_batch_norm=True)",
    "cbam_block(ratio=4, order='channel', mlp_bias=False)",
    "cbam_block(kernel_size=5, order='spatial')",
    'bam_block',
    'bam_block(ratio=4)',
    "bam_block(norm='inside')",
    'gc_block',
    "gc_block(ratio=2, pool='avg')",
    'coord_block',
    'coord_block(ratio=4)',
    'scse_block',
    'scse_block(ratio=16)',
    'scse_block(spatial_bias=True)',
  ],
)
def test_recognized(text, channels):
  assert recognize(shapes_of(text, channels)) == text


@pytest.mark.parametrize(
  'text',
  [
    'eca_block(kernel_size=5)',
    'ema_block',
    'triplet_block',
    'triplet_block(kernel_size=3, spatial=False)',
    'ela_block',
    'ela_block(kernel_size=5, group_width=8)',
    'scsa_block',
    'scsa_block(kernel_sizes=(3, 3, 5, 5), qkv_bias=True)',
    'mlca_block(kernel_size=5)',
    'strip_block',
    'strip_block(kernel_size=11, thickness=3, projections=True)',
  ],
)
def test_recognized_without_a_ratio(text):
  assert recognize(shapes_of(text, (48, 320))) == text


def test_a_single_spatial_pool_is_ambiguous():
  assert recognize(shapes_of("cbam_block(spatial_pools='max')", (64,))) is None


@pytest.mark.slow
@pytest.mark.parametrize('ratio', [3, 7, 12, 32, 100])
@pytest.mark.parametrize(
  'name', [n for n, k in ATTENTION_MODULES.items() if 'ratio' in k.defaults]
)
def test_recognized_ratio_has_the_same_shapes(name, ratio):
  """If several ratios have the same shapes, any of them may be recognized."""
  shapes = shapes_of(f'{name}(ratio={ratio})', (32, 64))
  assert shapes_of(recognize(shapes), (32, 64)) == shapes


@pytest.mark.parametrize('channels', [(1,), (32, 64), (64, 256, 2048)])
def test_adaptive_kernel_sizes_are_recognized(channels):
  """Several sizes mean an adaptive one; a single size may be explicit."""
  shapes = shapes_of('eca_block', channels)
  text = recognize(shapes)
  assert (text == 'eca_block') == (len(channels) == 3)
  assert shapes_of(text, channels) == shapes


def test_kernel_sizes_of_stages(graph):
  module = get_attention('eca_block(kernel_size=(3, 5))')
  with slim.arg_scope([attend], module=module, stages=Stages()):
    for index, at in enumerate((BLOCK, (BLOCK, STAGE), BLOCK, STAGE, BLOCK)):
      attend(tf.zeros([1, 2, 2, 16]), scope=f'{index}_{{name}}', at=at)
  sizes = [v.shape[0] for v in tf.get_collection(VARIABLES)]
  assert sizes == [3, 3, 5, 5]


@pytest.mark.slow
@pytest.mark.parametrize('text', TEXTS)
def test_only_the_right_module_is_recognized(text):
  shapes = shapes_of(text, (16, 64))
  name = get_attention(text).name
  matches = {
    other
    for other, kind in ATTENTION_MODULES.items()
    if kind.options_of(shapes) is not None
  }
  # simam_block has no variables.
  assert matches == ({name} if name != 'simam_block' else set())
  # The groups of ema_block share their weights, whatever their number.
  if matches and name != 'ema_block':
    assert shapes_of(recognize(shapes), (16, 64)) == shapes


@pytest.mark.parametrize(
  'key', ['inception_v4+{}', 'inception_resnet_v2+{}', 'resnet_v1_50+{}']
)
@pytest.mark.parametrize('name', ['se_block', 'cbam_block'])
def test_recognized_in_the_contract(contract_variables, key, name):
  variables = contract_variables[key.format(name)]['variables']
  assert recognize({name: shape for name, shape, _ in variables}) == name


def test_alias_of_se_scopes_is_recognized():
  shapes = {
    'InceptionResnetV2/Repeat/block35_1/se_block/bottleneck_fc/kernel': [
      320,
      20,
    ],
    'InceptionResnetV2/Repeat/block35_1/se_block/recover_fc/kernel': [20, 320],
  }
  assert recognize(shapes) == 'se_block(ratio=16)'


def test_checkpoints_without_attention_are_not_recognized(contract_variables):
  plain = contract_variables['resnet_v1_50+none']['variables']
  assert recognize({name: shape for name, shape, _ in plain}) is None
  assert recognize({}) is None
  foreign = {
    'a/bottleneck_fc/kernel': [64, 40],
    'b/bottleneck_fc/kernel': [64, 3],
  }
  assert recognize(foreign) is None


def test_a_ratio_above_the_channels_is_warned_of_once(caplog):
  from nets.attention import options

  options._warn_of_ratio.cache_clear()
  with caplog.at_level('WARNING', 'absl'):
    assert options.hidden_units(64, 64) == 1
    assert caplog.messages == []
    assert [options.hidden_units(c, 10_000) for c in (64, 32)] == [1, 1]
    assert options.hidden_units(64, 10_000, least=8) == 8
  (message,) = caplog.messages
  assert message.startswith('ratio=10000 is more than the channels')
  assert message.endswith('8 or 16 is usual.')


def test_recognizing_a_checkpoint_warns_of_no_ratio(caplog):
  from nets.attention import options

  options._warn_of_ratio.cache_clear()
  assert options.find_ratio([(4, 1)]) == 8
  assert caplog.messages == []
