"""Weights of other projects as checkpoints, with the job.json they need."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import re
import tempfile
from typing import Any

from datasets import dataset_factory
from datasets import manifest as manifests
from datasets.dataset import Dataset
from datasets.dataset_factory import DATASETS
from engine import console
from engine.checkpoints import store
from engine.config import job_file
from engine.config.jobs import ImportJob, TrainJob
from errors import UserError
from weights import convert, proof, sources
from weights.convert import Converted

UNKNOWN = 'unknown'
# Folder of the cache.
_CONVERTED = 'converted'


@dataclasses.dataclass(frozen=True)
class Import:
  """An imported checkpoint.

  Attributes:
    converted: what it was converted from.
    job: the job in its job.json.
    checkpoint: its path.
    difference: largest difference of a logit from the other project's, as a
      fraction of the largest logit; None if they were not compared.
  """

  converted: Converted
  job: TrainJob
  checkpoint: str
  difference: float | None


def import_weights(job: ImportJob) -> Import:
  """Writes a checkpoint and a job.json; nothing is left if that fails.

  Args:
    job: the source and the output folder.

  Raises:
    UserError: if the output folder is not empty, or the source cannot be
      converted, or computes something else than in the other project.
  """
  # A link or '.' cannot be replaced, what it stands for can.
  output = pathlib.Path(os.path.realpath(job.output_dir or ''))
  _check_empty(output)
  _check_no_run(job.weights or '')
  dataset = _find_dataset(job)
  converted = convert.convert(job.weights or '', job.model_name, job.image_size)
  train_job, facts = _describe(job, converted, dataset)
  difference = proof.difference(converted) if job.compare_logits else None
  output.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(
    prefix=f'.{output.name}.', dir=output.parent
  ) as name:
    folder = pathlib.Path(name, 'new')
    folder.mkdir()
    checkpoint = store.write(converted.values, folder, step=0)
    job_file.write(train_job, facts, folder)
    # Another process may have written there meanwhile.
    _check_empty(output)
    if output.is_dir():
      output.rmdir()
    folder.rename(output)
  path = os.path.join(job.output_dir or '', os.path.basename(checkpoint))
  return Import(converted, train_job, path, difference)


def _check_empty(output: pathlib.Path) -> None:
  """Raises UserError unless a folder is empty or does not exist."""
  if output.exists() and not output.is_dir():
    raise UserError(f'{output} is a file: choose another --output_dir.')
  if output.is_dir() and any(output.iterdir()):
    raise UserError(
      f'{output} is not empty: choose another --output_dir, or delete it.'
    )


def _check_no_run(weights: str) -> None:
  """Raises UserError for a checkpoint of a run folder, which has a job.json."""
  checkpoint = convert.CHECKPOINT_FILE.sub('', weights)
  recorded = os.path.join(os.path.dirname(checkpoint), 'job.json')
  if os.path.isfile(f'{checkpoint}.index') and os.path.isfile(recorded):
    raise UserError(
      f'{weights} is of a run that this project wrote, and need not be imported: '
      'pass it by --checkpoint_path.'
    )


def _find_dataset(job: ImportJob) -> Dataset | None:
  """Returns the evaluation split in --dataset_dir; None if that is not set."""
  if not job.dataset_dir:
    return None
  manifest = manifests.read(pathlib.Path(job.dataset_dir))
  name = job.dataset_name or (manifest.name if manifest else 'imagenet')
  return dataset_factory.get_dataset(name, None, job.dataset_dir)


def _describe(
  job: ImportJob, converted: Converted, dataset: Dataset | None
) -> tuple[TrainJob, dict[str, Any]]:
  """Returns the job that the checkpoint belongs to, and facts for job.json."""
  labels_offset = 0
  dataset_name = dataset.name if dataset else job.dataset_name
  if converted.num_classes in convert.IMAGENET_CLASSES:
    dataset_name = dataset_name or 'imagenet'
    if dataset_name == 'imagenet':
      labels_offset = 1001 - converted.num_classes
  dataset_dir = job.dataset_dir and os.path.abspath(job.dataset_dir)
  facts: dict[str, Any] = {
    'num_classes': converted.num_classes,
    'channels': 3,
    'imported': {'source': converted.source, 'origin': converted.origin},
  }
  if converted.class_names:
    facts['class_names'] = list(converted.class_names)
  train_job = TrainJob(
    train_dir=os.path.abspath(job.output_dir or ''),
    model_name=converted.network,
    attention_module=converted.attention,
    padding=converted.padding,
    preprocessing_name=job.preprocessing_name or converted.preprocessing,
    train_image_size=converted.image_size,
    dataset_name=dataset_name or UNKNOWN,
    dataset_dir=dataset_dir,
    labels_offset=labels_offset,
  )
  train_job = dataclasses.replace(
    train_job, preprocessing_name=train_job.preprocessing
  )
  if dataset:
    _check_classes(train_job, dataset.num_classes, converted)
  elif train_job.dataset_name in DATASETS:
    spec = DATASETS[train_job.dataset_name]
    _check_classes(train_job, spec.num_classes, converted)
  return train_job, facts


def _check_classes(
  job: TrainJob, num_classes: int, converted: Converted
) -> None:
  """Raises UserError if a data set has other classes than the weights."""
  num_classes -= job.labels_offset
  if num_classes != converted.num_classes:
    where = f' in {job.dataset_dir}' if job.dataset_dir else ''
    raise UserError(
      f'{job.dataset_name}{where} has {num_classes} classes, {converted.source} '
      f'{converted.num_classes}: omit --dataset_name and --dataset_dir, or set '
      'them to the data the weights were trained on.'
    )


def checkpoint_path(path: str, model_name: str | None = None) -> str:
  """Returns the folder of a checkpoint, which may have to be imported first.

  Args:
    path: value of --checkpoint_path: a checkpoint or a folder, which is
      returned as it is, or a source of weights.
    model_name: the network; None recognizes it.
  """
  if not sources.is_source(path):
    return path
  folder = sources.cache_folder() / _CONVERTED / _cache_name(path)
  if folder.is_dir():
    return str(folder)
  with sources.locked_folder(_CONVERTED):
    # Another process may have imported it meanwhile.
    if not folder.is_dir():
      console.say(f'Importing {path} into {folder}.')
      job = ImportJob(
        weights=path, model_name=model_name, output_dir=str(folder)
      )
      import_weights(job)
  return str(folder)


def _cache_name(source: str) -> str:
  """Returns the name of a source's folder, which changes with its content.

  It is the same on all machines that train together.
  """
  if not os.path.isfile(source):
    return re.sub(r'[^\w.-]+', '_', source)
  digest = hashlib.sha256()
  # What is beside timm's weights says how to import them.
  weights = pathlib.Path(source)
  beside = weights.with_name('config.json')
  for path in [weights, beside] if beside.is_file() else [weights]:
    with path.open('rb') as file:
      while block := file.read(1 << 20):
        digest.update(block)
  return f'{weights.name}-{digest.hexdigest()[:12]}'
