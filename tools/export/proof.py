"""Compares exported files with the checkpoint, each in its own runtime."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

from engine.config.jobs import ExportJob
from engine.config.resolve import Setup
from errors import UserError
from tools.export import runtimes, samples
from tools.export.network import Network

# Largest difference of a probability in float32, computed in another order.
TOLERANCE = 1e-4
# Runs a script with the packages of this process: -I leaves out those of the user.
_RUN = (
  'import runpy, sys; sys.path[:] = sys.argv[2:]; '
  'runpy.run_path(sys.argv[1], run_name="__main__")'
)
RUNTIMES = {
  'saved_model': 'TensorFlow',
  'tflite': 'LiteRT',
  'onnx': 'ONNX Runtime',
}


@dataclasses.dataclass(frozen=True)
class Expected:
  """What the checkpoint computes, of the images in a folder.

  Attributes:
    folder: holds the images, as runtimes.py reads them.
    labels: int64 [N].
    probabilities: float32 [N, classes].
    milliseconds: median time of the network for one image.
  """

  folder: pathlib.Path
  labels: np.ndarray
  probabilities: np.ndarray
  milliseconds: float


@dataclasses.dataclass(frozen=True)
class Row:
  """How a file compares with the checkpoint.

  Attributes:
    file: its path in the output folder.
    quantized: 'float16', 'int8' or None.
    bytes: its size.
    max_difference: largest difference of a probability.
    agreement: share of images whose best class is the checkpoint's.
    accuracy: share of images whose best class is the label.
    milliseconds: median time for one image.
  """

  file: str
  quantized: str | None
  bytes: int
  max_difference: float
  agreement: float
  accuracy: float
  milliseconds: float


def expect(
  setup: Setup[ExportJob], network: Network, folder: pathlib.Path
) -> Expected:
  """Runs the checkpoint on records of the split, and keeps their images.

  Args:
    setup: the export.
    network: the checkpoint's.
    folder: existing folder for the images.

  Raises:
    UserError: if a record is bad, or there is none; if training diverged.
  """
  count = min(setup.job.num_images, setup.dataset.num_records)
  side = setup.image_size
  pixels = np.lib.format.open_memmap(
    folder / 'pixels.npy', 'w+', np.float32, (count, side, side, setup.channels)
  )
  labels, probabilities = [], []
  lengths: list[int] = []
  first: list[np.ndarray] = []
  with open(folder / 'encoded.bin', 'wb') as file:
    for batch in samples.read(setup, setup.dataset, count):
      pixels[len(lengths) : len(lengths) + len(batch.labels)] = batch.pixels
      lengths += map(len, batch.encoded)
      file.writelines(batch.encoded)
      labels.append(batch.labels)
      probabilities.append(network.probabilities(batch.images))
      first.extend(batch.images[: runtimes.SINGLE - len(first)])
  if not lengths:
    raise UserError(f'{setup.dataset.name}/{setup.dataset.split} is empty.')
  shares = np.concatenate(probabilities)
  check_finite(shares, setup.checkpoint or '')
  pixels.flush()
  np.save(folder / 'lengths.npy', lengths)
  milliseconds = []
  for image in first:
    began = time.perf_counter()
    network.probabilities(image[np.newaxis])
    milliseconds.append(1000 * (time.perf_counter() - began))
  return Expected(
    folder,
    np.concatenate(labels),
    shares,
    float(np.median(milliseconds)),
  )


def check_finite(probabilities: np.ndarray, source: str) -> None:
  """Raises UserError if a model computes what is no probability."""
  if not np.isfinite(probabilities).all():
    raise UserError(
      f'{source} computes probabilities that are not numbers: its training '
      'diverged, so choose an earlier checkpoint.'
    )


def checkpoint_row(checkpoint: str, expected: Expected) -> Row:
  """Returns the row of the checkpoint itself."""
  parts = pathlib.Path(checkpoint).parent.glob(
    f'{os.path.basename(checkpoint)}.*'
  )
  return _row(
    'checkpoint',
    None,
    sum(part.stat().st_size for part in parts),
    [expected.probabilities],
    expected,
    expected.milliseconds,
  )


def run(
  kind: str,
  path: pathlib.Path,
  expected: Expected,
  quantized: str | None = None,
) -> Row:
  """Runs a file in a fresh process, without this project.

  Args:
    kind: the format.
    path: the file, or the folder of a SavedModel.
    expected: what the checkpoint computes.
    quantized: how it is quantized.

  Raises:
    UserError: if its runtime cannot run it.
  """
  script = pathlib.Path(runtimes.__file__)
  project = script.parents[2]
  paths = [p for p in sys.path if p and pathlib.Path(p).resolve() != project]
  result = subprocess.run(
    [sys.executable, '-I', '-c', _RUN, script, *paths],
    input='\n'.join([kind, str(path), str(expected.folder)]),
    env=_environment(),
    capture_output=True,
    text=True,
    errors='replace',
    check=False,
  )
  if result.returncode:
    lines = result.stderr.strip().splitlines() or ['no message']
    remedy = f'leave {kind} out of --formats'
    if quantized:
      remedy = f'omit --quantize={quantized}, or {remedy}'
    raise UserError(
      f'{RUNTIMES[kind]} cannot run {path.name}: {lines[-1].rstrip(".")}. To '
      f'export, {remedy}.'
    )
  names = ['probabilities']
  if kind == 'saved_model':
    names.append('probabilities_of_bytes')
  got = [np.load(expected.folder / f'{name}.npy') for name in names]
  milliseconds = np.load(expected.folder / 'milliseconds.npy')
  return _row(
    path.name,
    quantized,
    _size(path),
    got,
    expected,
    float(np.median(milliseconds)),
  )


def _environment() -> dict[str, str]:
  """Returns the environment of a process that computes on the CPU."""
  hidden = {'CUDA_VISIBLE_DEVICES': '-1', 'TF_CPP_MIN_LOG_LEVEL': '3'}
  environment = {**os.environ, **hidden}
  environment.pop('TF_USE_LEGACY_KERAS', None)
  return environment


def _size(path: pathlib.Path) -> int:
  """Returns the bytes of a file, or of a folder."""
  paths = path.rglob('*') if path.is_dir() else [path]
  return sum(each.stat().st_size for each in paths if each.is_file())


def _row(
  file: str,
  quantized: str | None,
  size: int,
  got: list[np.ndarray],
  expected: Expected,
  milliseconds: float,
) -> Row:
  """Compares probabilities with the checkpoint's."""
  best = got[0].argmax(1)
  differences = [np.abs(each - expected.probabilities).max() for each in got]
  return Row(
    file,
    quantized,
    size,
    float(max(differences)),
    float(np.mean(best == expected.probabilities.argmax(1))),
    float(np.mean(best == expected.labels)),
    float(milliseconds),
  )
