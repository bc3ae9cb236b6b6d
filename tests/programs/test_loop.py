"""The evaluation loop beside a training, as two processes on one folder."""

import csv
import json
import os
import pathlib
import re
import shutil
import signal

import pytest
from processes import until

from engine.checkpoints import store
from engine.run_dir import results_csv

# Each starts processes.
pytestmark = pytest.mark.slow


def rows(eval_dir: pathlib.Path) -> list[dict]:
  return results_csv.read(eval_dir / 'results.csv')


def steps(eval_dir: pathlib.Path) -> list[int]:
  return [row['global_step'] for row in rows(eval_dir)]


def best(train_dir: pathlib.Path) -> dict:
  """Returns best.json, which must match the only checkpoint beside it."""
  best = json.loads((train_dir / 'best' / 'best.json').read_text())
  (checkpoint,) = store.in_folder(train_dir / 'best')
  assert store.step_of(checkpoint) == best['global_step']
  assert pathlib.Path(checkpoint).name == best['checkpoint']
  assert store.read_problem(checkpoint) is None
  return best


@pytest.fixture
def start_loop(start, digits):
  """start_loop(**more) -> the Process of a loop on tmp_path/train."""

  def start_loop(**more):
    flags = {
      'checkpoint_path': 'train',
      'dataset_name': 'digits',
      'dataset_dir': digits,
      'eval_interval_secs': 0,
    }
    return start('loop', **flags | more)

  return start_loop


def test_every_checkpoint_in_order_until_training_ends(
  start, start_loop, small, tmp_path
):
  loop = start_loop()
  loop.wait_for('Waiting for new checkpoints in train')
  training = start(
    'train', train_dir='train', save_interval_secs=0, keep_checkpoint_max=0,
    max_number_of_steps=6, **small,
  )  # fmt: skip
  assert loop.wait() == 0, loop.stderr
  assert training.code == 0, training.stderr
  assert 'Traceback' not in loop.stderr
  assert 'Training in train has finished' in loop.stderr
  table = rows(tmp_path / 'train' / 'eval')
  assert [row['global_step'] for row in table] == list(range(7))
  assert {row['count'] for row in table} == {23}
  winner = best(tmp_path / 'train')
  accuracies = [row['Accuracy'] for row in table]
  assert winner['value'] == max(accuracies)
  assert winner['global_step'] == accuracies.index(max(accuracies))
  # Training or the loop drew it last.
  assert (tmp_path / 'train' / 'curves.png').stat().st_size > 1000


def test_checkpoints_deleted_before_their_evaluation(
  start, start_loop, small, tmp_path
):
  """keep_checkpoint_max=1 deletes them faster than they can be evaluated."""
  loop = start_loop()
  training = start(
    'train', train_dir='train', save_interval_secs=0, keep_checkpoint_max=1,
    max_number_of_steps=40, **small,
  )  # fmt: skip
  assert loop.wait() == 0, loop.stderr
  assert training.wait() == 0, training.stderr
  assert 'Traceback' not in loop.stderr
  evaluated = steps(tmp_path / 'train' / 'eval')
  assert evaluated == sorted(set(evaluated))
  assert evaluated[-1] == 40
  best(tmp_path / 'train')


def test_a_checkpoint_without_data_is_skipped(start, copied, tmp_path, digits):
  """Training may delete a checkpoint after the loop has listed it."""
  (copied / 'model.ckpt-0.data-00000-of-00001').unlink()
  loop = start('loop', checkpoint_path='train', eval_interval_secs=0)
  assert loop.wait() == 0, loop.stderr
  assert re.search(r'Skipping .*model\.ckpt-0: ', loop.stderr)
  assert 'Traceback' not in loop.stderr
  assert steps(copied / 'eval') == [4]


