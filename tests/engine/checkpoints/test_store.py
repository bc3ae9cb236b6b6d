import os
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


def test_a_resumed_run_deletes_no_copies_of_checkpoints(tmp_path):
  for name in ('keep-1', 'model.ckpt-1', 'model.ckpt-2', 'vgg_16.ckpt'):
    save(tmp_path / name, w=np.zeros(3))
  with tf.Graph().as_default(), tf.Session() as session:
    tf.get_variable('w', initializer=np.zeros(3))
    session.run(tf.global_variables_initializer())
    saver = store.saver(str(tmp_path), keep=1, resumed_from=2)
    saver.save(session, str(tmp_path / 'model.ckpt'), 3, write_meta_graph=False)
  left = {pathlib.Path(path).name for path in store.in_folder(tmp_path)}
  # A save deletes one checkpoint, the oldest.
  assert left == {'keep-1', 'model.ckpt-2', 'model.ckpt-3', 'vgg_16.ckpt'}


def test_the_saver_of_training_saves_without_operations_to_restore(tmp_path):
  operations = set()
  for count in (1, 9):
    with tf.Graph().as_default() as graph:
      for number in range(count):
        tf.get_variable(f'w{number}', initializer=float(number))
      before = len(graph.get_operations())
      saver = store.saver(str(tmp_path), keep=1)
      operations.add(len(graph.get_operations()) - before)
  assert len(operations) == 1
  with tf.Session(graph=graph) as session, graph.as_default():
    session.run(tf.global_variables_initializer())
    path = saver.save(
      session, str(tmp_path / 'model.ckpt'), 0, write_meta_graph=False
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match='cannot restore'):
      saver.restore(session, path)
  assert tf.train.load_variable(path, 'w8') == 8


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


@pytest.mark.parametrize('name', ['run [lr=0.1]', 'run?', 'a*', 'back\\slash'])
def test_a_folder_whose_name_tensorflow_reads_as_a_pattern(tmp_path, name):
  """'run?' also matches 'run1', whose checkpoints must stay as they are."""
  neighbour = tmp_path / 'run1'
  kept = [save_step(neighbour, step) for step in (1, 2)]
  folder = tmp_path / name
  folder.mkdir()
  with tf.Graph().as_default(), tf.Session() as session:
    variable = tf.get_variable('w', initializer=np.float32(0))
    saver = tf.train.Saver(max_to_keep=2, save_relative_paths=True)
    for step in (1, 2, 3):
      session.run(variable.assign(step))
      prefix = store.plain_path(str(folder / 'model.ckpt'))
      saver.save(session, prefix, step, write_meta_graph=False)
    path = store.find(str(folder))
    assert path == str(folder / 'model.ckpt-3')
    store.restore(saver, session, str(folder / 'model.ckpt-2'))
    assert session.run(variable) == 2
  assert store.find(f'{path}.index') == path
  assert store.in_folder(folder) == [str(folder / 'model.ckpt-2'), path]
  assert store.shapes(path) == {'w': []}
  assert store.read_problem(store.copy(path, folder / 'best')) is None
  store.delete(path)
  assert store.newest_readable(folder) == str(folder / 'model.ckpt-2')
  assert store.in_folder(neighbour) == kept
  assert [store.read_problem(path) for path in kept] == [None, None]


def test_a_checkpoint_whose_own_name_is_a_pattern_is_refused(tmp_path):
  save_step(tmp_path, 7)
  for name in ('model.ckpt-*', 'model.ckpt-?', 'model[1].ckpt'):
    (tmp_path / f'{name}.index').touch()
    with pytest.raises(UserError, match=r'reads a name with any of .* pattern'):
      store.find(str(tmp_path / name))


STATE = """model_checkpoint_path: "{}"
all_model_checkpoint_paths: "/elsewhere/model.ckpt-1"
all_model_checkpoint_paths: "model.ckpt-2"
all_model_checkpoint_paths: "model.ckpt-3"
"""


@pytest.fixture
def run_folder(tmp_path):
  """A folder of checkpoints 1 to 3 and the file that names 3."""
  for step in (1, 2, 3):
    save_step(tmp_path, step)
  (tmp_path / 'checkpoint').write_text(STATE.format('model.ckpt-3'))
  return tmp_path


def steps(folder) -> list[int]:
  return [store.step_of(path) for path in store.newest_first(folder)]


def test_the_checkpoint_file_itself_names_its_newest(run_folder, capsys):
  path = str(run_folder / 'model.ckpt-3')
  assert store.find(str(run_folder / 'checkpoint')) == path
  assert store.folder_of(str(run_folder / 'checkpoint')) == run_folder
  assert capsys.readouterr().err == ''


@pytest.mark.parametrize('name', ['model.ckpt-2', '/moved/run/model.ckpt-2'])
def test_a_checkpoint_file_edited_to_roll_back_is_followed(
  run_folder, name, capsys
):
  (run_folder / 'checkpoint').write_text(STATE.format(name))
  assert steps(run_folder) == [2, 1, 3]
  assert store.find(str(run_folder)).endswith('model.ckpt-2')
  assert 'names model.ckpt-2 as the newest checkpoint, so model.ckpt-3 is' in (
    capsys.readouterr().err
  )
  # Shortened to one line, which does not list the abandoned one.
  (run_folder / 'checkpoint').write_text(f'model_checkpoint_path: "{name}"\n')
  assert steps(run_folder) == [2, 1, 3]


def test_a_kill_before_the_checkpoint_file_is_written_is_no_roll_back(
  run_folder, capsys
):
  save_step(run_folder, 4)
  written = (run_folder / 'checkpoint').stat().st_mtime_ns
  later = written + 1_000_000
  os.utime(run_folder / 'model.ckpt-4.index', ns=(later, later))
  assert steps(run_folder) == [4, 3, 2, 1]
  # Also after a roll back to 2, which abandoned 3.
  (run_folder / 'checkpoint').write_text(STATE.format('model.ckpt-2'))
  os.utime(run_folder / 'checkpoint', ns=(written, written))
  assert steps(run_folder) == [4, 2, 1, 3]
  assert capsys.readouterr().err == ''


@pytest.mark.parametrize(
  'text', [b'', b'\xff\0', b'model_checkpoint_path: 3', b'{' * 9000]
)
def test_a_damaged_checkpoint_file_does_no_harm(run_folder, text):
  (run_folder / 'checkpoint').write_bytes(text)
  assert steps(run_folder) == [3, 2, 1]


def test_a_checkpoint_file_that_names_a_missing_one_is_reported(
  run_folder, capsys
):
  (run_folder / 'checkpoint').write_text(STATE.format('model.ckpt-9'))
  assert steps(run_folder) == [3, 2, 1]
  assert 'names model.ckpt-9, which is not there' in capsys.readouterr().err
