"""Classifies image files, batch by batch."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from datasets import photo
from datasets.example_features import UnusableError
from engine import console
from engine.config import resolve
from engine.config.jobs import PredictJob
from tools import image_files
from tools.export import proof
from tools.prediction import model, outputs
from tools.prediction.model import Batch, Images, Model
from tools.prediction.outputs import Prediction

# Photos that are checked while others are classified.
_WAITING = 256


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
  for batch in classifier.batches(_readable(paths, failed)):
    proof.check_finite(batch.probabilities, classifier.path)
    yield from _of_batch(batch, paths, classifier.class_names)


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


def _readable(
  paths: Sequence[pathlib.Path], failed: list[tuple[str, str]]
) -> Images:
  """Returns a generator of number and bytes of each image, as converted."""

  def check(path: pathlib.Path) -> bytes | str:
    try:
      return photo.check_bytes(path.read_bytes(), path.name).data
    except (UnusableError, OSError) as error:
      return getattr(error, 'strerror', None) or str(error)

  def generate() -> Iterator[tuple[int, bytes]]:
    with ThreadPoolExecutor() as pool:
      for start in range(0, len(paths), _WAITING):
        part = paths[start : start + _WAITING]
        for number, result in enumerate(pool.map(check, part), start=start):
          if isinstance(result, bytes):
            yield number, result
          else:
            failed.append((str(paths[number]), result))

  return generate
