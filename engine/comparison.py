"""Attention compared, all else being equal: what compare_attention.py does.

Every run is a train_dir of its own, trained and evaluated by the programs as
anybody would, so that it can be stopped, resumed and looked at like any other.
"""

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import files
from datasets import dataset_factory
from engine import (
  checkpoints,
  comparison_table,
  console,
  lock,
  messages,
  pace,
  resolve,
  results,
)
from engine.comparison_table import Row
from engine.job import CompareJob, TrainJob
from engine.resolve import Setup
from engine.signals import Signals
from errors import UserError
from nets import cost, nets_factory
from nets.attention import attention_factory
from tf_compat import tf

_PROGRAMS = pathlib.Path(__file__).resolve().parent.parent
_RECORD, _PACE = 'comparison.json', 'pace.json'
# What differs from run to run, and the flag that says it for all of them.
_OF_A_RUN = {
  'attention_module': 'attention_modules',
  'attention_placement': 'attention_modules',
  'seed': 'seeds',
}
# What the same comparison may be asked for in other words.
_OF_THE_MOMENT = ('train_dir', 'attention_modules', 'seeds', 'timing_steps')
_PATHS = ('dataset_dir', 'checkpoint_path')
_SECONDS_BETWEEN_LOOKS = 0.2


@dataclasses.dataclass(frozen=True)
class Variant:
  """One of the kinds of attention, with its placement."""

  module: str | None
  placement: str | None

  @property
  def name(self) -> str:
    """'none', 'cbam_block', 'cbam_block(ratio=16)@class'."""
    at = f'@{self.placement}' if self.placement else ''
    return f'{self.module or "none"}{at}'

  @property
  def folder(self) -> str:
    """The name as that of a folder."""
    return re.sub(r'[^\w.=-]+', '_', self.name).strip('_')


@dataclasses.dataclass(frozen=True)
class Run:
  """One training of one variant."""

  variant: Variant
  seed: int
  train_dir: pathlib.Path

  def __str__(self) -> str:
    return f'{self.variant.name}, seed {self.seed}'

  @property
  def diverged(self) -> bool:
    """Whether its loss was no longer finite."""
    end = messages.how_it_finished(self.train_dir)
    return bool(end) and end.get('reason') == 'non_finite'

  def result(self, split: str) -> dict[str, Any] | None:
    """The evaluation of the end of a finished run; None if it is missing."""
    end = messages.how_it_finished(self.train_dir)
    try:
      path = self.train_dir / 'eval' / results.JSON
      found = json.loads(path.read_text())
      known = found['global_step'], found['split']
      float(found['metrics']['Accuracy'])
    except (OSError, ValueError, KeyError, TypeError):
      return None
    return found if end and known == (end['global_step'], split) else None


@dataclasses.dataclass(frozen=True)
class Summary:
  """What a comparison found so far.

  Attributes:
    rows: of the table, one for each variant.
    exit_code: 0, or 128 + signal.
  """

  rows: Sequence[Row]
  exit_code: int = 0


def compare(job: CompareJob, given: Collection[str] = frozenset()) -> Summary:
  """Trains and evaluates every variant with every seed, and writes the table.

  The same command goes on where it was stopped, and repeats nothing.

  Args:
    job: what to compare; engine/job.py says what each option means.
    given: the options that were given, which the runs are trained with.

  Raises:
    UserError: for wrong input before anything is trained, or a run that failed.
  """
  job, given = _resumed(job, given)
  variants, seeds = parse_variants(job.attention_modules), _seeds(job.seeds)
  setups = {v: _setup(job, given, v, seeds[0]) for v in variants}
  with lock.only_one(job.train_dir), Signals() as signals:
    _record(job, given)
    comparison = _Comparison(job, given, setups, seeds, signals)
    comparison.train()
    comparison.time()
    return comparison.finish()


# The job ---------------------------------------------------------------------


