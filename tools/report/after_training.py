"""Training that ends with a report: train_image_classifier.py --report."""

from __future__ import annotations

from collections.abc import Collection

from engine.config.jobs import EvalJob, ReportJob, TrainJob
from engine.evaluation.evaluator import evaluate
from engine.training import loop
from engine.training.loop import Summary
from tools.report import run


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
  if job.report and summary.checkpoint and not summary.exit_code:
    report(job.train_dir, summary.step)
  return summary


def report(train_dir: str, step: int) -> None:
  """Reports a run, and first evaluates its last step unless that was done."""
  from tools.report import report as report_lib

  results = run.newest_results(train_dir)
  if results is None or results.content['global_step'] != step:
    evaluate(EvalJob(checkpoint_path=train_dir), frozenset({'checkpoint_path'}))
  report_lib.report(ReportJob(train_dir=train_dir))
