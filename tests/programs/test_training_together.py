"""Workers as local processes: they agree, stop together, and are killed."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from processes import TINY, Process, free_addresses, values

from engine.checkpoints import store
from engine.run_dir import progress_csv

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]

# Two workers use all records in each step, with all options of a step.
OPTIONS = {
  'batch_size': 20, 'max_number_of_steps': 8, 'sync_batch_norm': True,
  'weight_decay': 0.01, 'moving_average_decay': 0.9,
  'gradient_clip_norm': 0.5, 'num_epochs_per_decay': 4.0,
  'attention_module': 'se_block',
}  # fmt: skip


@pytest.fixture
def start_workers(start, digits):
  """start_workers(**flags) -> two workers of a run, configured by TF_CONFIG."""

  def start_workers(**flags) -> list[Process]:
    cluster = {'worker': free_addresses(2)}
    return [
      start(
        'train',
        tiny=True,
        environ={
          'TF_CONFIG': json.dumps(
            {'cluster': cluster, 'task': {'type': 'worker', 'index': index}}
          )
        },
        **{'train_dir': 'train', 'dataset_dir': digits, **TINY, **flags},
      )
      for index in range(2)
    ]

  return start_workers


def finished(workers: list[Process]) -> None:
  for worker in workers:
    assert worker.wait() == 0, worker.stderr


@pytest.fixture(scope='module')
def alone(server, digits, tmp_path_factory) -> pathlib.Path:
  """Returns the train_dir of a single process with the same total batch."""
  folder = tmp_path_factory.mktemp('alone')
  process = server.start(
    'train', cwd=folder, tiny=True, train_dir='train', dataset_dir=digits,
    **{**TINY, **OPTIONS, 'batch_size': 40},
  )  # fmt: skip
  assert process.wait() == 0, process.stderr
  return folder / 'train'


def assert_same(one: pathlib.Path, other: pathlib.Path) -> None:
  """Compares losses, learning rates and the last checkpoints of two runs.

  Each step uses all records, so sums do not depend on which worker reads them.
  """
  actual, expected = (
    progress_csv.read(f / progress_csv.FILE) for f in (one, other)
  )
  np.testing.assert_allclose(actual['loss'], expected['loss'], rtol=1e-3)
  assert (actual['learning_rate'] == expected['learning_rate']).all()
  assert len(set(expected['learning_rate'])) > 1
  name = f'model.ckpt-{OPTIONS["max_number_of_steps"]}'
  actual, expected = values(one / name), values(other / name)
  assert set(actual) == set(expected)
  for name, value in expected.items():
    scale = np.abs(value).max() + 1e-3
    np.testing.assert_allclose(
      actual[name] / scale, value / scale, atol=1e-3, err_msg=name
    )


def test_two_workers_agree_with_one_device(start_workers, alone, tmp_path):
  workers = start_workers(eval_every_n_steps=8, **OPTIONS)
  finished(workers)
  assert_same(tmp_path / 'train', alone)
  only_the_chief_wrote(workers, tmp_path / 'train')


def only_the_chief_wrote(workers: list[Process], train_dir: pathlib.Path):
  for message in ('saved as', 'global step', 'Evaluating'):
    assert message in workers[0].stderr
    assert message not in workers[1].stderr
  assert (train_dir / 'best' / 'model.ckpt-8.index').exists()
  assert len(list(train_dir.glob('events.out.*'))) == 1
  end = json.loads((train_dir / 'finished.json').read_text())
  assert end['global_step'] == 8


def test_a_signal_to_one_stops_all_after_the_same_step(start_workers):
  workers = start_workers()
  workers[0].wait_for(r'global step 3[^\d]')
  workers[1].signal(signal.SIGTERM)
  for worker in workers:
    assert worker.wait() == 128 + signal.SIGTERM, worker.stderr
  steps = {
    worker.wait_for(r'Stopped by SIGTERM at step (\d+)')[1]
    for worker in workers
  }
  assert len(steps) == 1


@pytest.mark.parametrize('killed', [0, 1])
def test_a_killed_worker_ends_the_others_and_all_resume(
  start_workers, alone, tmp_path, killed
):
  options = {**OPTIONS, 'save_interval_secs': 0}
  workers = start_workers(worker_timeout_secs=60, **options)
  workers[0].wait_for(r'global step 3[^\d]')
  workers[killed].signal(signal.SIGKILL)
  error = workers[1 - killed].error
  assert 'Another process of the cluster was lost' in error
  assert 'The same commands, run again for all processes' in error
  newest = store.newest_readable(tmp_path / 'train')
  reached = store.step_of(newest)
  assert reached >= 2
  again = start_workers(**options)
  finished(again)
  for worker in again:
    assert f'Resuming from train/model.ckpt-{reached}.' in worker.stderr
  assert_same(tmp_path / 'train', alone)


def test_a_stopped_worker_ends_the_others(start_workers):
  workers = start_workers(worker_timeout_secs=12)
  workers[0].wait_for(r'global step 3[^\d]')
  workers[1].signal(signal.SIGSTOP)
  assert 'no step was made in 12 s' in workers[0].error
  workers[1].signal(signal.SIGKILL)


def test_a_worker_with_other_options_is_refused(start, digits):
  flags = {
    **TINY, 'train_dir': 'train', 'dataset_dir': digits,
    'worker_hosts': ','.join(free_addresses(2)),
  }  # fmt: skip
  start('train', tiny=True, **flags)
  other = start('train', tiny=True, **{**flags, 'task': 1, 'batch_size': 8})
  assert '--batch_size=8, but worker 0 has 4: start all' in other.error


def test_a_worker_that_waits_for_hosts_ends_at_once_on_a_signal(start, digits):
  process = start(
    'train', tiny=True, train_dir='train', dataset_dir=digits,
    worker_hosts=','.join(free_addresses(2)), **TINY,
  )  # fmt: skip
  process.wait_for('Waiting for')
  process.signal(signal.SIGTERM)
  assert process.wait(20) == 128 + signal.SIGTERM


def test_hosts_that_do_not_answer_are_named(start, digits):
  own, other = free_addresses(2)
  process = start(
    'train', tiny=True, train_dir='train', dataset_dir=digits,
    worker_timeout_secs=1, worker_hosts=f'{own},{other}', **TINY,
  )  # fmt: skip
  assert f'No answer from {other} in 1 s' in process.error


@pytest.mark.parametrize('kinds', [['-w', '2'], ['-w', '2', '-p', '1']])
def test_a_cluster_on_this_machine(digits, tmp_path, kinds):
  """The launcher, which passes the cluster by flags, with the real programs."""
  flags = {
    **TINY, 'model_name': 'lenet', 'max_number_of_steps': 2,
    'dataset_dir': digits, 'train_dir': tmp_path / 'train',
    'sync_replicas': '-p' in kinds,
  }  # fmt: skip
  result = subprocess.run(
    [
      'bash', ROOT / 'scripts' / 'launch_local.sh', *kinds, '--',
      'train_image_classifier.py', *(f'--{k}={v}' for k, v in flags.items()),
    ],
    env={**os.environ, 'PYTHON': sys.executable},
    capture_output=True, text=True, timeout=300,
  )  # fmt: skip
  assert result.returncode == 0, result.stderr
  assert '[worker 0] global step 2/2' in result.stderr
  assert '[worker 1] Finished at step 2' in result.stderr
