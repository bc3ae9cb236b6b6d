"""kill -9 of training, of the loop and of conversion, at any moment."""

import csv
import pathlib
import random
import shutil
import signal
import time
from collections.abc import Callable

import numpy as np
from inputs import HANG, SMALL, Outcome
from processes import Process, Server, until, values

from engine.checkpoints import store

KILLS = 3  # of each trial
STEPS = 6
# With slots and moving averages, which must be restored as well.
TRAIN = {
  **SMALL, 'model_name': 'tiny', 'optimizer': 'momentum', 'seed': 1,
  'train_dir': 'train', 'dataset_name': 'digits', 'dataset_dir': 'digits',
  'save_interval_secs': 0, 'keep_checkpoint_max': 4,
  'max_number_of_steps': STEPS,
}  # fmt: skip
# Seconds after which most processes have ended.
SECONDS = {'train': 3, 'train and evaluate': 4, 'loop': 2, 'convert': 0.15}
# The moments at which a process is killed: a time, or a file that appears.
MOMENTS = {
  'train': ('*', 'train/*temp*/*', 'train/model.ckpt-*.data*', 'train/progress.csv'),
  'train and evaluate': ('*', 'train/eval/results.csv', 'train/best/*', 'train/eval/*.png'),
  'loop': ('*', 'train/eval/results.csv', 'train/best/*', 'train/eval/results.json'),
  'convert': ('*', 'records/.conversion/*', 'records/*'),
}  # fmt: skip


def prepare(server: Server, root: pathlib.Path) -> None:
  """Adds what runs lead to that are not killed, in root/whole."""
  folder = root / 'whole'
  shutil.copytree(root / 'photos', folder)
  shutil.copytree(root / 'run' / 'digits', folder / 'digits')
  for name in ('train', 'convert'):
    process = _start(server, name, folder)
    assert process.wait() == 0, process.stderr


def attempt(
  server: Server, templates: pathlib.Path, folder: pathlib.Path, seed: int
) -> Outcome:
  """Kills a process three times, lets it end, and looks for what is lost."""
  rng = random.Random(seed)
  name = rng.choice(list(MOMENTS))
  moment = rng.choice(MOMENTS[name])
  shutil.copytree(templates / 'photos', folder)
  shutil.copytree(templates / 'run' / 'digits', folder / 'digits')
  if name == 'loop':
    shutil.copytree(templates / 'whole' / 'train', folder / 'train')
  kind = f'kill of {name}'
  pictures, kills = moment.endswith('.png'), 0
  for _ in range(KILLS):
    process = _start(server, name, folder, pictures)
    _kill(process, folder, moment, rng.uniform(0, SECONDS[name]), rng)
    kills += process.code == -signal.SIGKILL
    if 'Traceback' in process.stderr or process.code == 2:
      return Outcome(kind, 'trace', f'{moment}\n{process.stderr}', kills)
  process = _start(server, name, folder, pictures)
  try:
    until(lambda: process.code is not None, 'its end', HANG)
  except AssertionError:
    process.signal(signal.SIGKILL)
    return Outcome(kind, 'hang', f'{moment}\n{process.stderr}', kills)
  if process.code:
    return Outcome(kind, 'trace', f'{moment}\n{process.stderr}', kills)
  lost = _CHECKS[name](folder, templates / 'whole')
  return Outcome(kind, 'loss' if lost else 'clean', f'{moment}: {lost}', kills)


def _start(
  server: Server, name: str, folder: pathlib.Path, pictures: bool = False
) -> Process:
  program, flags = {
    'train': ('train', TRAIN),
    'train and evaluate': ('train', TRAIN | {'eval_every_n_steps': 2}),
    'loop': ('loop', {'checkpoint_path': 'train', 'dataset_dir': 'digits'}),
    'convert': ('convert', {
      'dataset_name': 'mine', 'dataset_dir': 'records', 'source_dir': 'photos',
      'num_processes': 1, 'resume': True,
    }),
  }[name]  # fmt: skip
  return server.start(
    program, cwd=folder, tiny=True, pictures=pictures, **flags
  )


def _kill(
  process: Process,
  folder: pathlib.Path,
  moment: str,
  seconds: float,
  rng: random.Random,
) -> None:
  """Kills a process after a while, or when a new file of a name appears."""
  end = time.monotonic() + seconds
  if moment != '*':
    before = _times(folder, moment)
    end += 4
  while process.code is None and time.monotonic() < end:
    if moment != '*' and _times(folder, moment) != before:
      time.sleep(rng.choice([0, 0.001, 0.01]))
      break
    time.sleep(0.001)
  process.signal(signal.SIGKILL)
  process.wait()


def _times(folder: pathlib.Path, pattern: str) -> set[tuple[str, int]]:
  """Returns names and times of the files."""
  found = set()
  for path in folder.glob(pattern):
    try:
      found.add((path.name, path.stat().st_mtime_ns))
    except FileNotFoundError:
      continue
  return found


def _lost_weights(folder: pathlib.Path, whole: pathlib.Path) -> str:
  """Returns how the last weights differ from those of a run not killed."""
  newest = store.newest_readable(folder / 'train')
  if newest is None or store.step_of(newest) != STEPS:
    return f'the newest checkpoint is {newest}'
  name = f'train/model.ckpt-{STEPS}'
  expected, got = values(whole / name), values(folder / name)
  for variable, value in expected.items():
    if not np.array_equal(got.get(variable), value):
      return f'{variable} differs'
  return ''


def _lost_evaluations(folder: pathlib.Path, whole: pathlib.Path) -> str:
  """Returns what is missing of the weights, the results or the best."""
  return _lost_weights(folder, whole) or _lost_results(folder, whole)


def _lost_results(folder: pathlib.Path, whole: pathlib.Path) -> str:
  """Returns which evaluation is missing, or how the best is not the best."""
  with (folder / 'train' / 'eval' / 'results.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  accuracies = {int(row['global_step']): float(row['Accuracy']) for row in rows}
  if STEPS not in accuracies:
    return f'step {STEPS} was not evaluated'
  (best,) = {
    path.name.split('-')[1].split('.')[0]
    for path in (folder / 'train' / 'best').glob('model.ckpt-*.index')
  }
  if accuracies[int(best)] < max(accuracies.values()):
    return f'best is {best} of {accuracies}'
  return ''


def _lost_records(folder: pathlib.Path, whole: pathlib.Path) -> str:
  """Returns which file differs from that of a conversion not killed."""
  for path in (whole / 'records').iterdir():
    other = folder / 'records' / path.name
    # The description of the records has the path of the originals.
    if path.suffix != '.json' and (
      not other.exists() or other.read_bytes() != path.read_bytes()
    ):
      return f'{path.name} differs'
  return ''


_CHECKS: dict[str, Callable[[pathlib.Path, pathlib.Path], str]] = {
  'train': _lost_weights,
  'train and evaluate': _lost_evaluations,
  'loop': _lost_results,
  'convert': _lost_records,
}
