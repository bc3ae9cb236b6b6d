"""What evaluation takes from a training on the same machine.

Usage: .venv/bin/python benchmarks/loop_beside.py --dataset_name=NAME
    --dataset_dir=DIR [--model_name=resnet_cifar_20] [--seconds=30] [--turns=3]

Trains without end and saves a checkpoint every few seconds. Beside it, in turns,
nothing runs, or eval_image_classifier_loop.py, which then evaluates nearly all the
time, without and with --nice. Prints the images/s of the training, the share of
those without a loop, and the number of evaluations in a turn.
"""

import argparse
import contextlib
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks import training_log

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What runs beside the training -> the flags of the loop; None for nothing.
SIDES = {'nothing': None, 'loop': [], 'loop, --nice=19': ['--nice=19']}


class Training:
  """A training, and the step that it has reached."""

  def __init__(self, options: argparse.Namespace, folder: str):
    self.step = 0
    self._process = training_log.start(
      train_dir=folder,
      model_name=options.model_name,
      dataset_name=options.dataset_name,
      dataset_dir=options.dataset_dir,
      batch_size=options.batch_size,
      max_number_of_steps=1_000_000,
      save_interval_secs=5,
      log_every_n_steps=1,
    )
    threading.Thread(target=self._follow, daemon=True).start()

  def wait_for(self, step: int) -> None:
    """Waits until a step is logged."""
    while self.step < step:
      if self._process.poll() is not None:
        sys.exit(f'training failed with code {self._process.returncode}.')
      time.sleep(0.1)

  def stop(self) -> None:
    self._process.kill()
    self._process.wait()

  def _follow(self) -> None:
    """Reads the step from each line of the log."""
    for step in training_log.steps(self._process):
      self.step = step


@contextlib.contextmanager
def beside(
  flags: list[str] | None, options: argparse.Namespace, folder: str
) -> Iterator[pathlib.Path]:
  """Runs the loop; yields the file that gets a line for each evaluation."""
  with tempfile.TemporaryDirectory() as eval_dir:
    results = pathlib.Path(eval_dir, 'results.csv')
    if flags is None:
      yield results
      return
    process = subprocess.Popen(
      [
        sys.executable, str(ROOT / 'eval_image_classifier_loop.py'),
        f'--checkpoint_path={folder}', f'--eval_dir={eval_dir}',
        '--eval_interval_secs=1', '--max_num_batches=20',
        # It ends by itself if this program is killed.
        '--eval_timeout_secs=60', *flags,
      ],
      stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
      while not lines(results):
        if process.poll() is not None:
          sys.exit(f'the loop failed with code {process.returncode}.')
        time.sleep(0.1)
      yield results
      if process.poll() is not None:
        sys.exit(f'the loop ended with code {process.returncode}.')
    finally:
      process.kill()
      process.wait()


def lines(path: pathlib.Path) -> int:
  """Returns the number of lines of a file; 0 if there is none."""
  return len(path.read_text().splitlines()) if path.exists() else 0


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--dataset_name', required=True)
  parser.add_argument('--dataset_dir', required=True)
  parser.add_argument('--model_name', default='resnet_cifar_20')
  parser.add_argument('--batch_size', type=int, default=32)
  parser.add_argument('--seconds', type=float, default=30, help='of each turn')
  parser.add_argument('--turns', type=int, default=3)
  options = parser.parse_args()
  speeds: dict[str, list[float]] = {side: [] for side in SIDES}
  counts: dict[str, list[int]] = {side: [] for side in SIDES}
  with tempfile.TemporaryDirectory() as folder:
    training = Training(options, folder)
    try:
      training.wait_for(20)
      for _ in range(options.turns):
        for side, flags in SIDES.items():
          with beside(flags, options, folder) as results:
            before, step, began = lines(results), training.step, time.time()
            time.sleep(options.seconds)
            steps, seconds = training.step - step, time.time() - began
            training.wait_for(step + 1)
            speeds[side].append(steps * options.batch_size / seconds)
            counts[side].append(lines(results) - before)
    finally:
      training.stop()
  print('| beside | images/s | share | evaluations |\n|---|---:|---:|---:|')
  alone = statistics.median(speeds['nothing'])
  for side, found in speeds.items():
    speed = statistics.median(found)
    print(
      f'| {side} | {speed:.0f} | {speed / alone:.2f} '
      f'| {statistics.median(counts[side]):.0f} |'
    )


if __name__ == '__main__':
  main()
