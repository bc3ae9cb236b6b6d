"""What a run folder holds, as far as a report tells it."""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import files
from engine.checkpoints import store
from engine.config import job_file, resolve
from engine.config.jobs import TrainJob
from engine.evaluation import results
from engine.plots import curves
from engine.run_dir import progress_csv, run_status
from errors import UserError

_RESULTS = {
  'checkpoint': str,
  'global_step': int,
  'dataset': str,
  'split': str,
  'count': int,
  'metrics': {str: float | None},
  'per_class': [
    {
      'label': int,
      'name': str,
      'count': int,
      'precision': float | None,
      'recall': float | None,
      'f1': float | None,
      'auroc?': float | None,
    }
  ],
  # The confidence of a network that diverged is no number.
  'reliability?': {
    'counts': [int],
    'confidence': [float | None],
    'accuracy': [float],
  },
  'mistakes?': [
    {
      'index': int,
      'filename': str,
      'label': int,
      'predicted': int,
      'confidence': float,
    }
  ],
}
_REMEDY = 'Delete it, and evaluate the checkpoint again.'
_JOB_REMEDY = (
  'Repair it, or delete it: the page then lacks how the run was trained.'
)


@dataclasses.dataclass(frozen=True)
class Results:
  """An evaluation's files.

  Attributes:
    folder: where they are.
    content: results.json.
    pairs: true label, predicted label and count of each pair that occurs; None
      without a confusion matrix of this evaluation.
  """

  folder: pathlib.Path
  content: Mapping[str, Any]
  pairs: Sequence[tuple[int, int, int]] | None

  @property
  def names(self) -> list[str]:
    """Names of the classes by label."""
    return [row['name'] for row in self.content['per_class']]


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """A run folder.

  Attributes:
    folder: the run folder.
    job: job.json; {} if there is none.
    history: the columns of progress.csv.
    evaluations: split -> step -> row of results.csv.
    finished: finished.json; None for a run that goes on or was stopped.
    results: the newest evaluation; None without one.
  """

  folder: pathlib.Path
  job: Mapping[str, Any]
  history: Mapping[str, np.ndarray]
  evaluations: curves.Evaluations
  finished: Mapping[str, Any] | None
  results: Results | None

  @property
  def name(self) -> str:
    """Name of the run folder."""
    return self.folder.absolute().name

  @property
  def options(self) -> Mapping[str, Any]:
    """The options of training."""
    return self.job.get('options', {})

  @property
  def epochs_per_step(self) -> float | None:
    """The share of an epoch that a step makes; None if it is not recorded."""
    return curves.epochs_per_step(self.job)

  @property
  def step(self) -> int | None:
    """The last step that is known."""
    if self.finished:
      return self.finished['global_step']
    steps = self.history['step']
    return int(steps[-1]) if len(steps) else None

  @property
  def seconds(self) -> float | None:
    """Time of the steps, without pauses and evaluations; None if unknown."""
    images = self.job.get('images_per_step')
    steps = np.diff(self.history['step'], prepend=0)
    speeds = self.history['images_per_second']
    known = np.isfinite(speeds) & (speeds > 0)
    if not images or not steps[known].sum():
      return None
    seconds = images * (steps[known] / speeds[known]).sum()
    return float(seconds * steps.sum() / steps[known].sum())

  def checkpoint(self) -> str | None:
    """Returns the checkpoint that was evaluated, wherever the run is now."""
    if self.results is None:
      return None
    step = self.results.content['global_step']
    for folder in (self.folder, self.folder / 'best'):
      for checkpoint in store.in_folder(folder):
        if store.step_of(checkpoint) == step:
          return checkpoint
    return None

  def command(self) -> str:
    """Returns the command of the training, for a shell.

    It has the options that differ from their defaults, those of a recipe in its
    place, but for steps that follow from epochs: training refuses both.
    """
    derived = {s for e, s in resolve.IN_EPOCHS.items() if self.options.get(e)}
    derived.add('recipe')
    words = ['python', 'train_image_classifier.py']
    for field in dataclasses.fields(TrainJob):
      value = self.options.get(field.name, field.default)
      if value != field.default and field.name not in derived:
        words.append(f'--{field.name}={value}')
    return shlex.join(words)


