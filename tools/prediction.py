"""Classifies image files: predict.py."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tabulate

import files
from datasets import photo
from datasets.example_features import UnusableError
from deployment import devices
from engine import console
from engine.checkpoints import restore as restoring
from engine.checkpoints import store
from engine.config import resolve
from engine.config.jobs import PredictJob
from engine.config.resolve import Setup
from errors import UserError
from preprocessing.preprocessing_factory import get_preprocessing
from tf_compat import tf, without_autograph
from tools import image_files

# Photos that are checked while others are classified.
_WAITING = 256


@dataclasses.dataclass(frozen=True)
class Prediction:
  """The best classes of an image.

  Attributes:
    file: the image's path, as it was named.
    labels: classes, best first.
    names: their names.
    probabilities: their probabilities.
  """

  file: str
  labels: tuple[int, ...]
  names: tuple[str, ...]
  probabilities: tuple[float, ...]

  def row(self) -> dict[str, Any]:
    """Returns file, label_1, name_1, probability_1, label_2, …."""
    row: dict[str, Any] = {'file': self.file}
    ranked = zip(self.labels, self.names, self.probabilities, strict=True)
    for rank, (label, name, share) in enumerate(ranked, start=1):
      row[f'label_{rank}'] = label
      row[f'name_{rank}'] = name
      row[f'probability_{rank}'] = round(share, 6)
    return row


@dataclasses.dataclass
class Summary:
  """What was classified.

  Attributes:
    predictions: of each image that could be read, in the order of the files.
    failed: path and problem of each other one.
  """

  predictions: list[Prediction]
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
  write = _writer(job.output)
  setup = resolve.prediction(job, explicit)
  checkpoint = store.find(setup.job.checkpoint_path)
  paths = image_files.find(job.images or '')
  for flag in ('output', 'sort_into'):
    if getattr(job, flag):
      folder = os.path.dirname(getattr(job, flag))
      resolve.check_writable(folder, f'--{flag}')
  if job.sort_into:
    _check_empty(pathlib.Path(job.sort_into))
  summary = Summary([], [])
  console.say(f'Classifying {len(paths)} image(s) by {checkpoint}.')
  with console.bar(len(paths), unit='image') as bar:
    for prediction in _predictions(setup, checkpoint, paths, summary.failed):
      summary.predictions.append(prediction)
      bar.update()
  if job.sort_into:
    _sort(summary.predictions, pathlib.Path(job.sort_into))
  write(summary.predictions)
  for flag in ('output', 'sort_into'):
    if target := getattr(job, flag):
      console.say(f'Written: {target}.')
  for path, problem in summary.failed:
    console.say(f'Not classified: {path}: {problem}.')
  if summary.failed:
    console.say(f'{len(summary.failed)} of {len(paths)} images failed.')
  return summary


def _predictions(
  setup: Setup[PredictJob],
  checkpoint: str,
  paths: Sequence[pathlib.Path],
  failed: list[tuple[str, str]],
) -> Iterator[Prediction]:
  """Yields the predictions, batch by batch; adds images that cannot be read."""
  job = setup.job
  with tf.Graph().as_default() as graph:
    batches = _batches(setup, _readable(paths, failed))
    iterator = tf.data.make_initializable_iterator(batches)
    index, images = iterator.get_next()
    logits, _ = setup.network_fn(is_training=False)(images)
    best = tf.nn.top_k(logits, min(job.top, setup.num_classes))
    shares = tf.gather(tf.nn.softmax(logits), best.indices, batch_dims=1)
    mapping = restoring.evaluating(
      job.model_name, checkpoint, bool(job.moving_average_decay)
    )
    restore = restoring.restorer(mapping)
    outputs = index, best.indices, shares
    with tf.Session(
      graph=graph, config=devices.session_config(cpu_only=False)
    ) as session:
      restore(session, checkpoint)
      session.run(iterator.initializer)
      with contextlib.suppress(tf.errors.OutOfRangeError):
        while True:
          for number, labels, values in zip(*session.run(outputs), strict=True):
            yield _named(str(paths[number]), labels, values, setup.class_names)


def _named(
  path: str, labels: np.ndarray, shares: np.ndarray, names: Sequence[str]
) -> Prediction:
  """Returns a prediction with the names of its classes."""
  return Prediction(
    path,
    tuple(map(int, labels)),
    tuple(names[label] for label in labels),
    tuple(map(float, shares)),
  )


def _readable(
  paths: Sequence[pathlib.Path], failed: list[tuple[str, str]]
) -> Callable[[], Iterator[tuple[int, bytes]]]:
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


@without_autograph
def _batches(
  setup: Setup[PredictJob], images: Callable[[], Iterable[tuple[int, bytes]]]
) -> tf.data.Dataset:
  """Returns batches of number and network input, as evaluation makes them."""
  job, size = setup.job, setup.image_size
  preprocess = get_preprocessing(
    job.preprocessing,
    use_grayscale=job.use_grayscale,
    fast=job.fast_preprocessing,
  )

  def transform(number, encoded):
    image = preprocess.from_encoded(encoded, size, size, setup.channels)
    return number, image

  dataset = tf.data.Dataset.from_generator(
    images, (tf.int64, tf.string), (tf.TensorShape([]), tf.TensorShape([]))
  )
  dataset = dataset.map(
    transform, num_parallel_calls=tf.data.experimental.AUTOTUNE
  )
  return dataset.batch(job.batch_size).prefetch(2)


def _check_empty(folder: pathlib.Path) -> None:
  """Raises UserError unless links can be sorted into a folder of their own."""
  if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
    raise UserError(
      f'--sort_into={folder} exists and is not an empty folder: delete it, or '
      'choose another one.'
    )


def _sort(predictions: Sequence[Prediction], folder: pathlib.Path) -> None:
  """Links each image into a folder of its best class."""
  for prediction in predictions:
    source = pathlib.Path(prediction.file).absolute()
    name = prediction.names[0].replace(os.sep, '_')
    target = folder / name / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while os.path.lexists(target) and not target.samefile(source):
      number += 1
      target = target.with_name(f'{source.stem}-{number}{source.suffix}')
    if not os.path.lexists(target):
      target.symlink_to(source)


def _writer(output: str | None) -> Callable[[Sequence[Prediction]], None]:
  """Returns the function that writes predictions, by the file's ending."""
  if output is None:
    return _print
  path = pathlib.Path(output)
  writers = {'.csv': _write_csv, '.json': _write_json, '.jsonl': _write_jsonl}
  if path.suffix.lower() not in writers:
    raise UserError(
      f'--output={output}: its ending is one of {", ".join(writers)}.'
    )
  write = writers[path.suffix.lower()]
  return lambda predictions: write(predictions, path)


def _print(predictions: Sequence[Prediction]) -> None:
  rows = [
    [p.file, *(f'{name} {share:.3f}' for name, share in
               zip(p.names, p.probabilities, strict=True))]
    for p in predictions
  ]  # fmt: skip
  if rows:
    headings = ['file', *map(str, range(1, len(rows[0])))]
    print(tabulate.tabulate(rows, headings))


def _write_csv(predictions: Sequence[Prediction], path: pathlib.Path) -> None:
  with files.replacing_text(path) as file:
    rows = [prediction.row() for prediction in predictions]
    writer = csv.DictWriter(
      file, list(rows[0]) if rows else ['file'], lineterminator='\n'
    )
    writer.writeheader()
    writer.writerows(rows)


def _write_json(predictions: Sequence[Prediction], path: pathlib.Path) -> None:
  files.write_json(path, [prediction.row() for prediction in predictions])


def _write_jsonl(predictions: Sequence[Prediction], path: pathlib.Path) -> None:
  files.write_text(
    path, ''.join(json.dumps(each.row()) + '\n' for each in predictions)
  )
