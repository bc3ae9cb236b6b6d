"""What classifies images: the network of a checkpoint, or an exported model."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

import files
from deployment import devices
from engine.checkpoints import restore as restoring
from engine.checkpoints import store
from engine.config import resolve
from engine.config.jobs import EXPORT_FORMATS, PredictJob
from errors import UserError
from nets import features, folding
from preprocessing.preprocessing_factory import Preprocessing, get_preprocessing
from tf_compat import tf, without_autograph
from tools.export import output, runtimes, samples
from tools.prediction.images import Images

# The files of an export, best for this project first.
_FILES = 'saved_model', 'model.onnx', 'model.tflite'
_KINDS = {'.onnx': 'onnx', '.tflite': 'tflite'}
# Options that say how to run an exported model, not which network it is.
_OF_EXPORTED = frozenset(
  {'batch_size', 'checkpoint_path', 'images', 'output', 'sort_into', 'top'}
)
_FACTS = {
  'class_names': [str],
  'preprocessing_name': str,
  'use_grayscale?': bool,
  'fast_preprocessing?': bool,
  'image_size': int,
  'channels': int,
}


class Batch(NamedTuple):
  """The outputs of N images.

  Attributes:
    numbers: int [N], which images these are.
    labels: int [N, top], classes, best first.
    probabilities: float [N, top], of these classes.
    features: float [N, D], what the classifier takes; empty if not asked for.
  """

  numbers: np.ndarray
  labels: np.ndarray
  probabilities: np.ndarray
  features: np.ndarray


class Model(Protocol):
  """A trained network that classifies images.

  Attributes:
    path: the checkpoint or the exported file.
    class_names: names by label.
  """

  path: str
  class_names: Sequence[str]

  def batches(self, images: Images) -> Iterator[Batch]:
    """Yields the outputs of images, in their order."""


def load(job: PredictJob, explicit: Collection[str]) -> Model:
  """Returns the model that --checkpoint_path names.

  Args:
    job: options of predict.py.
    explicit: the options set by flags.

  Raises:
    UserError: for wrong input.
  """
  exported = _exported_file(job.checkpoint_path)
  if exported is None:
    return _Checkpoint(job, explicit)
  return _Exported(exported, job, explicit)


class _Checkpoint:
  """The network of a checkpoint."""

  def __init__(self, job: PredictJob, explicit: Collection[str]):
    self._setup = setup = resolve.prediction(job, explicit)
    self.path = store.find(setup.job.checkpoint_path)
    self.class_names: Sequence[str] = setup.class_names

  def batches(self, images: Images) -> Iterator[Batch]:
    """Yields the outputs of images, in their order."""
    job = self._setup.job
    with tf.Graph().as_default(), _session() as session:
      iterator, outputs, fill = self._build(images)
      restoring.restore_for_inference(
        session, job.model_name, self.path, bool(job.moving_average_decay)
      )
      session.run(fill)
      for values in _run(session, iterator, outputs, images, job.batch_size):
        yield Batch(*values)

  def _build(
    self, images: Images
  ) -> tuple[tf.data.Iterator, Sequence[tf.Tensor], tf.Operation]:
    """Builds the graph: its input, the outputs, and what folds batch norm."""
    setup, job = self._setup, self._setup.job
    preprocess = get_preprocessing(
      job.preprocessing,
      use_grayscale=job.use_grayscale,
      fast=job.fast_preprocessing,
    )
    shape = setup.image_size, setup.image_size, setup.channels
    inputs = _inputs(images, preprocess, shape, job.batch_size)
    iterator = tf.data.make_initializable_iterator(inputs)
    numbers, pixels = iterator.get_next()
    logits, _ = setup.network_fn(is_training=False)(pixels)
    logits, fill = folding.fold(pixels, logits)
    # By logits, since the softmax of low ones is 0 and zeros have no order.
    best = tf.nn.top_k(logits, min(job.top, setup.num_classes))
    shares = tf.gather(tf.nn.softmax(logits), best.indices, batch_dims=1)
    vectors = (
      features.of_logits(logits)
      if job.embeddings
      else tf.zeros([tf.size(numbers), 0])
    )
    return iterator, (numbers, best.indices, shares, vectors), fill


class _Exported:
  """A file of export_model.py."""

  def __init__(
    self, path: pathlib.Path, job: PredictJob, explicit: Collection[str]
  ):
    self.path, self._job = str(path), job
    self._facts = _facts(path)
    self.class_names: Sequence[str] = self._facts['class_names']
    if job.embeddings:
      raise UserError(
        f'--embeddings needs a checkpoint: {path} returns only probabilities.'
      )
    if others := sorted({*explicit} - _OF_EXPORTED):
      raise UserError(
        f'--{others[0]} has no effect on the exported model {path}, which holds '
        'its network and its preprocessing: omit it.'
      )

  def batches(self, images: Images) -> Iterator[Batch]:
    """Yields the outputs of images, in their order."""
    facts = self._facts
    preprocess = get_preprocessing(
      facts['preprocessing_name'],
      use_grayscale=facts.get('use_grayscale', False),
      fast=facts.get('fast_preprocessing', False),
    )
    side = facts['image_size']
    shape = side, side, facts['channels']
    run = _runtime(self.path)
    with tf.Graph().as_default(), _session() as session:
      fit = samples.only_fit(preprocess)
      inputs = _inputs(images, fit, shape, self._job.batch_size)
      iterator = tf.data.make_initializable_iterator(inputs)
      batches = _run(
        session, iterator, iterator.get_next(), images, self._job.batch_size
      )
      for numbers, pixels in batches:
        yield Batch(
          numbers, *self._best(run(pixels)), np.empty((len(numbers), 0))
        )

  def _best(self, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the best labels [N, top] and their probabilities."""
    ranked = np.argsort(-probabilities, axis=1, kind='stable')
    best = ranked[:, : self._job.top]
    return best, np.take_along_axis(probabilities, best, 1)


