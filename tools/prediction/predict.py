"""Classifies image files, batch by batch."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from datasets import photo
from datasets.archive import Blob
from datasets.example_features import UnusableError
from engine import console
from engine.config import resolve
from engine.config.jobs import PredictJob
from tools import image_files
from tools.export import proof
from tools.prediction import model, outputs
from tools.prediction.model import Batch, Images, Model
from tools.prediction.outputs import Prediction

# Photos that are read and checked while others are classified.
_WAITING = 64


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
  for batch in classifier.batches(_readable(paths)):
    proof.check_finite(batch.probabilities, classifier.path)
    left.difference_update(batch.numbers.tolist())
    yield from _of_batch(batch, paths, classifier.class_names)
  failed.extend((str(paths[n]), _problem(paths[n])) for n in sorted(left))


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


def _readable(paths: Sequence[pathlib.Path]) -> Images:
  """Returns a generator of numbers and bytes of images, as converted."""

  def generate() -> Iterator[tuple[list[int], list[bytes]]]:
    with ThreadPoolExecutor() as pool:
      for start in range(0, len(paths), _WAITING):
        part = paths[start : start + _WAITING]
        read = enumerate(pool.map(_read, part), start=start)
        good = [(number, data) for number, data in read if data is not None]
        yield [number for number, _ in good], [data for _, data in good]

  return generate


def _read(path: pathlib.Path) -> bytes | None:
  """Returns an image's bytes, as converted, or None if it cannot be read."""
  with contextlib.suppress(UnusableError, OSError):
    data = photo.read(Blob(str(path)))
    if photo.is_ordinary(data):
      return data
    return photo.check_bytes(data, path.name).data
  return None


def _problem(path: pathlib.Path) -> str:
  """Returns why an image cannot be read."""
  try:
    photo.check_bytes(photo.read(Blob(str(path))), path.name)
  except (UnusableError, OSError) as error:
    return getattr(error, 'strerror', None) or str(error)
  return 'TensorFlow does not decode it'
