import os
import pathlib
import signal
import struct
import subprocess
import sys
import time

import pytest

from datasets import process_pool
from datasets.example_features import ExampleFeatures, UnusableError
from errors import UserError

ROOT = pathlib.Path(process_pool.__file__).parents[1]


def test_workers_do_not_import_tensorflow():
  from datasets.dataset_factory import DATASETS

  modules = {spec.encode.__module__ for spec in DATASETS.values()}
  modules |= {'datasets.photo', 'datasets.tfds', 'datasets.record_inspection'}
  programs = 'download_and_convert_data.py', 'inspect_data.py'
  code = (
    f'import sys, runpy, {", ".join(sorted(modules))}\n'
    f'for program in {programs}: runpy.run_path(program, run_name="__mp_main__")'
    '\nprint("tensorflow" in sys.modules)'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], cwd=ROOT, capture_output=True, check=True
  )
  assert done.stdout == b'False\n'


def test_workers_for_photos_do_not_import_numpy():
  """Importing it would take most of a worker's start."""
  code = 'import datasets.photo, datasets.process_pool, sys'
  code += '; print("numpy" in sys.modules)'
  done = subprocess.run(
    [sys.executable, '-c', code], cwd=ROOT, capture_output=True, check=True
  )
  assert done.stdout == b'False\n'


class Item:
  def __init__(self, number):
    self.number = number
    self.name = f'item {number}'


def encode(item):
  if item.number == 5:
    raise UnusableError('is five')
  if item.number == 99:
    os._exit(1)
  return ExampleFeatures({'number': item.number, 'process': os.getpid()})


@pytest.fixture
def small(monkeypatch):
  monkeypatch.setattr(process_pool, 'ITEMS_PER_WORKER', 10)
  monkeypatch.setattr(process_pool, 'CHUNK', 2)


@pytest.mark.parametrize('processes', [1, 2])
def test_results_are_in_order_and_rejections_in_place(small, processes):
  items = [Item(number) for number in range(40)]
  with process_pool.ProcessPool(encode, processes, len(items)) as pool:
    results = list(pool.encode(items))
  assert results[5] == process_pool.Rejection('item 5', 'is five')
  del results[5]
  numbers = [result.features['number'] for result in results]
  assert numbers == [number for number in range(40) if number != 5]
  used = {result.features['process'] for result in results}
  assert (os.getpid() in used) == (processes == 1)


def test_a_dead_worker_is_reported(small):
  items = [Item(number) for number in (*range(30), 99)]
  with (
    process_pool.ProcessPool(encode, 2, len(items)) as pool,
    pytest.raises(UserError, match=r'process died.* --num_processes=1'),
  ):
    list(pool.encode(items))


def test_few_items_are_not_worth_a_process():
  with process_pool.ProcessPool(
    encode, 8, process_pool.ITEMS_PER_WORKER
  ) as pool:
    (result,) = pool.encode([Item(1)])
  assert result.features['process'] == os.getpid()


def alone(folder):
  """Returns whether another worker is between these lines meanwhile."""
  with process_pool.one_at_a_time():
    mark = pathlib.Path(folder, 'mark')
    is_other = mark.exists()
    mark.touch()
    time.sleep(0.01)
    mark.unlink()
  return is_other


def test_one_worker_at_a_time_uses_much_memory(small, tmp_path):
  with process_pool.ProcessPool(alone, 2, 20) as pool:
    assert not any(pool.encode([str(tmp_path)] * 20))


def die_while_sending(_):
  """Ends the worker in the midst of a message of 1000 bytes."""
  pipe = sys._getframe(2).f_locals['pipe']
  os.write(pipe.fileno(), struct.pack('!i', 1000) + b'x')
  os._exit(1)


def test_a_worker_that_dies_while_sending_is_reported(small):
  with (
    process_pool.ProcessPool(die_while_sending, 2, 20) as pool,
    pytest.raises(UserError, match='process died'),
  ):
    list(pool.encode(range(20)))


def divide(number):
  return 1 / number


def test_a_defect_in_a_worker_keeps_its_trace(small):
  with (
    process_pool.ProcessPool(divide, 2, 20) as pool,
    pytest.raises(RuntimeError, match=r'(?s)in divide.*ZeroDivisionError'),
  ):
    list(pool.encode([0] * 20))


UNTIL_A_SIGNAL = """
import signal, sys, time
from datasets import process_pool
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
  signal.signal(number, lambda *_: sys.exit(3))
process_pool.ITEMS_PER_WORKER = 1
with process_pool.ProcessPool(time.sleep, 2, 9999) as pool:
  for number, _ in enumerate(pool.encode([0.01] * 9999)):
    if number == 9:
      print('started', flush=True)
"""


@pytest.mark.parametrize('number', [1, 2, 15])
def test_a_signal_to_all_processes_ends_them_without_a_trace(number):
  """As a terminal, `timeout` and service managers send it."""
  process = subprocess.Popen(
    [sys.executable, '-c', UNTIL_A_SIGNAL],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    start_new_session=True,
  )
  assert process.stdout.readline() == b'started\n'
  os.killpg(process.pid, signal.Signals(number))
  # The pipes close when the last process has ended.
  assert process.communicate(timeout=10) == (b'', b'')
  assert process.returncode == 3
