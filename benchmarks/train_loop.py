"""What the training loop costs: its steps beside bare session.run of the same.

Usage: .venv/bin/python benchmarks/train_loop.py [steps [repeats]]

Trains lenet with CBAM on the digits, whose steps are so short that hooks would
show. Both sides run the same graph, input included, in one process, in turns;
the median of the repeats counts.
"""

import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from datasets import convert
from engine import progress, resolve, train_step, training
from engine.job import TrainJob
from tf_compat import tf


def make_job(folder: pathlib.Path, name: str, steps: int) -> TrainJob:
  """The job that both sides train."""
  return TrainJob(
    train_dir=str(folder / name),
    dataset_name='digits',
    dataset_dir=str(folder / 'digits'),
    model_name='lenet',
    attention_module='cbam_block',
    optimizer='momentum',
    max_number_of_steps=steps,
    log_every_n_steps=10,
    seed=1,
  )


def bare(job: TrainJob, steps: int) -> float:
  """Images per second of session.run alone, after a tenth for warming up."""
  setup, _ = resolve.training(job, frozenset())
  with tf.Graph().as_default(), tf.Session() as session:
    step = train_step.build(setup)
    session.run([tf.global_variables_initializer(), step.local_init])
    for number in range(steps):
      if number == steps // 10:
        began = time.perf_counter()
      session.run([step.train_op, step.loss])
    seconds = time.perf_counter() - began
  return (steps - steps // 10) * step.images_per_step / seconds


def hooked(job: TrainJob) -> float:
  """Images per second that the programs' own training logs, likewise."""
  training.train(job)
  speeds = progress.read(pathlib.Path(job.train_dir, progress.FILE))
  return statistics.median(speeds['images_per_second'][1:].tolist())


def main(steps: int = 500, repeats: int = 5) -> None:
  """Prints both speeds of each turn, and the median of their ratios."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    convert.convert('digits', str(folder / 'digits'))
    pairs = []
    for turn in range(repeats):
      job = make_job(folder, f'hooked_{turn}', steps)
      pairs.append((bare(job, steps), hooked(job)))
  for turn, (alone, whole) in enumerate(pairs):
    print(
      f'{turn}: bare {alone:.0f} images/s, the loop {whole:.0f}, '
      f'ratio {whole / alone:.3f}'
    )
  ratio = statistics.median(whole / alone for alone, whole in pairs)
  print(f'median ratio {ratio:.3f}')


if __name__ == '__main__':
  main(*map(int, sys.argv[1:]))