def test_a_folder_without_training_waits_and_times_out(start_loop, tmp_path):
  loop = start_loop(eval_timeout_secs=1)
  assert loop.wait() == 2, loop.stderr
  assert 'Waiting for new checkpoints in train' in loop.stderr
  assert 'No new checkpoint for 1 s' in loop.stderr
  assert not (tmp_path / 'train').exists()


def test_a_loop_beside_a_killed_training_times_out(start_loop, copied):
  (copied / 'finished.json').unlink()
  loop = start_loop(eval_timeout_secs=1)
  assert loop.wait() == 0, loop.stderr
  assert steps(copied / 'eval') == [0, 4]
  assert 'No new checkpoint for 1 s' in loop.stderr


def test_a_checkpoint_file_is_evaluated_once(run, trained):
  checkpoint = trained / 'train' / 'model.ckpt-0'
  loop = run('loop', checkpoint_path=checkpoint, eval_dir='eval')
  assert loop.code == 0, loop.stderr
  assert loop.stderr.count('eval/Accuracy[') == 1
  assert f'Evaluating {checkpoint} ' in loop.stderr


def test_the_lowest_loss_is_the_best(start_loop, copied):
  loop = start_loop(best_metric='loss')
  assert loop.wait() == 0, loop.stderr
  table = rows(copied / 'eval')
  winner = best(copied)
  assert winner['metric'] == 'loss'
  lowest = min(table, key=lambda row: row['loss'])
  assert winner['value'] == pytest.approx(lowest['loss'])
  assert winner['global_step'] == lowest['global_step']
  again = start_loop(checkpoint_path='train/best', eval_dir='again',
                     eval_timeout_secs=0)  # fmt: skip
  assert again.wait() == 0, again.stderr


def test_early_stopping_ends_the_training_beside_it(
  start, start_loop, small, tmp_path
):
  training = start(
    'train', train_dir='train', save_interval_secs=0, keep_checkpoint_max=0,
    learning_rate=0, **small,
  )  # fmt: skip
  loop = start_loop(early_stop_patience=2)
  assert loop.wait() == 0, loop.stderr
  assert training.wait() == 0, training.stderr
  finished = json.loads((tmp_path / 'train' / 'finished.json').read_text())
  assert finished['reason'] == 'early_stop'
  assert 'early_stop' in training.stderr
  last = store.step_of(store.newest_readable(tmp_path / 'train'))
  assert finished['global_step'] == last
  assert steps(tmp_path / 'train' / 'eval') == [0, 1, 2, last]
  # The same command continues, as after any other end.
  again = start(
    'train', train_dir='train', max_number_of_steps=last + 1, **small
  )
  assert again.wait() == 0, again.stderr
  assert f'Finished at step {last + 1}' in again.stderr


def test_results_continue_after_a_nice_loop_was_killed(start_loop, copied):
  (copied / 'finished.json').unlink()
  loop = start_loop(nice=7)
  until(lambda: 4 in steps(copied / 'eval'), 'both evaluations')
  threads = pathlib.Path('/proc', str(loop.pid), 'task').iterdir()
  of_threads = {os.getpriority(os.PRIO_PROCESS, int(t.name)) for t in threads}
  assert of_threads == {min(19, os.getpriority(os.PRIO_PROCESS, 0) + 7)}
  loop.signal(signal.SIGKILL)
  loop.wait()
  with (copied / 'eval' / 'results.csv').open('a') as file:
    file.write('2026-01-01T00:00:00+00:00,9,half')
  again = start_loop(eval_timeout_secs=0)
  assert again.wait() == 0, again.stderr
  assert steps(copied / 'eval') == [0, 4, 0, 4]
  with (copied / 'eval' / 'results.csv').open(newline='') as file:
    assert len({len(row) for row in csv.reader(file)}) == 1


def test_a_train_dir_of_another_network_ends_with_an_error(
  start_loop, trained, tmp_path
):
  shutil.copytree(trained / 'cbam', tmp_path / 'train')
  loop = start_loop(attention_module='se_block')
  assert re.search(r'se_block contradicts .*cbam_block', loop.error)
