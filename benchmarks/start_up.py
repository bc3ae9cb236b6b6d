"""Seconds from the command to the first step, by phase.

Usage: .venv/bin/python benchmarks/start_up.py [--networks lenet resnet_v1_50]
    [--programs train eval] [--batch 8] [--turns 3]

Prints a Markdown table of the median turn, in seconds:
  import   importing TensorFlow and TF-Slim
  check    reading flags, other modules, checking the records
  build    building the graph
  session  initializing variables and saving step 0, or restoring a checkpoint
  step     the first step, batch or image, for which TensorFlow optimizes the
           graph; of export, writing a SavedModel and comparing it
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
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

NETWORKS = ('lenet', 'resnet_v1_50', 'nasnet_large')
PHASES = ('import', 'check', 'build', 'session', 'step', 'total')


class Program(NamedTuple):
  """A program whose phases are timed.

  Attributes:
    script: its file.
    phases: phase -> the function that does it: module, attributes.
    received: the function that receives the results of each step.
  """

  script: str
  phases: dict[str, tuple[str, str]]
  received: tuple[str, str]


_RESTORE = 'engine.checkpoints.restore', 'restore_for_inference'

PROGRAMS = {
  'train': Program(
    'train_image_classifier.py',
    {
      'build': ('engine.training.step', 'build'),
      'session': ('deployment.deployment', 'Deployment.session'),
    },
    ('engine.training.hooks', 'LoggingHook.after_run'),
  ),
  'eval': Program(
    'eval_image_classifier.py',
    {
      'build': ('engine.evaluation.evaluator', 'Evaluator._build'),
      'session': ('engine.evaluation.evaluator', 'Evaluator._restore'),
    },
    ('engine.evaluation.metrics', 'Metrics.update'),
  ),
  'predict': Program(
    'predict.py',
    {
      'build': ('tools.prediction.model', '_Checkpoint._build'),
      'session': _RESTORE,
    },
    ('tools.export.proof', 'check_finite'),
  ),
  'visualize': Program(
    'visualize_attention.py',
    {
      'build': ('tools.visualization.grad_cam', 'GradCam._build'),
      'session': _RESTORE,
    },
    ('tools.visualization.visualize', '_write'),
  ),
  'export': Program(
    'export_model.py',
    {
      'build': ('tools.export.network', 'Network._build'),
      'session': _RESTORE,
    },
    ('tools.export.export', '_describe'),
  ),
}
PHOTOS = 64


def time_phases(name: str, arguments: list[str]) -> None:
  """Runs a program until its first step, and prints the seconds of each phase."""
  program = PROGRAMS[name]
  seconds: dict[str, float] = {}
  began = time.time() - float(os.environ['BENCHMARK_BEGAN'])
  start = time.perf_counter() - began
  _replace(('tf_compat', '_import'), _timed(seconds, 'import'))
  for phase, where in program.phases.items():
    _replace(where, _timed(seconds, phase))

  def report(_: Callable) -> Callable:
    def received(*args, **kwargs):
      now = time.perf_counter()
      seconds['step'] = now - seconds.pop('session ended')
      total = now - start
      seconds['check'] = total - sum(seconds.values())
      seconds['total'] = total
      print(json.dumps(seconds), flush=True)
      os._exit(0)

    return received

  _replace(program.received, report)
  sys.argv[:] = [program.script, *arguments]
  runpy.run_path(str(ROOT / program.script), run_name='__main__')


def _replace(
  where: tuple[str, str], change: Callable[[Callable], Callable]
) -> None:
  """Replaces a function by change(function)."""
  module, names = where
  *path, name = names.split('.')
  owner = functools.reduce(getattr, path, importlib.import_module(module))
  setattr(owner, name, change(getattr(owner, name)))


def _timed(
  seconds: dict[str, float], phase: str
) -> Callable[[Callable], Callable]:
  """Returns what makes a function add to seconds[phase] how long it takes."""

  def change(function: Callable) -> Callable:
    @functools.wraps(function)
    def timed(*args, **kwargs):
      began = time.perf_counter()
      try:
        return function(*args, **kwargs)
      finally:
        now = time.perf_counter()
        seconds[phase] = seconds.get(phase, 0) + now - began
        if phase == 'session':
          seconds['session ended'] = now

    return timed

  return change


@contextlib.contextmanager
def records() -> Iterator[str]:
  """Yields a folder of photos of noise and of their records, in 10 classes."""
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
    yield folder


def measure(
  network: str, programs: list[str], noise: str, batch: int
) -> dict[str, dict[str, float]]:
  """Returns program -> the seconds of each phase of one run."""
  found = {}
  with tempfile.TemporaryDirectory() as folder:
    records = ['--dataset_name=noise', f'--dataset_dir={noise}/data']
    # All but training read the checkpoint of step 0.
    checkpoint = f'--checkpoint_path={folder}/run'
    flags = {
      'train': [
        f'--train_dir={folder}/run', f'--model_name={network}', *records,
        f'--batch_size={batch}',
      ],
      'eval': [
        checkpoint, f'--eval_dir={folder}/eval', *records,
        f'--batch_size={batch}',
      ],
      'predict': [
        checkpoint, f'--images={noise}/photos', f'--batch_size={batch}',
      ],
      'visualize': [
        checkpoint, *records, '--num_images=1',
        f'--output_file={folder}/grid.png',
      ],
      'export': [
        checkpoint, *records, '--formats=saved_model',
        f'--output_dir={folder}/export',
      ],
    }  # fmt: skip
    for program in programs:
      output = subprocess.run(
        [
          sys.executable, __file__, '--one', program, *flags[program],
        ],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, 'BENCHMARK_BEGAN': repr(time.time())},
      ).stdout  # fmt: skip
      found[program] = json.loads(output.splitlines()[-1])
  return found


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--networks', nargs='+', default=NETWORKS)
  parser.add_argument(
    '--programs', nargs='+', default=[*PROGRAMS], choices=PROGRAMS
  )
  parser.add_argument('--batch', type=int, default=8)
  parser.add_argument('--turns', type=int, default=3)
  options = parser.parse_args()
  # The others read the checkpoint that training writes.
  programs = [p for p in PROGRAMS if p == 'train' or p in options.programs]
  turns: dict[str, list[dict[str, dict[str, float]]]] = {
    network: [] for network in options.networks
  }
  with records() as noise:
    for _ in range(options.turns):
      for network in options.networks:
        turns[network].append(measure(network, programs, noise, options.batch))
  print('| network | program |', ' | '.join(PHASES), '|')
  print('|---|---|' + '---:|' * len(PHASES))
  for network, found in turns.items():
    for program in options.programs:
      medians = (
        statistics.median(turn[program][phase] for turn in found)
        for phase in PHASES
      )
      cells = ' | '.join(f'{median:.1f}' for median in medians)
      print(f'| {network} | {program} | {cells} |')


if __name__ == '__main__':
  if sys.argv[1:2] == ['--one']:
    time_phases(sys.argv[2], sys.argv[3:])
  else:
    main()
