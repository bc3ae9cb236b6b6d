"""Cost of the training loop, compared with bare session.run of its step.

Usage: .venv/bin/python benchmarks/train_loop.py [steps [repeats]]

Trains lenet with CBAM on the digits: its steps are so short that the time of
hooks is visible. Both sides run the same graph, input included, in turns in one
process. Prints the median over the repeats.
"""

import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from datasets import convert
from deployment import deployment_factory
from engine.config import resolve
from engine.config.jobs import TrainJob
from engine.run_dir import progress_csv
from engine.training import loop
from engine.training import step as train_step
from tf_compat import tf


def make_job(folder: pathlib.Path, name: str, steps: int) -> TrainJob:
  """Returns the job that both sides train."""
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
  """Returns images per second of session.run, after warming up for a tenth."""
  setup = resolve.training(job, frozenset())
  deployment = deployment_factory.deploy(setup.job, None, print)
  with tf.Graph().as_default(), deployment.scope():
    step = train_step.build(setup, deployment)
    with tf.Session(config=deployment.config) as session:
      session.run([tf.global_variables_initializer(), step.local_init])
      for number in range(steps):
        if number == steps // 10:
          began = time.perf_counter()
        session.run([step.train_op, step.loss])
      seconds = time.perf_counter() - began
  return (steps - steps // 10) * step.images_per_step / seconds


def hooked(job: TrainJob) -> float:
  """Returns images per second of the training loop, as it logs them."""
  loop.train(job)
  speeds = progress_csv.read(pathlib.Path(job.train_dir, progress_csv.FILE))
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
  for turn, (bare_speed, loop_speed) in enumerate(pairs):
    print(
      f'{turn}: bare {bare_speed:.0f} images/s, the loop {loop_speed:.0f}, '
      f'ratio {loop_speed / bare_speed:.3f}'
    )
  ratio = statistics.median(
    loop_speed / bare_speed for bare_speed, loop_speed in pairs
  )
  print(f'median ratio {ratio:.3f}')


if __name__ == '__main__':
  main(*map(int, sys.argv[1:]))