def _exported_file(path: str) -> pathlib.Path | None:
  """Returns the exported model that a path names, or None if it names none.

  Args:
    path: the folder of an export, its saved_model or what that holds, or a file
      of ONNX or TFLite.

  Raises:
    UserError: if the folder of an export holds no model.
  """
  named = pathlib.Path(path)
  if named.suffix.lower() in _KINDS and named.is_file():
    return named
  if (named / 'saved_model.pb').is_file():
    return named
  if not (named / output.MARK).is_file():
    newest = _newest_saved_model(named)
    return newest if named.name == 'saved_model' else None
  found = [
    _newest_saved_model(named / name) if name == 'saved_model' else named / name
    for name in _FILES
  ]
  for file in found:
    if file and file.exists():
      return file
  raise UserError(
    f'{path} holds an {output.MARK}, but no model ({", ".join(EXPORT_FORMATS)}): '
    'export it again by export_model.py.'
  )


def _newest_saved_model(folder: pathlib.Path) -> pathlib.Path | None:
  """Returns saved_model/<step> with the largest step."""
  steps = [
    p for p in folder.glob('*/saved_model.pb') if p.parent.name.isdigit()
  ]
  newest = max(steps, key=lambda path: int(path.parent.name), default=None)
  return newest and newest.parent


def _facts(path: pathlib.Path) -> dict:
  """Returns what export.json, beside or above a model, says of it.

  Raises:
    UserError: if there is none, or it is damaged.
  """
  for folder in list(path.absolute().parents)[:2]:
    if (folder / output.MARK).is_file():
      return files.read_json(
        folder / output.MARK, _FACTS, 'Export the model again.'
      )
  raise UserError(
    f'{path} has no {output.MARK} beside it, which says how to preprocess images '
    'and names the classes: use the whole folder that export_model.py wrote.'
  )


def _runtime(path: str) -> runtimes.Run:
  """Returns the function pixels [N, H, W, C] -> probabilities of a file."""
  kind = _KINDS.get(os.path.splitext(path)[1].lower())
  if kind is None:
    return _saved_model(path)
  try:
    run, _ = runtimes.LOADERS[kind](path)
  except ImportError as error:
    raise UserError(
      f'{path} needs {error.name}, which this Python lacks: run '
      "'bash scripts/setup.sh export'."
    ) from error
  return run


def _saved_model(path: str) -> runtimes.Run:
  """Returns the function of a SavedModel's signature `pixels`."""
  with tf.Graph().as_default():
    session = _session()
    graph = tf.saved_model.load(session, [tf.saved_model.SERVING], path)
  signature = graph.signature_def['pixels']
  pixels = signature.inputs['pixels'].name
  probabilities = signature.outputs['probabilities'].name
  return lambda images: session.run(probabilities, {pixels: images})


def _session() -> tf.Session:
  return tf.Session(config=devices.session_config(cpu_only=False))


@without_autograph
def _inputs(
  images: Images,
  preprocess: Preprocessing,
  shape: tuple[int, int, int],
  batch_size: int,
) -> tf.data.Dataset:
  """Returns batches of number and network input, as evaluation makes them."""

  def transform(number, encoded):
    return number, preprocess.from_encoded(encoded, *shape)

  some = tf.TensorShape([None])
  parts = tf.data.Dataset.from_generator(
    images, (tf.int64, tf.string), (some, some)
  )
  # The next part is read while this one is decoded.
  single = parts.prefetch(1).unbatch()
  inputs = single.map(transform, num_parallel_calls=tf.data.AUTOTUNE)
  return inputs.batch(batch_size).prefetch(2)


def _run(
  session: tf.Session,
  iterator: tf.data.Iterator,
  outputs: Sequence[tf.Tensor],
  images: Images,
  batch_size: int,
) -> Iterator[Sequence[np.ndarray]]:
  """Yields the outputs of all batches, of which the first is the numbers.

  Where an image does not decode, the batch is read again without it.
  """
  session.run(iterator.initializer)
  while True:
    try:
      values = session.run(outputs)
    except tf.errors.OutOfRangeError:
      return
    except tf.errors.InvalidArgumentError:
      if not images.check_next(batch_size):
        raise
      session.run(iterator.initializer)
    else:
      images.classified(values[0])
      yield values
