"""Training that ends with a report: train_image_classifier.py --report."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engine.config import job_file
from engine.config.jobs import EvalJob, ReportJob, TrainJob
from engine.evaluation.evaluator import evaluate
from engine.training import loop
from engine.training.loop import Summary

# Options of training that evaluation does not take from job.json by itself.
_INHERITED = ('skip_bad_records', 'fast_preprocessing', 'clone_on_cpu')


def train(job: TrainJob, explicit: Collection[str] = frozenset()) -> Summary:
  """Trains as engine/training/loop.py does, then reports with --report.

  A run that a signal ended has no report, and only the chief writes one.

  Args:
    job: what to train.
    explicit: the options set by flags, which win over a recorded job's.

  Raises:
    UserError: for what training, evaluation or the report refuses.
  """
  summary = loop.train(job, explicit)
  if not summary.checkpoint or summary.exit_code:
    return summary
  recorded = job_file.read(job.train_dir) or {'options': {}}
  options = recorded['options']
  # A resumed run has it from job.json.
  if job.report or ('report' not in explicit and options.get('report')):
    _report(job.train_dir, summary.step, options)
  return summary


def _report(train_dir: str, step: int, options: Mapping[str, Any]) -> None:
  """Reports a run, and first evaluates its last step unless that was done.

  Args:
    train_dir: the run folder.
    step: its last step.
    options: those of the training.
  """
  # Matplotlib and Jinja2 take a second to import.
  from tools.report import report as report_lib
  from tools.report import run

  results = run.newest_results(train_dir)
  if results is None or results.content['global_step'] != step:
    given = {name: options[name] for name in _INHERITED if name in options}
    given['checkpoint_path'] = train_dir
    evaluate(EvalJob(**given), frozenset(given))
  report_lib.report(ReportJob(train_dir=train_dir))
