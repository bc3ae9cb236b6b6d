"""Seconds from the command to the first step of training, by phase.

Usage: .venv/bin/python benchmarks/start_up.py [--networks lenet resnet_v1_50]
    [--batch 8] [--turns 3]

Prints a Markdown table of the median turn, in seconds:
  import   importing TensorFlow and TF-Slim
  check    reading flags, other modules, checking the records
  build    building the graph
  session  opening the session: initializing variables, saving step 0
  step     the first step, in which TensorFlow optimizes the graph
  total    all of them
Every turn is a process of its own on a few tiny photos of 10 classes.
"""

import argparse
import contextlib
import functools
import importlib
import io
import json
import os
import pathlib
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

NETWORKS = ('lenet', 'resnet_v1_50', 'nasnet_large')
PHASES = ('import', 'check', 'build', 'session', 'step', 'total')
# Phase -> the function that does it: module, attributes.
_TIMED = {
  'import': ('tf_compat', '_import'),
  'build': ('engine.training.step', 'build'),
  'session': ('deployment.deployment', 'Deployment.session'),
}
PHOTOS = 64


def time_phases(arguments: list[str]) -> None:
  """Trains one step in this process, and prints the seconds of each phase."""
  seconds: dict[str, float] = {}
  began = time.time() - float(os.environ['BENCHMARK_BEGAN'])
  start = time.perf_counter() - began
  for phase, (module, names) in _TIMED.items():
    *path, name = names.split('.')
    owner = functools.reduce(getattr, path, importlib.import_module(module))
    setattr(owner, name, _timed(getattr(owner, name), seconds, phase))
  sys.argv[:] = ['train_image_classifier.py', *arguments]
  hooks = importlib.import_module('engine.training.hooks')

  class Clock(hooks.LoggingHook):
    """Prints when the first step is made."""

    def before_run(self, run_context):
      self.began = time.perf_counter()
      return super().before_run(run_context)

    def after_run(self, run_context, run_values):
      seconds['step'] = time.perf_counter() - self.began
      total = time.perf_counter() - start
      seconds['check'] = total - sum(seconds.values())
      seconds['total'] = total
      print(json.dumps(seconds), flush=True)
      os._exit(0)

  hooks.LoggingHook = Clock
  runpy.run_path(str(ROOT / 'train_image_classifier.py'), run_name='__main__')


def _timed(
  function: Callable, seconds: dict[str, float], phase: str
) -> Callable:
  """Returns a function that adds to seconds[phase] how long it takes."""

  @functools.wraps(function)
  def timed(*args, **kwargs):
    began = time.perf_counter()
    try:
      return function(*args, **kwargs)
    finally:
      seconds[phase] = seconds.get(phase, 0) + time.perf_counter() - began

  return timed


@contextlib.contextmanager
def records() -> Iterator[str]:
  """Yields a folder of records of noise, in 10 classes."""
  import numpy as np
  from PIL import Image

  rng = np.random.default_rng(0)
  with tempfile.TemporaryDirectory() as folder:
    for number in range(PHOTOS):
      path = pathlib.Path(folder, 'photos', f'class_{number % 10}')
      path.mkdir(parents=True, exist_ok=True)
      pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
      buffer = io.BytesIO()
      Image.fromarray(pixels).save(buffer, 'JPEG')
      (path / f'{number}.jpg').write_bytes(buffer.getvalue())
    subprocess.run(
      [
        sys.executable, str(ROOT / 'download_and_convert_data.py'),
        '--dataset_name=noise', f'--source_dir={folder}/photos',
        f'--dataset_dir={folder}/data',
      ],
      check=True,
      stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield f'{folder}/data'


def measure(network: str, data: str, batch: int) -> dict[str, float]:
  """Returns the seconds of each phase of one run."""
  with tempfile.TemporaryDirectory() as train_dir:
    output = subprocess.run(
      [
        sys.executable, __file__, '--one',
        f'--train_dir={train_dir}/run', '--dataset_name=noise',
        f'--dataset_dir={data}', f'--model_name={network}',
        f'--batch_size={batch}', '--max_number_of_steps=1',
      ],
      check=True,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      env={**os.environ, 'BENCHMARK_BEGAN': repr(time.time())},
    ).stdout  # fmt: skip
  return json.loads(output.splitlines()[-1])


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--networks', nargs='+', default=NETWORKS)
  parser.add_argument('--batch', type=int, default=8)
  parser.add_argument('--turns', type=int, default=3)
  options = parser.parse_args()
  turns = {network: [] for network in options.networks}
  with records() as data:
    for _ in range(options.turns):
      for network in options.networks:
        turns[network].append(measure(network, data, options.batch))
  print('| network |', ' | '.join(PHASES), '|')
  print('|---|' + '---:|' * len(PHASES))
  for network, found in turns.items():
    medians = (statistics.median(turn[p] for turn in found) for p in PHASES)
    print(f'| {network} |', ' | '.join(f'{m:.1f}' for m in medians), '|')


if __name__ == '__main__':
  if sys.argv[1:2] == ['--one']:
    time_phases(sys.argv[2:])
  else:
    main()
