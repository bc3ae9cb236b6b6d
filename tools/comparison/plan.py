"""The plan of a comparison: its options, variants, seeds and runs."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any

import files
from datasets import dataset_factory
from engine import console
from engine.checkpoints import store
from engine.config import resolve
from engine.config.jobs import CompareJob, TrainJob
from engine.config.resolve import Setup
from engine.evaluation import results
from engine.run_dir import run_status
from errors import UserError
from nets.attention import attention_factory
from options import kinds_of
from weights import sources

COMPARISON_FILE = 'comparison.json'

# Option that differs from run to run -> the comparison's option that sets it.
SET_PER_RUN = {
  'attention_module': 'attention_modules',
  'attention_placement': 'attention_modules',
  'seed': 'seeds',
}

# Option of the comparison -> an example for messages.
_EXAMPLES = {
  'attention_modules': "--attention_modules='none;cbam_block@class'",
  'seeds': '--seeds=1,2,3',
}

# Options that may change when a comparison is resumed.
_MAY_CHANGE = (
  'train_dir', 'attention_modules', 'seeds', 'timing_steps', 'equal_time',
  'eval_batch_size',
)  # fmt: skip

# More digits do not fit in TensorFlow's 64 bits.
_SEED_DIGITS = 18

_PATHS = ('dataset_dir', 'checkpoint_path', 'teacher_checkpoint')


@dataclasses.dataclass(frozen=True)
class Variant:
  """An attention module with options and placement, or no attention.

  Attributes:
    module: value of --attention_module; None for no attention.
    placement: value of --attention_placement; None for the module's default.
    steps: number of steps that take as long as the runs of the first variant;
      None for as many steps as those.
  """

  module: str | None
  placement: str | None
  steps: int | None = None

  @property
  def name(self) -> str:
    """'none', 'cbam_block(ratio=16)@class', 'cbam_block, equal time'."""
    at = f'@{self.placement}' if self.placement else ''
    time = ', equal time' if self.steps else ''
    return f'{self.module or "none"}{at}{time}'

  @property
  def folder(self) -> str:
    """The name as a folder name: 'cbam_block_ratio=16_class'."""
    name = re.sub(r'[^\w.=-]+', '_', self.name).strip('_')
    return f'{name}_{self.steps}_steps' if self.steps else name


@dataclasses.dataclass(frozen=True)
class Run:
  """A training of a variant with a seed, in a run folder."""

  variant: Variant
  seed: int
  train_dir: pathlib.Path

  def __str__(self) -> str:
    return f'{self.variant.name}, seed {self.seed}'

  @property
  def diverged(self) -> bool:
    """Returns whether training ended because the loss was not finite."""
    end = run_status.read_finished(self.train_dir)
    return end is not None and end['reason'] == 'non_finite'

  def result(self, split: str) -> dict[str, Any] | None:
    """Returns the evaluation of a finished run's last step on a split.

    Returns:
      The content of results.json; None if the run is not finished, or its last
      step not evaluated.
    """
    end = run_status.read_finished(self.train_dir)
    try:
      result = results.read_json(self.train_dir / 'eval' / results.JSON)
    except UserError as error:
      console.say(f'{error} The run is evaluated again.')
      return None
    if not (end and result):
      return None
    evaluated = result['global_step'], result['split']
    return result if evaluated == (end['global_step'], split) else None


def comparison_folder(job: CompareJob) -> pathlib.Path:
  """Returns the folder of a comparison; raises UserError unless it is set."""
  if not job.train_dir:
    raise UserError('--train_dir is required: the folder of the comparison.')
  return pathlib.Path(job.train_dir)


def complete_job(
  job: CompareJob, explicit: Collection[str]
) -> tuple[CompareJob, frozenset[str]]:
  """Completes a job with the options that its comparison was started with.

  Args:
    job: options of compare_attention.py.
    explicit: the options set by flags.

  Returns:
    The job, and the options set by flags now or at the start.

  Raises:
    UserError: if options are missing or contradict those of the start.
  """
  folder = comparison_folder(job)
  for name, instead in SET_PER_RUN.items():
    if name in explicit:
      raise UserError(
        f'--{name} applies to a single run; use --{instead} instead, such as '
        f'{_EXAMPLES[instead]}.'
      )
  if store.in_folder(folder):
    raise UserError(
      f'{folder} contains checkpoints of a single run: choose another '
      '--train_dir for the comparison.'
    )
  paths: dict[str, Any] = {
    n: _absolute(getattr(job, n)) for n in _PATHS if getattr(job, n)
  }
  job = dataclasses.replace(job, **paths)
  recorded = _recorded_options(folder)
  if recorded.get('recipe') and 'recipe' not in explicit:
    raise UserError(
      f'{folder} was started with --recipe={recorded["recipe"]}, whose values '
      f'{COMPARISON_FILE} does not hold: set it again.'
    )
  _refuse_changed_options(job, explicit, recorded)
  inherited = {n: value for n, value in recorded.items() if n not in explicit}
  try:
    job = dataclasses.replace(job, **inherited)
  except UserError as error:
    raise UserError(f'In {folder / COMPARISON_FILE}: {error}') from error
  resolve.check_data_dir(
    job, {'options': recorded}, str(folder / COMPARISON_FILE)
  )
  _check_equal_time(job)
  if not (job.max_number_of_steps or job.num_epochs):
    raise UserError(
      '--max_number_of_steps or --num_epochs is required: every run must end.'
    )
  return job, frozenset({*explicit, *recorded} - {'train_dir'})


def _absolute(path: str) -> str:
  """Returns an absolute path; a name of weights to import is none."""
  is_name = sources.is_source(path) and not os.path.exists(path)
  return path if is_name else os.path.abspath(path)


def _check_equal_time(job: CompareJob) -> None:
  """Raises UserError if another option contradicts --equal_time."""
  if job.equal_time and not job.timing_steps:
    raise UserError(
      '--timing_steps=0 times no steps, which --equal_time needs: set '
      '--timing_steps=20, or omit --equal_time.'
    )
  if job.equal_time and job.early_stop_patience:
    raise UserError(
      f'--early_stop_patience={job.early_stop_patience} ends runs at any step, '
      'which contradicts --equal_time: omit one of them.'
    )


def _recorded_options(folder: pathlib.Path) -> dict[str, Any]:
  """Reads the options that a comparison was started with; {} for a new one."""
  content = files.read_json(
    folder / COMPARISON_FILE,
    {'options': kinds_of(CompareJob)},
    'Repair it, or choose another --train_dir.',
  )
  names = {field.name for field in dataclasses.fields(CompareJob)}
  recorded = content['options'] if content else {}
  return {name: value for name, value in recorded.items() if name in names}


def _refuse_changed_options(
  job: CompareJob, explicit: Collection[str], recorded: Mapping[str, Any]
) -> None:
  """Raises UserError if new runs would be trained unlike the earlier ones."""
  if not recorded:
    return
  for field in dataclasses.fields(job):
    name = field.name
    if name in _MAY_CHANGE or name not in explicit:
      continue
    requested = getattr(job, name)
    before = recorded.get(name, field.default)
    has_moved = name == 'dataset_dir' and not os.path.isdir(before or '')
    if requested != before and not has_moved:
      raise UserError(
        f'{job.train_dir} was started with --{name}={before}, not {requested}: '
        'continue with that value, or choose another --train_dir.'
      )


def record_options(job: CompareJob, explicit: Collection[str]) -> None:
  """Writes the options that the comparison is resumed with."""
  options = {name: getattr(job, name) for name in sorted(explicit)}
  path = comparison_folder(job) / COMPARISON_FILE
  files.write_json(path, {'options': options})


def parse_variants(text: str) -> list[Variant]:
  """Parses --attention_modules: 'none;cbam_block(ratio=16);cbam_block@class'.

  Raises:
    UserError: if a module or placement is unknown, or a variant is repeated.
  """
  variants: dict[str, Variant] = {}
  for part in filter(None, map(str.strip, text.split(';'))):
    module, _, placement = part.partition('@')
    attention = attention_factory.get_attention(module, placement or None)
    if placement and not attention:
      raise UserError(f"{part!r}: 'none' takes no placement.")
    variant = Variant(*(attention.spelling if attention else (None, None)))
    if variant.folder in variants:
      raise UserError(
        f'--attention_modules names {variant.name} twice: {part!r} is the '
        f'same as {variants[variant.folder].name!r}.'
      )
    variants[variant.folder] = variant
  if not variants:
    raise UserError(
      '--attention_modules is empty: name at least one variant, such as '
      "'none;se_block;cbam_block(ratio=16)'."
    )
  return list(variants.values())


def parse_seeds(text: str) -> list[int]:
  """Parses --seeds: '1,2,3'; raises UserError unless they are distinct ints."""
  parts = [part.strip() for part in text.split(',')]
  valid = all(part.isdecimal() and len(part) <= _SEED_DIGITS for part in parts)
  seeds = [int(part) for part in parts] if valid else []
  if len({*seeds}) < len(parts):
    raise UserError(
      f'--seeds={text[:80]}: must be different integers, at least 0, '
      'such as 1,2,3.'
    )
  return seeds


def limited(
  job: CompareJob, explicit: Collection[str], steps: int
) -> tuple[CompareJob, frozenset[str]]:
  """Returns a job of a number of steps, and the options set by flags."""
  job = dataclasses.replace(job, max_number_of_steps=steps, num_epochs=None)
  return job, frozenset({*explicit, 'max_number_of_steps'} - {'num_epochs'})


def train_job(
  job: CompareJob, variant: Variant, seed: int, train_dir: str
) -> TrainJob:
  """Returns the training job of a run."""
  shared = {f.name: getattr(job, f.name) for f in dataclasses.fields(TrainJob)}
  own = {
    'train_dir': train_dir,
    'attention_module': variant.module,
    'attention_placement': variant.placement,
    'seed': seed,
  }
  return TrainJob(**{**shared, **own})


def resolve_variant(
  job: CompareJob, explicit: Collection[str], variant: Variant, seed: int
) -> Setup[TrainJob]:
  """Resolves a variant's job; raises UserError before anything is trained."""
  run_job = train_job(job, variant, seed, str(comparison_folder(job)))
  names = {*explicit, *SET_PER_RUN}.intersection(vars(run_job))
  return resolve.training(run_job, names)


def evaluation_split(job: CompareJob) -> tuple[str, str]:
  """Returns the names of the data set and of the split to evaluate on.

  Raises:
    UserError: if there are no records of the split.
  """
  name, folder = job.dataset_name, job.dataset_dir or ''
  pattern = job.file_pattern
  split = job.eval_split_name or dataset_factory.evaluation_split(
    name, folder, pattern
  )
  return name, dataset_factory.get_dataset(name, split, folder, pattern).split
