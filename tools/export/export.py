"""Exports a checkpoint, and proves that each file computes the same."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
from collections.abc import Collection

import numpy as np
import tabulate

import files
from datasets import dataset_factory
from datasets.dataset import Dataset
from engine import console
from engine.checkpoints import store
from engine.config import job_file, resolve
from engine.config.jobs import EXPORT_FORMATS, ExportJob
from engine.config.resolve import Setup
from engine.evaluation import results
from engine.evaluation.metrics import TOP, Metrics
from engine.evaluation.results import Result
from errors import UserError
from registry import unknown
from tf_compat import tf, versions
from tools.export import card, onnx, output, proof, samples, saved_model, tflite
from tools.export import network as networks
from tools.export.network import Network
from tools.export.proof import Expected, Row

SUMMARY = 'export.json'
_PACKAGES = {
  'saved_model': (),
  'tflite': ('ai_edge_litert',),
  'onnx': ('onnx', 'onnxruntime', 'tf2onnx'),
}
_QUANTIZED = {'float16': ('tflite',), 'int8': ('tflite', 'onnx')}


def export_model(
  job: ExportJob, explicit: Collection[str] = frozenset()
) -> list[Row]:
  """Writes a trained network for other runtimes, or nothing.

  Args:
    job: options of export_model.py.
    explicit: the options set by flags, which win over the checkpoint's job.

  Returns:
    How the checkpoint and each file compare.

  Raises:
    UserError: for wrong input, before anything is computed; if a runtime cannot
      run the network; or if a file computes something else.
  """
  formats = _formats(job)
  target = output.check(job.output_dir, job.overwrite)
  setup = resolve.exporting(job, explicit)
  calibration_set = _calibration_set(setup)
  resolve.check_writable(str(target.parent), '--output_dir')
  with output.replacing(target, job.overwrite) as (folder, work):
    with Network(setup) as network:
      console.say(f'Exporting {setup.checkpoint}.')
      expected = proof.expect(setup, network, work)
      graph_def = network.frozen()
    rows = [proof.checkpoint_row(setup.checkpoint or '', expected)]
    export = _Export(setup, graph_def, folder, expected, rows)
    for name in formats:
      export.write(name)
    if job.quantize:
      export.quantize(formats, calibration_set)
    _describe(setup, expected, rows, folder)
  print(tabulate.tabulate(*card.table(rows)))
  console.say(f'{job.output_dir} holds the model; see its README.md.')
  return rows


@dataclasses.dataclass(frozen=True)
class _Export:
  """An export that is being written."""

  setup: Setup[ExportJob]
  graph_def: tf.GraphDef
  folder: pathlib.Path
  expected: Expected
  rows: list[Row]

  def write(self, name: str) -> None:
    """Writes a format in float32, and compares it with the checkpoint."""
    names = self.setup.class_names
    if name == 'saved_model':
      step = store.global_step(self.setup.checkpoint or '')
      path = self.folder / name / str(step)
      saved_model.write(self.graph_def, self.setup, path)
    elif name == 'tflite':
      path = self.folder / 'model.tflite'
      tflite.write(self.graph_def, names, path)
    else:
      path = self.folder / 'model.onnx'
      onnx.write(self.graph_def, names, path)
    row = self._compare(name, path)
    if not row.max_difference <= proof.TOLERANCE:
      raise UserError(
        f'{proof.RUNTIMES[name]} computes something else: a probability differs '
        f'by {row.max_difference:.1e}, more than {proof.TOLERANCE:g}. Nothing is '
        f'written; leave {name} out of --formats.'
      )

  def quantize(
    self, formats: Collection[str], calibration_set: Dataset | None
  ) -> None:
    """Writes the quantized models."""
    kind, names = self.setup.job.quantize, self.setup.class_names
    images = _calibration(self.setup, calibration_set)
    if 'tflite' in formats:
      path = self.folder / f'model_{kind}.tflite'
      tflite.write(self.graph_def, names, path, kind, images)
      loss = self._loss(self._compare('tflite', path, kind))
      if loss > self.setup.job.max_accuracy_loss:
        raise UserError(
          f'{path.name} loses {loss:.4f} of the accuracy, more than '
          f'--max_accuracy_loss={self.setup.job.max_accuracy_loss:g}. Nothing is '
          'written.'
        )
    if 'onnx' in formats and kind == 'int8':
      path = self.folder / 'model_int8.onnx'
      onnx.write_int8(self.folder / 'model.onnx', names, path, images)
      loss = self._loss(self._compare('onnx', path, kind))
      if loss > self.setup.job.max_accuracy_loss:
        console.say(f'{path.name} is left out: it loses too much accuracy.')
        path.unlink()
        self.rows.pop()

  def _compare(
    self, kind: str, path: pathlib.Path, quantized: str | None = None
  ) -> Row:
    """Runs a file, and adds its row."""
    row = proof.run(kind, path, self.expected, quantized)
    file = path.relative_to(self.folder).as_posix()
    self.rows.append(dataclasses.replace(row, file=file))
    return self.rows[-1]

  def _loss(self, row: Row) -> float:
    """Returns the accuracy that a file loses, and prints it."""
    before = self.rows[0].accuracy
    console.say(
      f'{row.file}: accuracy {row.accuracy:.4f}, {before:.4f} before.'
    )
    return before - row.accuracy


def _formats(job: ExportJob) -> list[str]:
  """Returns the names in --formats.

  Raises:
    UserError: for an unknown one, or one whose packages are missing.
  """
  formats = [name.strip() for name in job.formats.split(',') if name.strip()]
  for name in formats:
    if name not in EXPORT_FORMATS:
      raise UserError(unknown('--formats', name, EXPORT_FORMATS))
  if not formats:
    raise UserError(f'--formats is empty: name {", ".join(EXPORT_FORMATS)}.')
  for name in formats:
    packages = [p for p in _PACKAGES[name] if not importlib.util.find_spec(p)]
    if packages:
      raise UserError(
        f'--formats={name} needs {", ".join(packages)}, which this Python lacks: '
        "run 'bash scripts/setup.sh export', or leave it out of --formats."
      )
  possible = _QUANTIZED.get(job.quantize or '', formats)
  if not {*possible} & {*formats}:
    raise UserError(
      f'--quantize={job.quantize} needs {" or ".join(possible)} in --formats.'
    )
  return list(dict.fromkeys(formats))


def _calibration_set(setup: Setup[ExportJob]) -> Dataset | None:
  """Returns the training records for int8; None if they are not needed."""
  job = setup.job
  if job.quantize != 'int8':
    return None
  return dataset_factory.get_dataset(
    job.dataset_name, 'train', job.dataset_dir or '', job.file_pattern
  )


def _calibration(
  setup: Setup[ExportJob], dataset: Dataset | None
) -> list[np.ndarray]:
  """Returns pixels [N, H, W, C] of training records."""
  if dataset is None:
    return []
  count = setup.job.calibration_images
  batches = samples.read(setup, dataset, count, shuffle=True)
  pixels = [batch.pixels for batch in batches]
  if not pixels:
    raise UserError(
      f'No training record of {dataset.name} can be read, and int8 takes its '
      'ranges from them: convert it again, or take --quantize=float16.'
    )
  return pixels


def _describe(
  setup: Setup[ExportJob],
  expected: Expected,
  rows: list[Row],
  folder: pathlib.Path,
) -> None:
  """Writes export.json and README.md."""
  result = _result(setup, expected)
  recorded = job_file.read(store.folder_of(setup.job.checkpoint_path))
  parameters, multiply_adds = networks.costs(setup)
  content = {
    'checkpoint': os.path.basename(result.checkpoint),
    'global_step': result.global_step,
    'model_name': setup.job.model_name,
    'attention_module': setup.job.attention_module,
    'preprocessing_name': setup.job.preprocessing,
    'use_grayscale': setup.job.use_grayscale,
    'fast_preprocessing': setup.job.fast_preprocessing,
    'image_size': setup.image_size,
    'channels': setup.channels,
    'parameters': parameters,
    'multiply_adds': multiply_adds,
    'dataset': result.dataset,
    'split': result.split,
    'count': result.count,
    'files': [dataclasses.asdict(row) for row in rows],
    'class_names': list(setup.class_names),
    'versions': {
      **versions(),
      **card.package_versions(row.file for row in rows),
    },
  }
  files.write_json(folder / SUMMARY, content)
  text = card.text(content, setup, result, rows, recorded)
  files.write_text(folder / 'README.md', text)


def _result(setup: Setup[ExportJob], expected: Expected) -> Result:
  """Returns the evaluation of the checkpoint on the compared records."""
  metrics = Metrics(setup.num_classes)
  shares: np.ndarray = expected.probabilities.astype(np.float64)
  best = np.argsort(-shares, axis=1, kind='stable')[:, :TOP]
  own = shares[np.arange(len(shares)), expected.labels]
  # A probability of 0 would make the mean loss infinite.
  losses = -np.log(np.maximum(own, np.finfo(np.float32).tiny))
  metrics.update(expected.labels, best, losses, shares)
  return results.summarize(
    metrics,
    checkpoint=setup.checkpoint or '',
    global_step=store.global_step(setup.checkpoint or ''),
    dataset=setup.dataset.name,
    split=setup.dataset.split,
    class_names=setup.class_names,
    images_per_second=1000 / expected.milliseconds,
  )
