"""kill -9 at any moment of training leaves a readable checkpoint."""

import random
import re
import shutil
import signal
import time

import numpy as np
import pytest
from processes import values

from engine.checkpoints import store

# Each starts processes.
pytestmark = pytest.mark.slow

# Files that may be in a train_dir after training has started again in it.
EXPECTED = re.compile(
  r'\.lock|checkpoint|curves\.png|evaluations\.json|events\.out\..*|finished\.json|'
  r'job\.json|progress\.csv|model\.ckpt-\d+\.(index|data-00000-of-00001)'
)


def leftovers(train_dir) -> list[str]:
  """Returns names of unexpected files, and of data without an index."""
  names = {path.name for path in train_dir.iterdir()}
  odd = {name for name in names if not EXPECTED.fullmatch(name)}
  for name in names:
    if match := re.match(r'(model\.ckpt-\d+)\.data', name):
      odd |= {name} - {n for n in [name] if f'{match[1]}.index' in names}
  return sorted(odd)


def test_killed_repeatedly_while_saving_at_every_step(
  start, train, small, tmp_path
):
  """Seeded, it ends with the weights of a run that was not killed."""
  random_generator = random.Random(0)
  train_dir, reached = tmp_path / 'train', 0
  command = {
    'train_dir': 'train', 'save_interval_secs': 0, 'keep_checkpoint_max': 2,
    'seed': 1, **small,
  }  # fmt: skip
  for _ in range(4):
    process = start('train', **command)
    process.wait_for(rf'global step {reached + 1}[^\d]')
    time.sleep(random_generator.uniform(0, 1.0))
    process.signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 'error' not in process.stderr.lower()
    logged = int(re.findall(r'global step (\d+)', process.stderr)[-1])
    newest = store.newest_readable(train_dir)
    reached = store.step_of(newest)
    # The last line in the log may be of a step that was not saved yet.
    assert logged - 1 <= reached <= logged + 1
  last = train(max_number_of_steps=reached + 2, **command)
  assert last.code == 0, last.stderr
  assert f'Resuming from train/model.ckpt-{reached}.' in last.stderr
  assert leftovers(train_dir) == []
  whole = train(
    **command | {'train_dir': 'whole'}, max_number_of_steps=reached + 2
  )
  assert whole.code == 0, whole.stderr
  name = f'model.ckpt-{reached + 2}'
  expected, got = values(tmp_path / 'whole' / name), values(train_dir / name)
  assert set(got) == set(expected)
  for variable, value in expected.items():
    np.testing.assert_array_equal(got[variable], value, err_msg=variable)


def test_killed_at_any_time_from_the_start(start, train, small, tmp_path):
  """Also before the first checkpoint, and while it is written."""
  random_generator = random.Random(0)
  for _ in range(6):
    process = start('train', train_dir='train', save_interval_secs=0, **small)
    process.wait_for('Training cifarnet')
    time.sleep(random_generator.uniform(0, 2.0))
    process.signal(signal.SIGKILL)
    process.wait()
    assert 'Traceback' not in process.stderr
  start_step = 0
  if newest := store.newest_readable(tmp_path / 'train'):
    start_step = store.step_of(newest)
  last = train(max_number_of_steps=start_step + 1)
  assert last.code == 0, last.stderr
  assert leftovers(tmp_path / 'train') == []


def test_leftovers_of_a_killed_save_are_deleted(train, copied):
  """With all temporary files that saving writes at some moment."""
  (copied / 'finished.json').unlink()
  data = copied / 'model.ckpt-4.data-00000-of-00001'
  (copied / 'model.ckpt-5_temp').mkdir()
  shutil.copy(data, copied / 'model.ckpt-5_temp' / 'part-00000-of-00001.data')
  shutil.copy(data, copied / 'model.ckpt-6.data-00000-of-00001')
  (copied / 'model.ckpt-6.index.tempstate123').write_bytes(b'half')
  (copied / 'checkpoint.tmp0123').write_text('half')
  (copied / '.curves.abcd.png').write_bytes(b'half')
  (copied / '.job.abcd.json').write_text('half')
  process = train(max_number_of_steps=5)
  assert process.code == 0, process.stderr
  assert 'Resuming from train/model.ckpt-4.' in process.stderr
  assert leftovers(copied) == []


@pytest.mark.parametrize('part', ['index', 'data-00000-of-00001'])
def test_a_truncated_checkpoint_is_skipped(train, copied, part):
  path = copied / f'model.ckpt-4.{part}'
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  process = train(max_number_of_steps=2)
  assert process.code == 0, process.stderr
  assert 'model.ckpt-4, which is damaged' in process.stderr
  assert 'Resuming from train/model.ckpt-0.' in process.stderr
  assert store.newest_readable(copied).endswith('model.ckpt-2')


def test_a_damaged_job_json_is_named(train, copied):
  (copied / 'job.json').write_text('{"options": {')
  process = train(max_number_of_steps=5)
  assert 'job.json is not JSON' in process.error
  assert process.code == 2
