"""Cost of attention: a network with each attention module and without.

Usage: .venv/bin/python benchmarks/attention.py [--model_name=resnet_v1_50]
    [--kinds 'se_block;cbam_block(ratio=16)'] [--batch_size=16] [--repeats=7] …

Trains and infers on synthetic images in float32 and bfloat16; `--modes folded`
infers with batch norm folded into kernels, as evaluation does. All sides run in
one process, in turns of random order, since the speed of a machine varies over
minutes. Prints a Markdown table of the median over the turns of each side, and
the median of its ratios to the plain network. SE and CBAM are measured a second
time as plain formulas, those of benchmarks/plain_attention.py.
"""

import argparse
import dataclasses
import pathlib
import random
import statistics
import sys
import time
from collections.abc import Callable
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from benchmarks import plain_attention
from deployment import devices
from errors import UserError
from nets import folding, nets_factory
from nets.attention import attention_factory
from registry import Table, unknown
from tf_compat import tf, versions

PLAIN = 'none'
FORMULA = ' (plain formula)'
MODES = 'training', 'inference', 'folded'
PRECISIONS = 'float32', 'bfloat16'


def arguments() -> argparse.Namespace:
  """Parses the command line."""
  kinds = [*attention_factory.ATTENTION_MODULES]
  formulas = [name + FORMULA for name in plain_attention.MODULES]
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--model_name', default='resnet_v1_50')
  parser.add_argument('--batch_size', type=int, default=16)
  parser.add_argument(
    '--image_size', type=int, help='in pixels; default: that of the network'
  )
  parser.add_argument(
    '--kinds',
    default=';'.join([*kinds, *formulas]),
    help='attention modules, separated by ;',
  )
  parser.add_argument('--modes', nargs='+', choices=MODES, default=MODES[:2])
  parser.add_argument(
    '--precisions', nargs='+', choices=PRECISIONS, default=PRECISIONS
  )
  parser.add_argument(
    '--repeats', type=int, default=7, help='turns of each side'
  )
  parser.add_argument(
    '--threads',
    type=int,
    default=0,
    help='threads of TensorFlow; 0: one per core',
  )
  options = parser.parse_args()
  options.kinds = [kind.strip() for kind in options.kinds.split(';')]
  try:
    for kind in options.kinds:
      check(kind)
  except UserError as error:
    parser.error(f'--kinds: {error}')
  return options


def check(side: str) -> None:
  """Raises UserError unless a side is an attention module or its formula."""
  name, formula, rest = side.partition(FORMULA)
  if formula and (rest or name not in plain_attention.MODULES):
    known = [known + FORMULA for known in plain_attention.MODULES]
    raise UserError(unknown('plain formula', side, known))
  if not attention_factory.get_attention(name):
    raise UserError('the network without attention is always measured.')


def network_fn(side: str, options: argparse.Namespace, is_training: bool):
  """Returns the network function with the attention of a side."""
  name, formula, _ = side.partition(FORMULA)
  modules = attention_factory.ATTENTION_MODULES
  if formula:
    spec = dataclasses.replace(
      modules[name], function=plain_attention.MODULES[name]
    )
    modules = Table('attention module', [spec])
  with mock.patch.object(attention_factory, 'ATTENTION_MODULES', modules):
    return nets_factory.get_network_fn(
      options.model_name, 1000, 1e-4, is_training, name
    )


def build(
  side: str, options: argparse.Namespace, mode: str, precision: str
) -> Callable[[], None]:
  """Builds a step of one of MODES, ready to run."""
  with tf.Graph().as_default() as graph:
    fn = network_fn(side, options, mode == 'training')
    size = options.image_size or fn.default_image_size
    count = options.batch_size
    noise = tf.random_uniform([count, size, size, 3], -1, 1, seed=1)
    images = tf.get_variable('images', initializer=noise, trainable=False)
    images = images.read_value()
    logits, _ = fn(images)
    fill = tf.no_op()
    if mode == 'folded':
      logits, fill = folding.fold(images, logits)
    step = logits.op
    if mode == 'training':
      labels = tf.range(count) % 1000
      tf.losses.sparse_softmax_cross_entropy(labels, logits)
      optimizer = tf.train.MomentumOptimizer(1e-3, 0.9)
      with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
        step = optimizer.minimize(tf.losses.get_total_loss())
    config = devices.session_config(precision)
    config.intra_op_parallelism_threads = options.threads
    config.inter_op_parallelism_threads = options.threads
    session = tf.Session(graph=graph, config=config)
    session.run(tf.global_variables_initializer())
    session.run(fill)
  return session.make_callable(step)


def seconds(step: Callable[[], None]) -> float:
  """Returns the seconds that a step takes."""
  began = time.perf_counter()
  step()
  return time.perf_counter() - began


def measure(
  sides: list[str], options: argparse.Namespace, mode: str, precision: str
) -> dict[str, list[float]]:
  """Returns the seconds of every turn of every side."""
  steps = {side: build(side, options, mode, precision) for side in sides}
  for step in steps.values():
    step()
    step()
  turns: dict[str, list[float]] = {side: [] for side in sides}
  for turn in range(options.repeats):
    order = random.Random(turn).sample(sides, len(sides))
    for side in order:
      turns[side].append(seconds(steps[side]))
    print(f'{mode}, {precision}: turn {turn + 1}', end='\r', file=sys.stderr)
  return turns


def cells(turns: dict[str, list[float]], count: int) -> dict[str, str]:
  """Returns '17.2 (1.28)': images per second and times the plain step."""
  return {
    side: f'{count / statistics.median(times):.1f} ('
    + f'{statistics.median(map(float.__truediv__, times, turns[PLAIN])):.2f})'
    for side, times in turns.items()
  }


def main() -> None:
  """Measures all sides and prints the table."""
  options = arguments()
  sides = [PLAIN, *options.kinds]
  columns = {
    f'{mode}, {precision}': cells(
      measure(sides, options, mode, precision), options.batch_size
    )
    for mode in options.modes
    for precision in options.precisions
  }
  print(
    f'{options.model_name}, batch {options.batch_size}, TensorFlow '
    f'{versions()["tensorflow"]}, median of {options.repeats}: images/s (times '
    'the step without attention)\n'
  )
  print('| attention |', ' | '.join(columns), '|')
  print('|---' * (len(columns) + 1) + '|')
  for side in sides:
    row = ' | '.join(column[side] for column in columns.values())
    print(f'| {side} | {row} |')


if __name__ == '__main__':
  main()
