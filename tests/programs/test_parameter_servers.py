"""Parameter servers and workers as local processes, some of which are killed."""

import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from processes import TINY, Process, free_addresses, until, values

from engine.checkpoints import store
from engine.run_dir import progress_csv

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
# A program that only runs a TensorFlow server.
SERVER_PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tf_compat import tf
tf.train.Server(json.loads(sys.argv[2]), 'worker', 1).join()
"""
SERVER, CHIEF, WORKER = ('ps', 0), ('worker', 0), ('worker', 1)


@pytest.fixture
def cluster(start, digits):
  """cluster(**flags) -> begin(job, task, **more) -> one started Process."""

  def cluster(addresses=None, **flags):
    server, chief, worker = addresses or free_addresses(3)
    common = {
      **TINY, 'train_dir': 'train', 'dataset_dir': digits,
      'worker_timeout_secs': 120,
      'ps_hosts': server, 'worker_hosts': f'{chief},{worker}', **flags,
    }  # fmt: skip

    def begin(job, task, **more) -> Process:
      role = {'job_name': job, 'task': task}
      return start('train', tiny=True, **common, **role, **more)

    return begin

  return cluster


def started(begin) -> list[Process]:
  """Starts a server, the chief, and another worker."""
  return [begin(*role) for role in (SERVER, CHIEF, WORKER)]


def ended(processes: list[Process], code: int = 0) -> None:
  for process in processes:
    assert process.wait() == code, process.stderr


def reached(chief: Process) -> int:
  """Returns the last step that the chief has logged, 0 before the first."""
  return int([0, *re.findall(r'global step (\d+)', chief.stderr)][-1])


def advances(chief: Process, steps: int = 3) -> None:
  """Waits until the chief has logged a number of further steps."""
  last = reached(chief) + steps
  until(lambda: reached(chief) >= last or chief.code is not None, 'steps', 60)
  assert chief.code is None, chief.stderr


def test_synchronous_workers_agree_with_one_device(
  cluster, run, digits, tmp_path
):
  """Each step uses all records, so the mean does not depend on who reads them."""
  options = {
    'model_name': 'tiny_plain', 'max_number_of_steps': 3, 'weight_decay': 0.01,
    'moving_average_decay': 0.9, 'gradient_clip_norm': 0.5,
    'num_epochs_per_decay': 2.0,
  }  # fmt: skip
  processes = started(cluster(sync_replicas=True, batch_size=20, **options))
  flags = {**TINY, **options, 'batch_size': 40}
  alone = run(
    'train', tiny=True, train_dir='alone', dataset_dir=digits, **flags
  )
  ended([alone, *processes])
  last = [
    float(re.search(r'Finished at step 3 .* loss (\d+\.\d+)', p.stderr)[1])
    for p in (alone, *processes[1:])
  ]
  assert np.mean(last[1:]) == pytest.approx(last[0], abs=2e-4)
  rates = [
    progress_csv.read(tmp_path / name / progress_csv.FILE)[
      'learning_rate'
    ].tolist()
    for name in ('train', 'alone')
  ]
  assert rates[0] == rates[1]
  assert len(set(rates[0])) == 2
  actual, expected = (
    values(tmp_path / name / 'model.ckpt-3') for name in ('train', 'alone')
  )
  assert set(actual) == set(expected)
  for name, value in expected.items():
    scale = np.abs(value).max() + 1e-3
    np.testing.assert_allclose(
      actual[name] / scale, value / scale, atol=1e-3, err_msg=name
    )


def test_asynchronous_workers_end_at_the_last_step(cluster, tmp_path):
  """One worker runs in a server that was started before."""
  addresses = free_addresses(3)
  hosts = json.dumps({'ps': addresses[:1], 'worker': addresses[1:]})
  begin = cluster(addresses, max_number_of_steps=1500)
  with subprocess.Popen(
    [sys.executable, '-c', SERVER_PROGRAM, ROOT, hosts]
  ) as server_process:
    try:
      server, chief = begin(*SERVER), begin(*CHIEF)
      worker = begin(*WORKER, master=f'grpc://{addresses[2]}')
      ended([chief, worker])
    finally:
      # A failure would wait for it without end.
      server_process.kill()
  ended([server])
  steps = [
    int(re.search(r'Finished at step (\d+)', process.stderr)[1])
    for process in (chief, worker)
  ]
  # The other worker may be within a step when the last one is made.
  assert {*steps} <= {1500, 1501}
  assert newest(tmp_path) in {1500, 1501}
  assert 'global step' not in worker.stderr


def test_a_backup_worker_is_not_waited_for(cluster):
  server, chief, worker = started(
    cluster(sync_replicas=True, replicas_to_aggregate=1)
  )
  worker.wait_for('Joined at step')
  worker.signal(signal.SIGKILL)
  worker.wait()
  advances(chief)
  chief.signal(signal.SIGTERM)
  ended([server, chief], 128 + signal.SIGTERM)


@pytest.mark.parametrize('sync', [False, True])
def test_lost_workers_rejoin(cluster, tmp_path, sync):
  """First a worker, then the chief is restarted; at last a signal ends all.

  If workers wait for one another, a signal to any of them suffices.
  """
  begin = cluster(sync_replicas=sync)
  server, chief, worker = started(begin)
  advances(chief)
  worker.signal(signal.SIGKILL)
  worker.wait()
  if not sync:
    advances(chief)
  worker = begin(*WORKER)
  worker.wait_for('Joined at step')
  advances(chief)
  before = newest(tmp_path)
  chief.signal(signal.SIGKILL)
  chief.wait()
  chief = begin(*CHIEF)
  advances(chief)
  assert f'Resuming from train/model.ckpt-{before}.' in chief.stderr
  for process in [worker] if sync else [server, chief, worker]:
    process.signal(signal.SIGTERM)
  ended([server, chief, worker], 128 + signal.SIGTERM)
  step = int(re.search(r'Stopped by SIGTERM at step (\d+)', chief.stderr)[1])
  assert newest(tmp_path) >= step


def newest(folder: pathlib.Path) -> int:
  """Returns the step of the newest readable checkpoint; -1 without one."""
  checkpoint = store.newest_readable(folder / 'train', verbose=False)
  return store.step_of(checkpoint) if checkpoint else -1


def test_a_lost_server_ends_all_and_all_resume(cluster, tmp_path):
  flags = {'save_interval_secs': 0, 'worker_timeout_secs': 15}
  server, *workers = started(cluster(**flags))
  until(lambda: newest(tmp_path) > 0, 'a checkpoint')
  server.signal(signal.SIGKILL)
  for worker in workers:
    assert 'Another process of the cluster was lost' in worker.error
  step = newest(tmp_path)
  flags['max_number_of_steps'] = step + 2
  again = started(cluster(**flags))
  ended(again)
  assert f'Resuming from train/model.ckpt-{step}.' in again[1].stderr
  # Once more, when training has already finished.
  again = started(cluster(**flags))
  ended(again)
  assert 'Already finished at step' in again[1].stderr


def test_a_worker_that_waits_for_the_chief_ends_at_once_on_a_signal(cluster):
  addresses = free_addresses(3)
  host, _, port = addresses[1].rpartition(':')
  begin = cluster(addresses)
  with socket.create_server((host, int(port))):
    begin(*SERVER)
    worker = begin(*WORKER)
    worker.wait_for('as worker 1 of 2')
    time.sleep(3)  # Until it has built its graph, and waits.
    worker.signal(signal.SIGTERM)
    assert worker.wait(30) == 128 + signal.SIGTERM


def test_a_server_without_a_chief_ends(cluster):
  begin = cluster(worker_timeout_secs=1)
  assert 'the chief, in 1 s: start all' in begin(*SERVER).error
  worker = begin(*WORKER)
  assert re.search(r'No answer from \S+, \S+ in 1 s', worker.error)
