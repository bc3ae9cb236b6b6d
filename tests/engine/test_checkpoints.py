import pathlib

import numpy as np
import pytest

from engine import checkpoints
from errors import UserError
from tf_compat import tf


def save(path: pathlib.Path, **values) -> str:
  """A checkpoint of some values under their names ('__' for '/')."""
  with tf.Graph().as_default(), tf.Session() as session:
    for name, value in values.items():
      tf.get_variable(name.replace('__', '/'), initializer=value)
    session.run(tf.global_variables_initializer())
    return tf.train.Saver().save(session, str(path), write_meta_graph=False)


def save_step(folder: pathlib.Path, step: int) -> str:
  return save(folder / f'model.ckpt-{step}', w=np.full(1000, float(step)))


def cut(checkpoint: str) -> None:
  """Truncates a checkpoint's data, as a full disk would."""
  data = pathlib.Path(f'{checkpoint}.data-00000-of-00001')
  data.write_bytes(data.read_bytes()[:100])


def test_checkpoints_are_ordered_by_step_not_by_name(tmp_path):
  for step in (9, 10, 100):
    save_step(tmp_path, step)
  steps = [checkpoints.step_of(c) for c in checkpoints.in_folder(tmp_path)]
  assert steps == [9, 10, 100]


def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, capsys):
  whole = save_step(tmp_path, 1)
  cut(save_step(tmp_path, 2))
  assert checkpoints.newest_whole(tmp_path) == whole
  assert 'model.ckpt-2 is damaged and passed over' in capsys.readouterr().err


def test_a_flipped_byte_is_damage(tmp_path):
  path = save_step(tmp_path, 1)
  data = pathlib.Path(f'{path}.data-00000-of-00001')
  content = bytearray(data.read_bytes())
  content[500] ^= 255
  data.write_bytes(content)
  assert 'hecksum' in checkpoints.fault(path)


def test_a_checkpoint_is_found_by_folder_prefix_and_part(tmp_path):
  save_step(tmp_path, 1)
  path = save_step(tmp_path, 2)
  for name in (tmp_path, path, f'{path}.index', f'{path}.data-00000-of-00001'):
    assert checkpoints.find(str(name)) == path


@pytest.mark.parametrize('name', ['', 'model.ckpt-3'])
def test_a_missing_checkpoint_is_refused(tmp_path, name):
  (tmp_path / 'sub').mkdir()
  with pytest.raises(UserError, match='No checkpoint'):
    checkpoints.find(str(tmp_path / 'sub' / name))


def test_a_missing_checkpoint_names_its_neighbours(tmp_path):
  path = save_step(tmp_path, 2)
  with pytest.raises(UserError, match=f'There: {path}'):
    checkpoints.find(str(tmp_path / 'model.ckpt-3'))


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
  assert checkpoints.is_weight(name) == (kind == 'weight')
  assert checkpoints.is_slot(name) == (kind == 'slot')


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
  assert checkpoints.in_scope(name, scope) is inside


def test_variables_are_split_by_scopes(graph):
  names = ('net/a/w', 'net/b/w', 'net/c/w')
  variables = [tf.get_variable(name, []) for name in names]
  inside, outside = checkpoints.split_by_scopes(
    variables, 'net/a, net/c', 'trainable_scopes'
  )
  assert [v.op.name for v in inside] == ['net/a/w', 'net/c/w']
  assert [v.op.name for v in outside] == ['net/b/w']


def test_a_scope_without_variables_names_near_ones(graph):
  variables = [tf.get_variable('net/logits/weights', [])]
  with pytest.raises(
    UserError, match=r"--trainable_scopes: .*'net/logit'\. Near: net/logits"
  ):
    checkpoints.split_by_scopes(variables, 'net/logit', 'trainable_scopes')


def test_differences_are_found_in_both_directions():
  held = {'a': [1], 'b': [2], 'c': [3]}
  wanted = {'a': [1], 'b': [5], 'd': [3]}
  difference = checkpoints.compare(held, wanted)
  assert difference.lacking == ['d']
  assert difference.unused == ['c']
  assert difference.reshaped == {'b': ((2,), (5,))}


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
    (plain(name='vgg_16'), plain(), 'are of vgg_16: give the --model_name'),
    (plain(classes=1001), plain(), 'It has 1001 classes, the data 10'),
    (plain(channels=1), plain(), 'gray.*--use_grayscale'),
  ],
)
def test_a_refusal_names_the_flag_that_fits(held, wanted, message):
  difference = checkpoints.compare(held, wanted)
  text = checkpoints.refusal('x.ckpt', difference, held, wanted)
  with pytest.raises(UserError, match=message):
    raise UserError(text)


def test_one_name_can_fill_two_variables(graph, tmp_path):
  path = save(tmp_path / 'x', w=np.float32(3))
  one, two = (tf.get_variable(name, []) for name in ('one', 'two'))
  restore = checkpoints.restorer({one: 'w', two: 'w'})
  with tf.Session() as session:
    restore(session, path)
    assert session.run([one, two]) == [3, 3]


def test_a_copy_is_a_checkpoint_and_can_be_deleted(tmp_path):
  path = save_step(tmp_path, 7)
  copied = checkpoints.copy(path, tmp_path / 'best')
  assert checkpoints.fault(copied) is None
  assert checkpoints.in_folder(tmp_path / 'best') == [copied]
  checkpoints.delete(copied)
  assert not list((tmp_path / 'best').iterdir())


def test_a_checkpoint_deleted_meanwhile_is_not_copied(tmp_path):
  path = save_step(tmp_path, 7)
  pathlib.Path(f'{path}.index').unlink()
  with pytest.raises(FileNotFoundError):
    checkpoints.copy(path, tmp_path / 'best')
  assert not list((tmp_path / 'best').iterdir())


def test_a_sweep_removes_half_written_saves_only(tmp_path):
  whole = save_step(tmp_path, 7)
  (tmp_path / 'model.ckpt-8_temp').mkdir()
  (tmp_path / 'model.ckpt-8_temp' / 'part-00000-of-00001.data').touch()
  (tmp_path / 'model.ckpt-8.data-00000-of-00001.tempstate123').touch()
  checkpoints.sweep(tmp_path)
  assert {p.name.split('.')[1] for p in tmp_path.glob('model*')} == {'ckpt-7'}
  assert checkpoints.fault(whole) is None
