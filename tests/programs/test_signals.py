"""SIGTERM, SIGHUP and Ctrl-C during training, and resuming by the same command."""

import re
import signal

import pytest

from engine.checkpoints import store

# Each starts processes.
pytestmark = pytest.mark.slow

EACH = pytest.mark.parametrize(
  'number',
  [signal.SIGTERM, signal.SIGINT, signal.SIGHUP],
  ids=lambda number: number.name,
)


def last_step(stderr: str) -> int:
  return int(re.findall(r'global step (\d+)', stderr)[-1])


@EACH
def test_a_signal_saves_and_the_same_command_resumes(
  start, train, small, tmp_path, number
):
  command = {'train_dir': 'train', **small}
  first = start('train', **command)
  first.wait_for(r'global step 3[^\d]')
  first.signal(number)
  assert first.wait() == 128 + number
  assert 'Traceback' not in first.stderr
  step = last_step(first.stderr)
  train_dir = tmp_path / 'train'
  saved = [store.step_of(c) for c in store.in_folder(train_dir)]
  assert saved == [0, step]
  assert re.search(
    rf'Stopped by {number.name} at step {step}, saved as '
    rf'train/model\.ckpt-{step}: the same command resumes',
    first.stderr,
  )
  assert not (train_dir / 'finished.json').exists()
  second = start('train', **command)
  second.wait_for(rf'Resuming from train/model\.ckpt-{step}\.')
  following = second.wait_for(r'global step (\d+)')
  assert int(following[1]) == step + 1
  second.signal(number)
  assert second.wait() == 128 + number


@EACH
def test_a_signal_before_the_first_step_ends_it(start, small, tmp_path, number):
  process = start('train', train_dir='train', **small)
  process.wait_for('Training cifarnet')
  process.signal(number)
  assert process.wait() == 128 + number
  assert 'Traceback' not in process.stderr
  assert not (tmp_path / 'train' / 'finished.json').exists()


def test_a_second_ctrl_c_does_not_wait(start, small):
  process = start('train', train_dir='train', **small)
  process.wait_for(r'global step 2[^\d]')
  process.signal(signal.SIGINT)
  process.signal(signal.SIGINT)
  assert process.wait() == 130
  assert 'Traceback' not in process.stderr


def test_a_signal_after_a_cold_start(start, small):
  number = signal.SIGTERM
  process = start('train', train_dir='train', cold=True, **small)
  process.wait_for(r'global step 2[^\d]')
  process.signal(number)
  assert process.wait() == 128 + number
  assert 'the same command resumes' in process.stderr


@pytest.mark.parametrize('program', ['eval', 'loop'])
def test_ctrl_c_ends_evaluation_without_a_trace(start, copied, program):
  """Evaluation has nothing to save, and Ctrl-C is the usual end of a loop."""
  process = start(
    program, checkpoint_path=copied, eval_dir='eval', batch_size=1
  )
  process.wait_for('Evaluating')
  process.signal(signal.SIGINT)
  assert process.wait() in (130, 0)
  assert 'Traceback' not in process.stderr


@pytest.mark.parametrize('program', ['eval', 'loop'])
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_evaluation_in_one_line(start, copied, program, number):
  (copied / 'finished.json').unlink()  # So the loop does not end by itself.
  process = start(
    program, checkpoint_path=copied, eval_dir='eval', batch_size=1
  )
  process.wait_for('Evaluating')
  process.signal(number)
  assert process.wait() == 128 + number, process.stderr
  assert f'Stopped by {number.name}.' in process.stderr
  assert 'Traceback' not in process.stderr