def read(folder: str) -> Run:
  """Reads a run folder.

  Raises:
    UserError: if there is no run, or one of its files is damaged.
  """
  path = pathlib.Path(folder)
  job = job_file.read(path, _JOB_REMEDY) if path.is_dir() else None
  progress = path / progress_csv.FILE
  if job is None and not progress.exists():
    problem = 'has neither job.json nor progress.csv'
    if not path.is_dir():
      problem = 'is not a folder'
    raise UserError(
      f'--train_dir={folder} {problem}: name the --train_dir of a training.'
    )
  history = curves.read_history(os.fspath(progress))
  return Run(
    folder=path,
    job=job or {},
    history=history,
    evaluations=curves.read_evaluations(_results_csv(path), history),
    finished=run_status.read_finished(path),
    results=newest_results(path),
  )


def newest_results(train_dir: str | os.PathLike) -> Results | None:
  """Returns the evaluation of the latest step; of equal ones the last written.

  Raises:
    UserError: if a results.json is damaged.
  """
  found = []
  for folder in _eval_dirs(train_dir):
    path = folder / results.JSON
    content = files.read_json(path, _RESULTS, _REMEDY)
    if content is not None:
      found.append((content['global_step'], path.stat().st_mtime, folder))
  if not found:
    return None
  folder = max(found)[2]
  content = files.read_json(folder / results.JSON, _RESULTS, _REMEDY)
  return Results(folder, content, _pairs(folder, content))


def _eval_dirs(train_dir: str | os.PathLike) -> list[pathlib.Path]:
  """Returns the folders of evaluations: those recorded, and eval in the run."""
  own = pathlib.Path(train_dir, 'eval')
  recorded = [path.parent for path in run_status.results_files(train_dir)]
  return list(dict.fromkeys([own.absolute(), *recorded]))


def _results_csv(train_dir: pathlib.Path) -> list[pathlib.Path]:
  """Returns the results.csv of all evaluations."""
  return [folder / 'results.csv' for folder in _eval_dirs(train_dir)]


def _pairs(
  folder: pathlib.Path, content: Mapping[str, Any]
) -> list[tuple[int, int, int]] | None:
  """Reads the confusion matrix; None if it is not of this evaluation."""
  try:
    if (path := folder / results.CONFUSION_CSV).exists():
      pairs = list(_read_matrix(path))
    else:
      pairs = list(_read_pairs(folder / results.CONFUSION_PAIRS_CSV, content))
  except (OSError, ValueError, KeyError, UnicodeError, csv.Error):
    return None
  total = sum(count for _, _, count in pairs)
  return pairs if total == content['count'] else None


def _read_matrix(path: pathlib.Path) -> Iterator[tuple[int, int, int]]:
  """Yields the cells of confusion_matrix.csv that are not 0."""
  with path.open(newline='', encoding='utf-8') as file:
    for label, (_, *counts) in enumerate(list(csv.reader(file))[1:]):
      for predicted, count in enumerate(map(int, counts)):
        if count:
          yield label, predicted, count


def _read_pairs(
  path: pathlib.Path, content: Mapping[str, Any]
) -> Iterator[tuple[int, int, int]]:
  """Yields the rows of confusion_pairs.csv, with labels for names."""
  labels = {row['name']: row['label'] for row in content['per_class']}
  if len(labels) < len(content['per_class']):
    raise ValueError('two classes have the same name')
  with path.open(newline='', encoding='utf-8') as file:
    for true, predicted, count in list(csv.reader(file))[1:]:
      yield labels[true], labels[predicted], int(count)
