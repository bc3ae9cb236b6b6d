"""Cost of distributing a step: clones, workers, their traffic, saving.

Usage: .venv/bin/python benchmarks/deployment.py [--parts clones bytes]
    [--model_name=mobilenet_v1_025] [--batch_size=32] [--steps=30] …

Trains on the digits and prints
  clones  the time of a step of two clones on logical CPUs, each with half the
          batch, compared with one clone with the full batch, which needs no
          strategy; the seconds to start (graph, session, first step) and to
          save. Sides take turns; the median of the turns' ratios is printed.
  bytes   the bytes that each of two workers sends in a step, compared with the
          size of the gradient

Two clones on CPUs share the processors of one: the result is the cost of
splitting, not the gain of a second device. Bytes are counted on the loopback
interface, which nothing else may use at the time. On Linux, a network namespace
has its own: unshare --net bash -c 'ip link set lo up && exec "$@"' -- COMMAND.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from datasets import convert
from deployment import clones, devices
from deployment.deployment import Deployment
from engine.config import resolve
from engine.config.jobs import TrainJob
from engine.training import step as train_step
from nets import nets_factory
from tf_compat import slim, tf

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = ('clones', 'bytes')
PLAIN = 'one clone, the full batch'
# Steps of the shorter of two runs: the difference between their bytes excludes
# those that are sent outside of steps.
SHORT_RUN = 3


def arguments() -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS)
  parser.add_argument('--model_name', default='mobilenet_v1_025')
  parser.add_argument('--image_size', type=int, default=96)
  parser.add_argument(
    '--batch_size', type=int, default=32, help='images per step'
  )
  parser.add_argument('--steps', type=int, default=30, help='steps per turn')
  parser.add_argument('--turns', type=int, default=7, help='turns of each side')
  return parser.parse_args()


def flags(options: argparse.Namespace, folder: pathlib.Path) -> dict:
  """Returns the options that all sides share."""
  return {
    'model_name': options.model_name,
    'train_image_size': options.image_size,
    'dataset_name': 'digits',
    'dataset_dir': str(folder / 'digits'),
    'optimizer': 'momentum',
  }


@dataclasses.dataclass
class Side:
  """A session that trains.

  Attributes:
    session: the session, with all variables initialized.
    step: makes a training step.
    saver: saves all variables.
    start: seconds to build the graph, open the session and make the first step.
  """

  session: tf.Session
  step: tf.Operation
  saver: tf.train.Saver
  start: float

  def seconds(self, steps: int) -> float:
    """Returns the mean seconds per step over a number of steps."""
    began = time.perf_counter()
    for _ in range(steps):
      self.session.run(self.step)
    return (time.perf_counter() - began) / steps

  def save_seconds(self, folder: pathlib.Path) -> float:
    """Returns the seconds to write a checkpoint."""
    began = time.perf_counter()
    self.saver.save(self.session, str(folder / 'model.ckpt'))
    return time.perf_counter() - began


@contextlib.contextmanager
def side(
  options: argparse.Namespace,
  folder: pathlib.Path,
  strategy: tf.distribute.Strategy,
):
  """Opens a Side whose clones share the batch."""
  began = time.perf_counter()
  job = TrainJob(
    train_dir=str(folder / 'none'),
    batch_size=options.batch_size // strategy.num_replicas_in_sync,
    clone_on_cpu=True,
    **flags(options, folder),
  )
  setup = resolve.training(job, frozenset(flags(options, folder)))
  config = devices.session_config(
    cpu_only=True, cpus=clones.local_count(strategy)
  )
  deployment = Deployment(strategy, '', config)
  with tf.Graph().as_default(), deployment.scope():
    step = train_step.build(setup, deployment)
    saver = tf.train.Saver()
    with tf.Session(config=config) as session:
      session.run(tf.global_variables_initializer())
      session.run(step.local_init)
      session.run(step.train_op)
      seconds = time.perf_counter() - began
      yield Side(session, step.train_op.op, saver, seconds)


def compare_clones(options: argparse.Namespace, folder: pathlib.Path) -> None:
  """Prints the times of a step, the start and a checkpoint on each side."""
  strategies = {
    PLAIN: clones.strategy(1, on_cpu=True),
    'two clones, half the batch each': clones.strategy(2, on_cpu=True),
  }
  with contextlib.ExitStack() as stack:
    sides = {
      name: stack.enter_context(side(options, folder, strategy))
      for name, strategy in strategies.items()
    }
    turns = [
      {name: one.seconds(options.steps) for name, one in sides.items()}
      for _ in range(1 + options.turns)
    ][1:]
    saves = {
      name: statistics.median(one.save_seconds(folder) for _ in range(5))
      for name, one in sides.items()
    }
    starts = {name: one.start for name, one in sides.items()}
  print('| | step, ms | times the first | start, s | save, s |')
  print('|---|---:|---:|---:|---:|')
  for name in strategies:
    step = statistics.median(turn[name] for turn in turns)
    ratio = statistics.median(turn[name] / turn[PLAIN] for turn in turns)
    print(
      f'| {name} | {step * 1e3:.1f} | {ratio:.3f} | {starts[name]:.1f} '
      f'| {saves[name]:.2f} |'
    )


def loopback_bytes() -> int:
  """Returns the bytes that the loopback interface has sent, with headers."""
  for line in pathlib.Path('/proc/net/dev').read_text().splitlines():
    name, _, counts = line.partition(':')
    if name.strip() == 'lo':
      return int(counts.split()[8])  # The first eight count received data.
  raise RuntimeError('There is no loopback interface on which to count bytes.')


def exchanged_bytes(
  options: argparse.Namespace, folder: pathlib.Path, steps: int
) -> int:
  """Returns the bytes that two workers exchange in a run."""
  with contextlib.ExitStack() as stack:
    probes = [stack.enter_context(socket.socket()) for _ in range(2)]
    for probe in probes:
      probe.bind(('127.0.0.1', 0))
    hosts = ','.join(f'127.0.0.1:{p.getsockname()[1]}' for p in probes)
  values = {
    **flags(options, folder),
    'train_dir': folder / f'workers_{steps}',
    'batch_size': options.batch_size // 2,
    'max_number_of_steps': steps,
    'worker_hosts': hosts,
  }
  command = [sys.executable, str(ROOT / 'train_image_classifier.py')]
  command += [f'--{name}={value}' for name, value in values.items()]
  before = loopback_bytes()
  processes = [
    subprocess.Popen([*command, f'--task={task}'], stderr=subprocess.DEVNULL)
    for task in range(2)
  ]
  codes = [process.wait() for process in processes]
  if any(codes):
    raise RuntimeError(f'A worker failed: {command}')
  return loopback_bytes() - before


def gradient_bytes(options: argparse.Namespace) -> int:
  """Returns the size of the gradient, in float32."""
  side = options.image_size
  with tf.Graph().as_default():
    network_fn = nets_factory.get_network_fn(
      options.model_name, 10, is_training=True
    )
    network_fn(tf.zeros([1, side, side, 3]))
    trainable = set(tf.trainable_variables())
    return sum(
      v.dtype.size * v.shape.num_elements()
      for v in slim.get_model_variables()
      if v in trainable
    )


def count_bytes(options: argparse.Namespace, folder: pathlib.Path) -> None:
  """Prints the bytes that a worker sends in a step."""
  steps = options.steps
  short, long = (
    exchanged_bytes(options, folder, n) for n in (SHORT_RUN, SHORT_RUN + steps)
  )
  sent, size = (long - short) / steps / 2, gradient_bytes(options)
  print(
    f'Each of two workers sends {sent:,.0f} bytes in a step, {sent / size:.3f} '
    f'times the size of the gradient, {size:,}.'
  )


def main() -> None:
  """Prints the results of the requested parts."""
  options = arguments()
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    convert.convert('digits', str(folder / 'digits'))
    if 'clones' in options.parts:
      compare_clones(options, folder)
    if 'bytes' in options.parts:
      count_bytes(options, folder)


if __name__ == '__main__':
  main()