def _resumed(
  job: CompareJob, given: Collection[str]
) -> tuple[CompareJob, frozenset[str]]:
  """The job, completed by what this comparison was begun with, and checked."""
  if not job.train_dir:
    raise UserError('--train_dir is required: the folder of the comparison.')
  for name, instead in _OF_A_RUN.items():
    if name in given:
      raise UserError(
        f'--{name} is of a single run: say it by --{instead}, such as '
        f'{_EXAMPLES[instead]}.'
      )
  if checkpoints.in_folder(job.train_dir):
    raise UserError(
      f'{job.train_dir} holds checkpoints of a single run: name another '
      '--train_dir for the comparison.'
    )
  paths = {n: _absolute(getattr(job, n)) for n in _PATHS if getattr(job, n)}
  job = dataclasses.replace(job, **paths)
  begun = _begun(job.train_dir)
  _refuse_other(job, given, begun)
  taken = {n: value for n, value in begun.items() if n not in given}
  job = dataclasses.replace(job, **taken)
  if not job.max_number_of_steps:
    raise UserError('--max_number_of_steps is required: every run must end.')
  return job, frozenset({*given, *begun} - {'train_dir'})


_EXAMPLES = {
  'attention_modules': "--attention_modules='none;cbam_block@class'",
  'seeds': '--seeds=1,2,3',
}


def _absolute(path: str) -> str:
  return os.path.abspath(os.path.expanduser(path))


def _begun(train_dir: str) -> dict[str, Any]:
  """The options that this folder's comparison was begun with; {} for none."""
  path = pathlib.Path(train_dir, _RECORD)
  names = {field.name for field in dataclasses.fields(CompareJob)}
  try:
    begun = json.loads(path.read_text())['options']
    return {name: value for name, value in begun.items() if name in names}
  except FileNotFoundError:
    return {}
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise UserError(
      f'{path} is not what a comparison wrote ({error!r}): put it right, or '
      'start in another --train_dir.'
    ) from error


def _refuse_other(
  job: CompareJob, given: Collection[str], begun: Mapping[str, Any]
) -> None:
  """All runs of a comparison are trained alike, also those still to come."""
  if not begun:
    return
  for field in dataclasses.fields(job):
    name = field.name
    if name in _OF_THE_MOMENT or name not in given:
      continue
    mine, theirs = getattr(job, name), begun.get(name, field.default)
    if mine != theirs:
      raise UserError(
        f'{job.train_dir} was begun with --{name}={theirs}, not {mine}: go on '
        'with that, or start in another --train_dir.'
      )


def _record(job: CompareJob, given: Collection[str]) -> None:
  """Keeps the options for the next time."""
  options = {name: getattr(job, name) for name in sorted(given)}
  path = pathlib.Path(job.train_dir, _RECORD)
  files.write_text(path, json.dumps({'options': options}, indent=2) + '\n')


def parse_variants(text: str) -> list[Variant]:
  """Reads 'none;cbam_block(ratio=16);cbam_block@class'.

  Raises:
    UserError: for unknown attention or placement, or one that comes twice.
  """
  found: dict[str, Variant] = {}
  for part in filter(None, map(str.strip, text.split(';'))):
    module, _, placement = part.partition('@')
    attention = attention_factory.get_attention(module, placement or None)
    if placement and not attention:
      raise UserError(f'{part!r}: no attention has no place; say none.')
    variant = Variant(*(attention.spelling if attention else (None, None)))
    if variant.folder in found:
      raise UserError(
        f'--attention_modules names {variant.name} twice: {part!r} is the '
        f'same as {found[variant.folder].name!r}.'
      )
    found[variant.folder] = variant
  if not found:
    raise UserError(
      '--attention_modules is empty: name some, such as '
      "'none;se_block;cbam_block(ratio=16)'."
    )
  return list(found.values())


