"""Attention by name and options, and recognised in a checkpoint."""

import pytest

from errors import UserError
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
      r'cbam_block\(ratio=8, kernel_size=7\)',
    ),
    (
      'se_block(kernel_size=3)',
      r"se_block has no option 'kernel_size'.*se_block\(ratio=8\)",
    ),
    ('se_block(ratio=0)', 'ratio=0 of se_block must be a whole number from 1'),
    ('se_block(ratio=-8)', 'ratio=-8 .* from 1'),
    ('se_block(ratio=2.5)', r'ratio=2\.5 '),
    ("se_block(ratio='16')", "ratio='16' "),
    ('se_block(ratio=True)', 'ratio=True '),
    ('cbam_block(kernel_size=4)', 'kernel_size=4 .* odd whole number'),
    ('cbam_block(kernel_size=-3)', 'kernel_size=-3 '),
    ('cbam_block(16)', 'Cannot read'),
    ('cbam_block(', 'Cannot read'),
  ],
)
def test_refusals(text, message):
  with pytest.raises(UserError, match=message):
    get_attention(text)


def shapes_of(text: str, channels) -> dict[str, list[int]]:
  """A checkpoint's variables: attention on such maps, slots, averages."""
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
  ],
)
def test_recognized(text, channels):
  assert recognize(shapes_of(text, channels)) == text


@pytest.mark.parametrize('ratio', [3, 7, 12, 32, 100])
@pytest.mark.parametrize('name', list(ATTENTION_MODULES))
def test_recognized_ratio_makes_the_same_shapes(name, ratio):
  """Where several ratios give one checkpoint, any of them fits."""
  shapes = shapes_of(f'{name}(ratio={ratio})', (32, 64))
  assert shapes_of(recognize(shapes), (32, 64)) == shapes


@pytest.mark.parametrize(
  'key', ['inception_v4+{}', 'inception_resnet_v2+{}', 'resnet_v1_50+{}']
)
@pytest.mark.parametrize('name', list(ATTENTION_MODULES))
def test_recognized_in_the_contract(contract_variables, key, name):
  variables = contract_variables[key.format(name)]['variables']
  assert recognize({name: shape for name, shape, _ in variables}) == name


def test_second_spelling_of_se_is_recognized():
  shapes = {
    'InceptionResnetV2/Repeat/block35_1/se_block/bottleneck_fc/kernel': [
      320,
      20,
    ],
    'InceptionResnetV2/Repeat/block35_1/se_block/recover_fc/kernel': [20, 320],
  }
  assert recognize(shapes) == 'se_block(ratio=16)'


def test_plain_or_foreign_checkpoints_are_not_recognized(contract_variables):
  plain = contract_variables['resnet_v1_50+none']['variables']
  assert recognize({name: shape for name, shape, _ in plain}) is None
  assert recognize({}) is None
  foreign = {
    'a/bottleneck_fc/kernel': [64, 40],
    'b/bottleneck_fc/kernel': [64, 3],
  }
  assert recognize(foreign) is None
