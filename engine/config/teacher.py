"""The teacher of distillation: a trained network that fits a training job."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import dataset_factory
from datasets.dataset_factory import DATASETS
from engine.checkpoints import store
from engine.config import imported, job_file
from engine.config.jobs import NetworkOptions, TrainJob
from errors import UserError
from preprocessing.preprocessing_factory import get_spec


@dataclasses.dataclass(frozen=True)
class Teacher:
  """A trained network, which is not trained any more.

  Attributes:
    checkpoint: its path.
    network: its network and attention.
    use_averages: whether it was trained with moving averages, which it then
      uses as at evaluation.
  """

  checkpoint: str
  network: NetworkOptions
  use_averages: bool


def find(
  job: TrainJob, class_names: Sequence[str], channels: int, image_size: int
) -> Teacher:
  """Finds the teacher of a job.

  Args:
    job: names the teacher's checkpoint or run folder.
    class_names: those of the student's classes.
    channels: of the student's images.
    image_size: their side in pixels.

  Raises:
    UserError: if there is no such checkpoint or no job.json beside it, or if the
      teacher has other classes or takes other images.
  """
  path = imported.checkpoint_path(job.teacher_checkpoint or '')
  checkpoint = store.find(path)
  folder = pathlib.Path(checkpoint).parent
  recorded = job_file.read(folder)
  if not recorded:
    raise UserError(
      f'--teacher_checkpoint={job.teacher_checkpoint}: {folder} has no job.json, '
      'which says what the teacher is: name a run folder of this project.'
    )
  options = recorded['options']
  _check_classes(job, recorded, class_names)
  _check_images(job, recorded, channels, image_size)
  return Teacher(
    os.path.abspath(checkpoint),
    NetworkOptions(
      **{
        field.name: options[field.name]
        for field in dataclasses.fields(NetworkOptions)
        if field.name in options
      }
    ),
    bool(options.get('moving_average_decay')),
  )


def _check_classes(
  job: TrainJob, recorded: Mapping[str, Any], class_names: Sequence[str]
) -> None:
  """Raises UserError if the teacher has other classes, as far as is known."""
  count, options = recorded['num_classes'], recorded['options']
  teacher = f'The teacher, {job.teacher_checkpoint},'
  if count != len(class_names):
    raise UserError(
      f'{teacher} has {count} classes, and {job.dataset_name} '
      f'{len(class_names)}: take one of the same classes.'
    )
  data = options.get('dataset_dir')
  # Data sets that are not in the table may have the same name.
  is_known = job.dataset_name in DATASETS or not (data and os.path.isdir(data))
  if options.get('dataset_name') == job.dataset_name and is_known:
    return
  names = recorded.get('class_names')
  if not names:
    offset = options.get('labels_offset', 0)
    names = dataset_factory.class_names(
      options['dataset_name'],
      pathlib.Path(data) if data else None,
      count + offset,
    )[offset:]
  for label, (one, other) in enumerate(zip(names, class_names, strict=False)):
    if one != other:
      raise UserError(
        f'{teacher} was trained on {options["dataset_name"]}, whose class '
        f'{label} is {one!r}, not {other!r}: take one of the same classes.'
      )


def _check_images(
  job: TrainJob, recorded: Mapping[str, Any], channels: int, image_size: int
) -> None:
  """Raises UserError unless teacher and student take the same images."""
  options = recorded['options']
  own = str(get_spec(options['preprocessing_name']))
  for flag, theirs, wanted in (
    ('--preprocessing_name', own, job.preprocessing),
    ('--train_image_size', options['train_image_size'], image_size),
    ('--use_grayscale', recorded.get('channels', channels) == 1, channels == 1),
  ):
    if theirs != wanted:
      raise UserError(
        f'The teacher, {job.teacher_checkpoint}, was trained with '
        f'{flag}={theirs}, and would see the images of {flag}={wanted}: both '
        f'must be the same; set {flag}={theirs}, or take another teacher.'
      )