def _seeds(text: str) -> list[int]:
  """Reads '1,2,3'."""
  parts = [part.strip() for part in text.split(',')]
  if not all(map(str.isdecimal, parts)) or len({*map(int, parts)}) < len(parts):
    raise UserError(
      f'--seeds={text}: give different whole numbers, such as 1,2,3.'
    )
  return [int(part) for part in parts]


def _train_job(
  job: CompareJob, variant: Variant, seed: int, train_dir: str
) -> TrainJob:
  """The job of one run."""
  shared = {f.name: getattr(job, f.name) for f in dataclasses.fields(TrainJob)}
  own = {
    'train_dir': train_dir,
    'attention_module': variant.module,
    'attention_placement': variant.placement,
    'seed': seed,
  }
  return TrainJob(**{**shared, **own})


def _setup(
  job: CompareJob, given: Collection[str], variant: Variant, seed: int
) -> Setup:
  """A variant's resolved job; UserError before anything is trained."""
  train_job = _train_job(job, variant, seed, job.train_dir)
  names = {*given, *_OF_A_RUN}.intersection(vars(train_job))
  return resolve.training(train_job, names)[0]


def _evaluated_on(job: CompareJob) -> tuple[str, str]:
  """The data set and the split, which must be there."""
  name, folder = job.dataset_name, job.dataset_dir
  split = job.eval_split_name or dataset_factory.evaluation_split(name, folder)
  return name, dataset_factory.get_dataset(name, split, folder).split


# The runs --------------------------------------------------------------------


