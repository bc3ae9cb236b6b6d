"""A full disk: an error message, and the last good checkpoint stays.

A limit on file sizes makes writes fail as a full disk does, for any user.
"""

import pytest
from processes import Process

from engine.checkpoints import store

# Each starts processes.
pytestmark = pytest.mark.slow

# Bytes that suffice for events and curves, but not for 2.3 MB of weights.
TOO_LITTLE = 1_500_000


def test_the_last_good_checkpoint_stays(train, run, copied):
  full = train(max_number_of_steps=6, file_size=TOO_LITTLE)
  assert full.code == 2
  assert full.error.count('\n') <= 1
  assert 'Could not save step 6' in full.error
  assert 'train/model.ckpt-4' in full.error
  assert sorted(p.name for p in copied.iterdir() if 'ckpt' in p.name) == [
    f'model.ckpt-{step}.{part}'
    for step in (0, 4)
    for part in ('data-00000-of-00001', 'index')
  ]
  assert store.newest_readable(copied).endswith('model.ckpt-4')
  assert run('eval', checkpoint_path='train').code == 0
  again = train(max_number_of_steps=6)
  assert again.code == 0, again.stderr
  assert 'Resuming from train/model.ckpt-4.' in again.stderr


def test_no_room_for_the_first_checkpoint(train, tmp_path):
  full = train(file_size=TOO_LITTLE)
  assert full.code == 2
  assert 'Could not save step 0' in full.error
  assert not list((tmp_path / 'train').glob('*ckpt*'))


def last_line(process: Process) -> str:
  return process.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize('room', [100_000, 20_000, 5_000])
def test_no_room_for_anything_else(train, copied, room):
  """Events, curves or the job, whichever fails first.

  TensorFlow's thread that writes events prints a stack trace of its own.
  """
  full = train(max_number_of_steps=6, file_size=room)
  assert full.code == 2
  assert last_line(full).startswith('error: ')
  assert store.newest_readable(copied).endswith('model.ckpt-4')
  again = train(max_number_of_steps=6)
  assert again.code == 0, again.stderr


@pytest.mark.parametrize('room', [1_700])
def test_no_room_for_results(run, trained, room):
  full = run(
    'eval', checkpoint_path=trained / 'train', eval_dir='eval', file_size=room
  )
  assert full.code != 0
  assert 'Traceback' not in full.stderr
  assert last_line(full).startswith('error: ')


def test_no_room_for_the_best(start, copied):
  """The best checkpoint consists of hard links, which need no space."""
  loop = start(
    'loop', checkpoint_path='train', eval_interval_secs=0,
    file_size=TOO_LITTLE,
  )  # fmt: skip
  loop.wait()
  assert 'Traceback' not in loop.stderr
  assert [p.name for p in (copied / 'best').glob('.*')] == ['.lock']
  (best,) = store.in_folder(copied / 'best')
  assert store.read_problem(best) is None


def test_no_room_for_records(run, tmp_path):
  full = run(
    'convert', dataset_name='digits', dataset_dir='out', file_size=50_000
  )
  assert full.code != 0
  assert 'Traceback' not in full.stderr
  assert not list((tmp_path / 'out').glob('*.tfrecord'))
