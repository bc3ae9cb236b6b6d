import pathlib

import numpy as np
import pytest

from engine.checkpoints import restore as restoring
from engine.checkpoints import store
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
  steps = [store.step_of(c) for c in store.in_folder(tmp_path)]
  assert steps == [9, 10, 100]


def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, capsys):
  whole = save_step(tmp_path, 1)
  cut(save_step(tmp_path, 2))
  assert store.newest_readable(tmp_path) == whole
  assert 'model.ckpt-2, which is damaged' in capsys.readouterr().err


def test_a_flipped_byte_is_damage(tmp_path):
  path = save_step(tmp_path, 1)
  data = pathlib.Path(f'{path}.data-00000-of-00001')
  content = bytearray(data.read_bytes())
  content[500] ^= 255
  data.write_bytes(content)
  assert 'hecksum' in store.read_problem(path)


def test_a_checkpoint_is_found_by_folder_prefix_and_part(tmp_path):
  save_step(tmp_path, 1)
  path = save_step(tmp_path, 2)
  for name in (tmp_path, path, f'{path}.index', f'{path}.data-00000-of-00001'):
    assert store.find(str(name)) == path


@pytest.mark.parametrize('name', ['', 'model.ckpt-3'])
def test_a_missing_checkpoint_is_refused(tmp_path, name):
  (tmp_path / 'sub').mkdir()
  with pytest.raises(UserError, match='No checkpoint'):
    store.find(str(tmp_path / 'sub' / name))


def test_a_missing_checkpoint_names_its_neighbours(tmp_path):
  path = save_step(tmp_path, 2)
  with pytest.raises(UserError, match=f'Its folder has: {path}'):
    store.find(str(tmp_path / 'model.ckpt-3'))


def test_one_name_can_fill_two_variables(graph, tmp_path):
  path = save(tmp_path / 'x', w=np.float32(3))
  one, two = (tf.get_variable(name, []) for name in ('one', 'two'))
  restore = restoring.restorer({one: 'w', two: 'w'})
  with tf.Session() as session:
    restore(session, path)
    assert session.run([one, two]) == [3, 3]


def test_a_copy_is_a_checkpoint_and_can_be_deleted(tmp_path):
  path = save_step(tmp_path, 7)
  copied = store.copy(path, tmp_path / 'best')
  assert store.read_problem(copied) is None
  assert store.in_folder(tmp_path / 'best') == [copied]
  store.delete(copied)
  assert not list((tmp_path / 'best').iterdir())


def test_a_checkpoint_deleted_meanwhile_is_not_copied(tmp_path):
  path = save_step(tmp_path, 7)
  pathlib.Path(f'{path}.index').unlink()
  with pytest.raises(FileNotFoundError):
    store.copy(path, tmp_path / 'best')
  assert not list((tmp_path / 'best').iterdir())


def test_a_sweep_removes_half_written_saves_only(tmp_path):
  whole = save_step(tmp_path, 7)
  (tmp_path / 'model.ckpt-8_temp').mkdir()
  (tmp_path / 'model.ckpt-8_temp' / 'part-00000-of-00001.data').touch()
  (tmp_path / 'model.ckpt-8.data-00000-of-00001.tempstate123').touch()
  store.remove_leftovers(tmp_path)
  assert {p.name.split('.')[1] for p in tmp_path.glob('model*')} == {'ckpt-7'}
  assert store.read_problem(whole) is None
