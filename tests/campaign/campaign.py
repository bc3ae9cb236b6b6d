"""A campaign of faults: damages inputs and kills processes for some minutes.

Usage: python tests/campaign/campaign.py [--minutes=2] [--seed=0] [--jobs=2]
         [--inputs_per_kill=150]

Prints a table of what was tried, also when it is interrupted, then each fault
with the number that repeats it (--only=NUMBER). Progress goes to stderr. The
exit code is 1 if there was a trace, a hang or a loss.
"""

import argparse
import collections
import itertools
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [
  str(ROOT), str(ROOT / 'tests'),
  *(str(ROOT / 'tests' / name) for name in ('datasets', 'programs', 'campaign')),
]  # fmt: skip

import inputs  # noqa: E402
import kills  # noqa: E402
import tabulate  # noqa: E402
from processes import Server  # noqa: E402

from tf_compat import tf  # noqa: E402

RESULTS = 'clean', 'refused', 'slow', 'trace', 'hang', 'loss'
FAULTS = 'trace', 'hang', 'loss'


def main() -> int:
  """Runs the campaign; returns the exit code."""
  options = _options()
  # What TensorFlow says at its start is hidden in the main thread alone.
  assert tf.VERSION
  with tempfile.TemporaryDirectory(prefix='campaign_') as name:
    root = pathlib.Path(name)
    outcomes = _run(options, root)
  _report(outcomes)
  return int(bool(_faults(outcomes)) or not outcomes)


def _options() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--minutes', type=float, default=2)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--jobs', type=int, default=2)
  # A trial of kills takes as long as many inputs.
  parser.add_argument('--inputs_per_kill', type=int, default=150)
  parser.add_argument('--only', type=int, help='one trial, by its number')
  return parser.parse_args()


def _run(
  options: argparse.Namespace, root: pathlib.Path
) -> list[tuple[int, inputs.Outcome]]:
  """Tries in parallel until time is over; returns (number, outcome)s."""
  templates = root / 'templates'
  templates.mkdir()
  _prepare(root, templates)
  start = time.monotonic()
  stopped = threading.Event()
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: stopped.set())
  numbers = itertools.count() if options.only is None else iter([options.only])
  outcomes: list[tuple[int, inputs.Outcome]] = []

  def work(place: pathlib.Path) -> None:
    place.mkdir()
    server = Server(place)
    while not stopped.is_set() and (number := next(numbers, None)) is not None:
      folder = place / f'trial_{number}'
      module = inputs if number % options.inputs_per_kill else kills
      seed = 1_000_003 * options.seed + number
      outcome = module.attempt(server, templates, folder, seed)
      outcomes.append((number, outcome))
      if outcome.result not in ('clean', 'refused'):
        print(f'{number}: {outcome}', file=sys.stderr)
      shutil.rmtree(folder)
    server.close()

  threads = [
    threading.Thread(target=work, args=[root / f'job_{job}'])
    for job in range(options.jobs)
  ]
  for thread in threads:
    thread.start()
  told = 0
  while any(thread.is_alive() for thread in threads):
    time.sleep(0.1)
    minutes = (time.monotonic() - start) / 60
    if minutes > options.minutes:
      stopped.set()
    if minutes > told + 1:
      told += 1
      print(f'{told} minutes: {_progress(outcomes)}', file=sys.stderr)
  return outcomes


def _progress(outcomes: list[tuple[int, inputs.Outcome]]) -> str:
  """Returns, for instance, '1234 tried, 0 faults'."""
  return f'{len(outcomes)} tried, {len(_faults(outcomes))} faults'


def _faults(outcomes: list[tuple[int, inputs.Outcome]]) -> list[int]:
  """Returns the numbers of the trials with faults."""
  return [n for n, outcome in outcomes if outcome.result in FAULTS]


def _prepare(root: pathlib.Path, templates: pathlib.Path) -> None:
  """Makes the templates of all trials."""
  (root / 'preparing').mkdir()
  server = Server(root / 'preparing')
  inputs.prepare(server, templates)
  inputs.check_undamaged(server, templates, root)
  kills.prepare(server, templates)
  server.close()


def _report(outcomes: list[tuple[int, inputs.Outcome]]) -> None:
  """Prints the table, the faults and what was slow."""
  counts: dict[str, collections.Counter[str]] = {}
  for _, outcome in outcomes:
    counts.setdefault(outcome.kind, collections.Counter())[outcome.result] += 1
  total = sum(counts.values(), collections.Counter())
  rows = [
    [kind, count.total(), *(count[result] for result in RESULTS)]
    for kind, count in [*sorted(counts.items()), ('all', total)]
  ]
  print(tabulate.tabulate(rows, ['kind', 'tried', *RESULTS], 'github'))
  killed = sum(outcome.kills for _, outcome in outcomes)
  print(f'\n{killed} processes were killed while they ran.')
  for number, outcome in sorted(outcomes, key=lambda pair: pair[0]):
    if outcome.result not in ('clean', 'refused'):
      print(f'\n{number}: {outcome.result}, {outcome.kind}: {outcome.detail}')


if __name__ == '__main__':
  sys.exit(main())
