"""Variables of checkpoints and networks: scopes, differences, messages."""

import pytest

from engine.checkpoints import matching
from errors import UserError
from tf_compat import tf


def plain(classes=10, channels=3, name='lenet'):
  return {
    f'{name}/conv1/weights': [5, 5, channels, 32],
    f'{name}/logits/weights': [64, classes],
    f'{name}/logits/biases': [classes],
  }


def with_cbam(ratio=8):
  return plain() | {
    'lenet/cbam_block/ch_at/mlp_0/kernel': [32, 32 // ratio],
    'lenet/cbam_block/ch_at/mlp_0/bias': [32 // ratio],
    'lenet/cbam_block/sp_at/conv/kernel': [7, 7, 2, 1],
  }


@pytest.mark.parametrize(
  ('name', 'kind'),
  [
    ('net/conv1/weights', 'weight'),
    ('net/conv1/weights/Momentum', 'slot'),
    ('net/conv1/weights/RMSProp_1', 'slot'),
    ('net/conv1/weights/Adam_1', 'slot'),
    ('net/conv1/weights/ExponentialMovingAverage', 'neither'),
    ('global_step', 'neither'),
    ('beta1_power', 'neither'),
    ('net/RMSProp/weights', 'weight'),
  ],
)
def test_what_is_a_weight(name, kind):
  assert matching.is_weight(name) == (kind == 'weight')
  assert matching.is_slot(name) == (kind == 'slot')


@pytest.mark.parametrize(
  ('name', 'scope', 'inside'),
  [
    ('net/logits/weights', 'net/logits', True),
    ('net/logits/weights', 'net/log', False),
    ('net/logits2/weights', 'net/logits', False),
    ('net/logits/weights', 'net/logits/', True),
    ('net/logits/weights', 'net/logits/weights', True),
    ('net/logits/weights', 'logits', False),
  ],
)
def test_scopes_match_whole_components(name, scope, inside):
  assert matching.in_scope(name, scope) is inside


def test_variables_are_split_by_scopes(graph):
  names = ('net/a/w', 'net/b/w', 'net/c/w')
  variables = [tf.get_variable(name, []) for name in names]
  inside, outside = matching.split_by_scopes(
    variables, 'net/a, net/c', 'trainable_scopes'
  )
  assert [v.op.name for v in inside] == ['net/a/w', 'net/c/w']
  assert [v.op.name for v in outside] == ['net/b/w']


def test_a_scope_without_variables_names_near_ones(graph):
  variables = [tf.get_variable('net/logits/weights', [])]
  with pytest.raises(
    UserError, match=r"--trainable_scopes: .*'net/logist'\. Similar: net/logits"
  ):
    matching.split_by_scopes(variables, 'net/logist', 'trainable_scopes')


@pytest.mark.parametrize(
  ('scope', 'taken', 'scopes'),
  [
    (
      'net/AuxLog',
      ['net/AuxLogits/w', 'net/AuxLogs/w'],
      'AuxLogits, net/AuxLogs',
    ),
    ('/net/Log', ['net/Logits/w'], 'net/Logits'),
    ('n', ['net/AuxLogits/w', 'net/AuxLogs/w', 'net/Logits/w'], 'net'),
    ('net/Logits/', ['net/Logits/w'], None),
  ],
)
def test_a_beginning_of_scopes_is_taken_as_tf_slim_did_with_a_word(
  graph, capsys, scope, taken, scopes
):
  names = ('net/AuxLogits/w', 'net/AuxLogs/w', 'net/Logits/w')
  variables = [tf.get_variable(name, []) for name in names]
  flag = f'trainable_scopes of {scope}'
  for _ in range(2):
    inside, _ = matching.split_by_scopes(variables, scope, flag)
    assert [v.op.name for v in inside] == taken
  message = capsys.readouterr().err
  assert message.count('taken as the beginning of') == bool(scopes)
  assert f'{scopes}.' in message or not scopes


def test_a_scalar_in_the_place_of_a_vector_is_another_network():
  network, checkpoint = {'net/scale': [8]}, {'net/scale': []}
  difference = matching.compare(checkpoint, network)
  message = matching.refusal('x.ckpt', difference, checkpoint, network)
  assert 'shapes differ (checkpoint, network): net/scale [], [8]' in message


def test_a_list_without_a_scope_is_refused(graph):
  with pytest.raises(UserError, match='--trainable_scopes= , names no scope'):
    matching.split_by_scopes([], ' ,', 'trainable_scopes')


def test_differences_are_found_in_both_directions():
  held = {'a': [1], 'b': [2], 'c': [3]}
  wanted = {'a': [1], 'b': [5], 'd': [3]}
  difference = matching.compare(held, wanted)
  assert difference.lacking == ['d']
  assert difference.unused == ['c']
  assert difference.reshaped == {'b': ((2,), (5,))}


@pytest.mark.parametrize(
  ('held', 'wanted', 'message'),
  [
    (
      with_cbam(),
      plain(),
      "the network lacks .*--attention_module='cbam_block'",
    ),
    (plain(), with_cbam(), "it lacks lenet/cbam.*--attention_module='none'"),
    (
      with_cbam(16),
      with_cbam(),
      r"shapes differ.*--attention_module='cbam_block\(ratio=16\)'",
    ),
    (plain(name='vgg_16'), plain(), 'are in vgg_16: set --model_name'),
    (plain(classes=1001), plain(), 'It has 1001 classes, the data 10'),
    (plain(channels=1), plain(), 'gray.*--use_grayscale'),
  ],
)
def test_a_refusal_names_the_flag_that_fits(held, wanted, message):
  difference = matching.compare(held, wanted)
  text = matching.refusal('x.ckpt', difference, held, wanted)
  with pytest.raises(UserError, match=message):
    raise UserError(text)
