"""Compares attention modules, all else being equal: compare_attention.py.

Each run has a run folder, and the usual programs train and evaluate it, so that
it can be stopped, resumed and inspected like any other.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import signal
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence

import files
from engine import console
from engine.config.jobs import CompareJob, TrainJob
from engine.config.resolve import Setup
from engine.plots import style as plot_style
from engine.run_dir import lock, run_status
from engine.signals import Signals
from errors import UserError
from nets import complexity
from tf_compat import tf
from tools.comparison import plan, step_timing, table
from tools.comparison.plan import Run, Variant
from tools.comparison.table import Row

# The folder of train_image_classifier.py and eval_image_classifier.py.
_PROGRAMS = pathlib.Path(__file__).resolve().parents[2]

_PLOT = 'comparison.png'
_STEP_TIMES_FILE = 'pace.json'

_POLL_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Summary:
  """Results of a comparison, complete or interrupted.

  Attributes:
    rows: rows of the table, one per variant.
    exit_code: 0, or 128 + signal.
  """

  rows: Sequence[Row]
  exit_code: int = 0


def compare(
  job: CompareJob, explicit: Collection[str] = frozenset()
) -> Summary:
  """Trains and evaluates every variant with every seed, and writes the table.

  If a comparison was interrupted, the same call resumes it: it does only what
  is missing.

  Args:
    job: options of compare_attention.py.
    explicit: the options set by flags, which are passed on to the runs.

  Returns:
    The rows of the table, and the exit code of the program.

  Raises:
    UserError: for wrong input, before anything is trained; or if a run fails.
  """
  job, explicit = plan.complete_job(job, explicit)
  variants, seeds = (
    plan.parse_variants(job.attention_modules),
    plan.parse_seeds(job.seeds),
  )
  if job.equal_time and len(variants) < 2:
    raise UserError(
      '--equal_time compares with the first variant: name two or more in '
      '--attention_modules, or omit it.'
    )
  setups = {
    v: plan.resolve_variant(job, explicit, v, seeds[0]) for v in variants
  }
  with lock.exclusive(plan.comparison_folder(job)), Signals() as signals:
    plan.record_options(job, explicit)
    comparison = _Comparison(job, explicit, setups, seeds, signals)
    # Where the steps are timed already, the table shows all runs at once.
    comparison.match_times()
    comparison.train()
    comparison.time()
    if comparison.match_times():
      comparison.train()
    return comparison.finish()


class _Comparison:
  """Runs, costs and step times of all variants, and the files of results."""

  def __init__(
    self,
    job: CompareJob,
    explicit: Collection[str],
    setups: Mapping[Variant, Setup[TrainJob]],
    seeds: Sequence[int],
    signals: Signals,
  ) -> None:
    self._job, self._explicit = job, explicit
    self._setups, self._signals = {**setups}, signals
    self._seeds = seeds
    self._folder = plan.comparison_folder(job)
    self._costs = {v: _complexity(setup) for v, setup in setups.items()}
    self._dataset, self._split = plan.evaluation_split(job)
    self._runs = self._runs_of(setups)

  def _runs_of(self, variants: Iterable[Variant]) -> list[Run]:
    """Returns the runs of variants.

    All variants with the first seed come before any with the second, so that the
    results of an interrupted comparison can be compared.
    """
    return [
      Run(variant, seed, self._folder / variant.folder / f'seed_{seed}')
      for seed, variant in itertools.product(self._seeds, variants)
    ]

  def train(self) -> None:
    """Trains and evaluates the missing runs; writes the table after each."""
    self._write()
    for number, run in enumerate(self._runs, start=1):
      if self._signals.received:
        return
      if self._is_done(run):
        continue
      console.say(f'Run {number} of {len(self._runs)}: {run}.')
      if not run_status.is_finished(run.train_dir):
        self._execute(run, 'train_image_classifier.py', self._train_flags(run))
      if not self._signals.received and not self._is_done(run):
        self._execute(run, 'eval_image_classifier.py', self._eval_flags(run))
      if not self._signals.received:
        self._write()

  def time(self) -> None:
    """Times training steps of all variants, unless they are timed already."""
    steps = self._job.timing_steps
    if self._signals.received or not steps or self._step_seconds():
      return
    console.say(f'Timing {steps} steps of each variant, interleaved.')
    seconds = step_timing.measure(
      {v.name: setup for v, setup in self._setups.items()},
      steps,
      is_stopped=lambda: bool(self._signals.received),
    )
    if seconds:
      content = {'steps': steps, 'median_seconds': seconds}
      files.write_json(self._folder / _STEP_TIMES_FILE, content)

  def match_times(self) -> bool:
    """Adds the runs of --equal_time; returns whether there are any."""
    seconds = self._step_seconds()
    if not (self._job.equal_time and seconds):
      return False
    first, *others = [v for v in self._setups if not v.steps]
    for variant in others:
      ratio = seconds[first.name] / seconds[variant.name]
      steps = max(1, round(_steps(self._setups[first]) * ratio))
      matched = dataclasses.replace(variant, steps=steps)
      if matched not in self._setups:
        self._setups[matched] = plan.resolve_variant(
          *plan.limited(self._job, self._explicit, steps),
          matched,
          self._seeds[0],
        )
        self._costs[matched] = self._costs[variant]
    self._runs = self._runs_of(self._setups)
    return True

  def finish(self) -> Summary:
    """Writes and prints the final table."""
    rows = self._write()
    if self._signals.received:
      console.say(
        f'Stopped by {self._signals.name}: run the same command again to '
        f'resume. Results so far, in {self._folder}:'
      )
    for line in table.lines(rows):
      console.say(line)
    console.say(f'{table.CSV}, {table.MARKDOWN} and {_PLOT} in {self._folder}.')
    return Summary(rows, self._signals.exit_code)

  def _is_done(self, run: Run) -> bool:
    """Whether a run diverged or its last step is evaluated."""
    return run.diverged or run.result(self._split) is not None

  def _train_flags(self, run: Run) -> dict[str, object]:
    """Returns the flags of train_image_classifier.py for a run."""
    shared, explicit = self._job, self._explicit
    if run.variant.steps:
      shared, explicit = plan.limited(shared, explicit, run.variant.steps)
    job = plan.train_job(shared, run.variant, run.seed, str(run.train_dir))
    names = {*explicit}.intersection(vars(job)) | {
      'train_dir',
      *plan.SET_PER_RUN,
    }
    return {name: getattr(job, name) for name in names}

  def _eval_flags(self, run: Run) -> dict[str, object]:
    """Returns the flags of eval_image_classifier.py for a run."""
    return {
      'checkpoint_path': run.train_dir,
      'dataset_dir': self._job.dataset_dir,
      'file_pattern': self._job.file_pattern,
      'dataset_split_name': self._split,
      'batch_size': self._job.eval_batch_size,
      'skip_bad_records': self._job.skip_bad_records,
      'master': self._job.master,
    }

  def _execute(
    self, run: Run, program: str, flags: Mapping[str, object]
  ) -> None:
    """Runs a program until it ends; a signal to this process stops it cleanly.

    Raises:
      UserError: if it fails for a reason other than a signal or divergence.
    """
    if self._signals.received:
      return
    command = [sys.executable, str(_PROGRAMS / program)]
    command += [f'--{n}={v}' for n, v in flags.items() if v is not None]
    # In a session of its own: only this process receives Ctrl-C, and forwards
    # it once.
    with subprocess.Popen(command, start_new_session=True) as process:
      try:
        code = self._wait(process)
      finally:
        if process.poll() is None:
          process.kill()
    if code and not self._signals.received and not run.diverged:
      raise UserError(
        f'{program} failed with {code} in {run.train_dir} ({run}; see above): '
        'fix the cause, and run the same command again to resume.'
      )

  def _wait(self, process: subprocess.Popen[bytes]) -> int:
    """Returns the exit code of a process; forwards a signal to it once."""
    is_forwarded = False
    while True:
      try:
        return process.wait(_POLL_SECONDS)
      except subprocess.TimeoutExpired:
        if self._signals.received and not is_forwarded:
          # Not SIGINT, which prints a stack trace while Python starts.
          process.send_signal(signal.SIGTERM)
          is_forwarded = True

  def _step_seconds(self) -> Mapping[str, float]:
    """Reads variant -> median duration of a step.

    Returns:
      {} unless all variants were timed together, over --timing_steps.
    """
    try:
      content = files.read_json(
        self._folder / _STEP_TIMES_FILE,
        {'steps': int, 'median_seconds': {str: float}},
      )
    except UserError as error:
      console.say(f'{error} The steps are timed again.')
      return {}
    if not content or content['steps'] != self._job.timing_steps:
      return {}
    seconds = content['median_seconds']
    names = {v.name for v in self._setups if not v.steps}
    return seconds if names <= seconds.keys() else {}

  def _write(self) -> list[Row]:
    """Writes table and plot of the results so far, and returns the rows."""
    seconds = self._step_seconds()
    rows = [
      self._row(variant, _steps(setup), seconds)
      for variant, setup in self._setups.items()
    ]
    first = next(iter(self._setups.values()))
    job = first.job
    title = (
      f'{job.model_name} on {self._dataset}, {_steps(first):,} steps with batch '
      f'size {job.batch_size}, evaluated on {self._split}'
    )
    table.write(rows, title, self._folder)
    _draw(rows, title, self._split, self._folder / _PLOT, job.plot_format)
    return rows

  def _row(
    self, variant: Variant, steps: int, seconds: Mapping[str, float]
  ) -> Row:
    """Returns the costs and results of a variant."""
    runs = [run for run in self._runs if run.variant == variant]
    results = {run.seed: run.result(self._split) for run in runs}
    parameters, multiply_adds = self._costs[variant]
    return Row(
      name=variant.name,
      parameters=parameters,
      multiply_adds=multiply_adds,
      step_seconds=seconds.get(dataclasses.replace(variant, steps=None).name),
      steps=steps,
      accuracies={
        seed: result['metrics']['Accuracy'] if result else None
        for seed, result in results.items()
      },
      diverged=tuple(run.seed for run in runs if run.diverged),
      train_dirs=tuple(run.train_dir for run in runs),
    )


def _draw(
  rows: Sequence[Row],
  title: str,
  split: str,
  path: pathlib.Path,
  plot_format: str,
) -> None:
  """Draws the plot; logs a failure, which must not end a comparison."""
  with plot_style.log_failure(path):
    # Matplotlib takes half a second to import.
    from tools.comparison import plot

    plot.draw(rows, title, split, path, plot_format)


def _steps(setup: Setup[TrainJob]) -> int:
  """Returns the number of training steps."""
  steps = setup.job.max_number_of_steps
  if not steps:
    raise ValueError('plan.complete_job requires a number of steps or epochs.')
  return steps


def _complexity(setup: Setup[TrainJob]) -> tuple[int, int]:
  """Returns the parameters of a network, and the multiply-adds of one image."""
  side = setup.image_size
  with tf.Graph().as_default():
    images = tf.zeros([1, side, side, setup.channels])
    logits, _ = setup.network_fn(is_training=False)(images)
    return complexity.total(complexity.layers(logits))