class _Comparison:
  """Runs, costs and paces of all variants, and the files that tell them."""

  def __init__(
    self,
    job: CompareJob,
    given: Collection[str],
    setups: Mapping[Variant, Setup],
    seeds: Sequence[int],
    signals: Signals,
  ):
    self._job, self._given = job, given
    self._setups, self._signals = setups, signals
    self._folder = pathlib.Path(job.train_dir)
    self._costs = {v: _cost(setup) for v, setup in setups.items()}
    self._dataset, self._split = _evaluated_on(job)
    # All variants with the first seed before any with the second: whatever is
    # there when it is stopped can be compared.
    self._runs = [
      Run(v, seed, self._folder / v.folder / f'seed_{seed}')
      for seed in seeds
      for v in setups
    ]

  def train(self) -> None:
    """Does whatever is not done yet, and writes the table after each run."""
    self._write()
    for number, run in enumerate(self._runs, start=1):
      if self._is_done(run):
        continue
      console.say(f'Run {number} of {len(self._runs)}: {run}.')
      if not messages.is_finished(run.train_dir):
        self._execute(run, 'train_image_classifier.py', self._train_flags(run))
      if not self._signals.received and not self._is_done(run):
        self._execute(run, 'eval_image_classifier.py', self._eval_flags(run))
      if self._signals.received:
        return
      self._write()

  def time(self) -> None:
    """Measures a training step of each variant, in turns, unless it has been."""
    steps = self._job.timing_steps
    if self._signals.received or not steps or self._paces():
      return
    console.say(f'Timing {steps} steps of each variant, in turns.')
    seconds = pace.measure(
      {v.name: setup for v, setup in self._setups.items()},
      steps,
      stopped=lambda: bool(self._signals.received),
    )
    if seconds:
      content = {'steps': steps, 'median_seconds': seconds}
      path = self._folder / _PACE
      files.write_text(path, json.dumps(content, indent=2) + '\n')

  def finish(self) -> Summary:
    """The table, for the last time, and where it is."""
    rows = self._write()
    if self._signals.received:
      console.say(
        f'Stopped by {self._signals.name}: the same command goes on from '
        f'there. So far, in {self._folder}:'
      )
    for line in comparison_table.lines(rows):
      console.say(line)
    console.say(
      f'{comparison_table.CSV}, {comparison_table.MARKDOWN} and '
      f'{comparison_table.PLOT} in {self._folder}.'
    )
    code = 128 + self._signals.received if self._signals.received else 0
    return Summary(rows, code)

  def _is_done(self, run: Run) -> bool:
    return run.diverged or run.result(self._split) is not None

  def _train_flags(self, run: Run) -> dict[str, Any]:
    job = _train_job(self._job, run.variant, run.seed, str(run.train_dir))
    names = {*self._given}.intersection(vars(job)) | {'train_dir', *_OF_A_RUN}
    return {name: getattr(job, name) for name in names}

  def _eval_flags(self, run: Run) -> dict[str, Any]:
    return {
      'checkpoint_path': run.train_dir,
      'dataset_split_name': self._split,
      'batch_size': self._job.eval_batch_size,
      'skip_bad_records': self._job.skip_bad_records,
      'master': self._job.master,
    }

  def _execute(self, run: Run, program: str, flags: Mapping[str, Any]) -> None:
    """Runs a program to its end, or to a clean stop when we are stopped.

    Raises:
      UserError: if it fails by itself, other than by a ruined model.
    """
    if self._signals.received:
      return
    command = [sys.executable, str(_PROGRAMS / program)]
    command += [f'--{n}={v}' for n, v in flags.items() if v is not None]
    # In a session of its own: Ctrl-C comes to us, who pass it on once.
    with subprocess.Popen(command, start_new_session=True) as process:
      try:
        code = self._wait(process)
      finally:
        if process.poll() is None:
          process.kill()
    if code and not self._signals.received and not run.diverged:
      raise UserError(
        f'{program} failed with {code} in {run.train_dir} ({run}; see above): '
        'mend what it says, and the same command goes on from there.'
      )

  def _wait(self, process: subprocess.Popen) -> int:
    told = False
    while True:
      try:
        return process.wait(_SECONDS_BETWEEN_LOOKS)
      except subprocess.TimeoutExpired:
        if self._signals.received and not told:
          # Not Ctrl-C's signal: while Python starts, that leaves a trace.
          process.send_signal(signal.SIGTERM)
          told = True

  def _paces(self) -> Mapping[str, float]:
    """Median seconds of a step by variant; {} until all are measured alike."""
    try:
      found = json.loads((self._folder / _PACE).read_text())
      seconds = {n: float(s) for n, s in found['median_seconds'].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
      return {}
    wanted = {v.name for v in self._setups}
    alike = found.get('steps') == self._job.timing_steps
    return seconds if alike and wanted <= seconds.keys() else {}

  def _write(self) -> list[Row]:
    """Table and plot of what is there."""
    paces = self._paces()
    rows = [
      self._row(variant, paces.get(variant.name)) for variant in self._setups
    ]
    job = self._job
    title = (
      f'{job.model_name} on {self._dataset}, {job.max_number_of_steps:,} steps '
      f'of {job.batch_size}, evaluated on {self._split}'
    )
    comparison_table.write(rows, title, self._folder)
    return rows

  def _row(self, variant: Variant, seconds: float | None) -> Row:
    runs = [run for run in self._runs if run.variant == variant]
    found = {run.seed: run.result(self._split) for run in runs}
    parameters, multiply_adds = self._costs[variant]
    return Row(
      name=variant.name,
      parameters=parameters,
      multiply_adds=multiply_adds,
      step_seconds=seconds,
      accuracies={
        seed: result['metrics']['Accuracy'] if result else None
        for seed, result in found.items()
      },
      diverged=tuple(run.seed for run in runs if run.diverged),
      train_dirs=tuple(run.train_dir for run in runs),
    )


def _cost(setup: Setup) -> tuple[int, int]:
  """Parameters and multiply-adds of one image."""
  job, side = setup.job, setup.image_size
  with tf.Graph().as_default():
    network_fn = nets_factory.get_network_fn(
      job.model_name,
      setup.num_classes,
      attention_module=job.attention_module,
      attention_placement=job.attention_placement,
    )
    images = tf.zeros([1, side, side, setup.channels])
    return cost.total(cost.layers(network_fn(images)[0]))
