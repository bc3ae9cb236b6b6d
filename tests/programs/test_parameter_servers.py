"""Parameter servers and workers as processes on loopback, some of them killed."""

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

from engine import checkpoints, progress

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
# A TensorFlow server and nothing else.
BARE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from tf_compat import tf
tf.train.Server(json.loads(sys.argv[2]), 'worker', 1).join()
"""
SERVER, CHIEF, WORKER = ('ps', 0), ('worker', 0), ('worker', 1)


@pytest.fixture
def cluster(start, digits):
  """cluster(**flags) -> begin(job, task, **more), which starts one process."""

  def cluster(addresses=None, **flags):
    server, chief, worker = addresses or free_addresses(3)
    common = {
      **TINY, 'train_dir': 'train', 'dataset_dir': digits,
      'worker_timeout_secs': 120,
      'ps_hosts': server, 'worker_hosts': f'{chief},{worker}', **flags,
    }  # fmt: skip

    def begin(job, task, **more) -> Process:
      place = {'job_name': job, 'task': task}
      return start('train', tiny=True, **common, **place, **more)

    return begin

  return cluster


def started(begin) -> list[Process]:
  """A server, the chief, and another worker."""
  return [begin(*place) for place in (SERVER, CHIEF, WORKER)]


def ended(processes: list[Process], code: int = 0) -> None:
  for process in processes:
    assert process.wait() == code, process.stderr


def reached(chief: Process) -> int:
  """The last step that the chief has told, 0 before the first."""
  return int([0, *re.findall(r'global step (\d+)', chief.stderr)][-1])


def advances(chief: Process, steps: int = 3) -> None:
  """Waits until the chief has told of some steps more."""
  last = reached(chief) + steps
  until(lambda: reached(chief) >= last or chief.code is not None, 'steps', 60)
  assert chief.code is None, chief.stderr


def test_workers_that_wait_agree_with_one_device(
  cluster, run, digits, tmp_path
):
  """All records in one step: whichever worker reads which, the mean is one."""
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
    progress.read(tmp_path / name / progress.FILE)['learning_rate'].tolist()
    for name in ('train', 'alone')
  ]
  assert rates[0] == rates[1]
  assert len(set(rates[0])) == 2
  found, expected = (
    values(tmp_path / name / 'model.ckpt-3') for name in ('train', 'alone')
  )
  assert set(found) == set(expected)
  for name, value in expected.items():
    scale = np.abs(value).max() + 1e-3
    np.testing.assert_allclose(
      found[name] / scale, value / scale, atol=1e-3, err_msg=name
    )


def test_workers_that_do_not_wait_end_at_the_last_step(cluster, tmp_path):
  """One of them in a server that is there already."""
  addresses = free_addresses(3)
  hosts = json.dumps({'ps': addresses[:1], 'worker': addresses[1:]})
  begin = cluster(addresses, max_number_of_steps=200)
  with subprocess.Popen([sys.executable, '-c', BARE, ROOT, hosts]) as bare:
    server, chief = begin(*SERVER), begin(*CHIEF)
    worker = begin(*WORKER, master=f'grpc://{addresses[2]}')
    ended([chief, worker])
    bare.kill()
  ended([server])
  steps = [
    int(re.search(r'Finished at step (\d+)', process.stderr)[1])
    for process in (chief, worker)
  ]
  # The other may be in the midst of one when the last is made.
  assert {*steps} <= {200, 201}
  assert newest(tmp_path) in {200, 201}
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
def test_lost_workers_come_back(cluster, tmp_path, sync):
  """First another one, then the chief; at last a signal ends all, saved.

  Where workers wait for one another it may be anyone's.
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
  """The step of the newest whole checkpoint; -1 where there is none."""
  found = checkpoints.newest_whole(folder / 'train', tell=False)
  return checkpoints.step_of(found) if found else -1


def test_a_lost_server_ends_all_and_all_go_on(cluster, tmp_path):
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
  # And once more, when there is nothing left to do.
  again = started(cluster(**flags))
  ended(again)
  assert 'Already at step' in again[1].stderr


def test_a_worker_that_waits_for_the_chief_ends_at_once_on_a_signal(cluster):
  addresses = free_addresses(3)
  host, _, port = addresses[1].rpartition(':')
  begin = cluster(addresses)
  with socket.create_server((host, int(port))):
    begin(*SERVER)
    worker = begin(*WORKER)
    worker.wait_for('as worker 1 of 2')
    time.sleep(3)  # By when it has built its graph, and waits.
    worker.signal(signal.SIGTERM)
    assert worker.wait(30) == -signal.SIGTERM


def test_a_server_whose_chief_does_not_come_ends(cluster):
  begin = cluster(worker_timeout_secs=1)
  assert 'the chief, in 1 s: start all' in begin(*SERVER).error
  worker = begin(*WORKER)
  assert re.search(r'No answer from \S+, \S+ in 1 s', worker.error)
