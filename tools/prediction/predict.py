"""Classifies image files, batch by batch."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterator, Sequence

from engine import console
from engine.config import resolve
from engine.config.jobs import PredictJob
from tools import image_files
from tools.export import proof
from tools.prediction import model, outputs
from tools.prediction.images import Images, find_problem
from tools.prediction.model import Batch, Model
from tools.prediction.outputs import Prediction


@dataclasses.dataclass
class Summary:
  """What was classified.

  Attributes:
    count: number of images that could be read.
    failed: path and problem of each other one.
  """

  count: int
  failed: list[tuple[str, str]]

  @property
  def exit_code(self) -> int:
    """1 if an image could not be read."""
    return int(bool(self.failed))


def predict(
  job: PredictJob, explicit: Collection[str] = frozenset()
) -> Summary:
  """Classifies image files, and prints or writes their best classes.

  Args:
    job: options of predict.py.
    explicit: the options set by flags, which win over the checkpoint's job.

  Raises:
    UserError: for wrong input, before anything is written.
  """
  outputs.check(job.output, job.embeddings)
  classifier = model.load(job, explicit)
  paths = image_files.find(job.images or '')
  for flag in ('output', 'embeddings', 'sort_into'):
    if getattr(job, flag):
      folder = os.path.dirname(getattr(job, flag))
      resolve.check_writable(folder, f'--{flag}')
  if job.sort_into:
    outputs.check_empty(job.sort_into)
  summary = Summary(0, [])
  console.say(f'Classifying {len(paths)} image(s) by {classifier.path}.')
  with (
    console.bar(len(paths), unit='image') as bar,
    outputs.linker(job.sort_into) as link,
    outputs.collector(job.embeddings) as collect,
    outputs.writer(job.output) as write,
  ):
    for prediction in _predictions(classifier, paths, summary.failed):
      for receive in (link, collect, write):
        receive(prediction)
      summary.count += 1
      bar.update()
  _report(job, summary)
  return summary


def _report(job: PredictJob, summary: Summary) -> None:
  """Says what was written, and which images could not be read."""
  for flag in ('output', 'embeddings', 'sort_into'):
    if target := getattr(job, flag):
      console.say(f'Written: {target}.')
  for path, problem in summary.failed:
    console.say(f'Not classified: {path}: {problem}.')
  if failed := len(summary.failed):
    console.say(f'{failed} of {summary.count + failed} images failed.')


def _predictions(
  classifier: Model,
  paths: Sequence[pathlib.Path],
  failed: list[tuple[str, str]],
) -> Iterator[Prediction]:
  """Yields the predictions in order; adds images that cannot be read."""
  left = set(range(len(paths)))
  for batch in classifier.batches(Images(paths)):
    proof.check_finite(batch.probabilities, classifier.path)
    left.difference_update(batch.numbers.tolist())
    yield from _of_batch(batch, paths, classifier.class_names)
  failed.extend((str(paths[n]), find_problem(paths[n])) for n in sorted(left))


def _of_batch(
  batch: Batch, paths: Sequence[pathlib.Path], names: Sequence[str]
) -> Iterator[Prediction]:
  """Yields the predictions of a batch."""
  for number, labels, shares, features in zip(*batch, strict=True):
    yield Prediction(
      str(paths[number]),
      tuple(map(int, labels)),
      tuple(names[label] for label in labels),
      tuple(map(float, shares)),
      features,
    )
