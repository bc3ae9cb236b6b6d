"""The network of a checkpoint: its probabilities, and its frozen graph."""

from __future__ import annotations

import inspect

import numpy as np

from deployment import devices
from engine.checkpoints import restore as restoring
from engine.config.jobs import ExportJob
from engine.config.resolve import Setup
from nets import complexity, folding
from preprocessing.preprocessing_factory import Preprocessing, get_preprocessing
from preprocessing.spec import Finish
from tf_compat import tf

# Names of the input and the output of exported graphs.
PIXELS, PROBABILITIES = 'pixels', 'probabilities'
# Input of the network alone, after preprocessing.
IMAGES = 'images'


class Network:
  """The network of a checkpoint for inference, in a session on the CPU.

  Args:
    setup: the export, with its checkpoint.

  Raises:
    UserError: if the checkpoint is of another network.
  """

  def __init__(self, setup: Setup[ExportJob]):
    self._setup = setup
    self._graph = tf.Graph()
    self._session = tf.Session(
      graph=self._graph,
      config=devices.session_config(cpu_only=True, single_images=True),
    )
    with self._graph.as_default():
      self._build()
      restoring.restore_for_inference(
        self._session,
        setup.job.model_name,
        setup.checkpoint or '',
        bool(setup.job.moving_average_decay),
      )

  def __enter__(self) -> Network:
    return self

  def __exit__(self, *error: object) -> None:
    self._session.close()

  def probabilities(self, images: np.ndarray) -> np.ndarray:
    """Returns [N, num_classes] for preprocessed images [N, H, W, C]."""
    return self._session.run(f'{PROBABILITIES}:0', {f'{IMAGES}:0': images})

  def _build(self) -> None:
    """Builds the network, from IMAGES to PROBABILITIES."""
    side = self._setup.image_size
    shape = [None, side, side, self._setup.channels]
    images = tf.placeholder(tf.float32, shape, IMAGES)
    logits, _ = self._setup.network_fn(is_training=False)(images)
    tf.nn.softmax(logits, name=PROBABILITIES)

  def frozen(self) -> tf.GraphDef:
    """Returns the graph from `pixels` to `probabilities`, in constants."""
    # Compiled, it could be converted to no other format.
    finish = inspect.unwrap(preprocessing(self._setup).steps.finish)
    return freeze(self._session, finish)


def freeze(session: tf.Session, finish: Finish) -> tf.GraphDef:
  """Returns a graph from `pixels` to `probabilities`, in constants.

  It has no batch norm: where that cannot be folded, a product and a sum.

  Args:
    session: its graph leads from `images`, float32 [N, H, W, C], to
      `probabilities`.
    finish: turns `pixels`, float32 in [0, 255] of the same shape, to images.
  """
  images, probabilities = (
    session.graph.get_tensor_by_name(f'{name}:0')
    for name in (IMAGES, PROBABILITIES)
  )
  with session.graph.as_default():
    folded, fill = folding.fold(images, probabilities, replace_all=True)
  session.run(fill)
  constants = tf.graph_util.convert_variables_to_constants(
    session, session.graph.as_graph_def(), [folded.op.name]
  )
  with tf.Graph().as_default() as graph:
    pixels = tf.placeholder(tf.float32, images.shape, PIXELS)
    (output,) = tf.import_graph_def(
      constants, {IMAGES: finish(pixels)}, [folded.name], 'network'
    )
    tf.identity(output, PROBABILITIES)
  frozen = tf.graph_util.extract_sub_graph(
    tf.graph_util.remove_training_nodes(
      graph.as_graph_def(), protected_nodes=[PROBABILITIES]
    ),
    [PROBABILITIES],
  )
  frozen.versions.CopyFrom(graph.graph_def_versions)
  return frozen


def preprocessing(setup: Setup[ExportJob]) -> Preprocessing:
  """Returns the preprocessing of evaluation."""
  job = setup.job
  return get_preprocessing(
    job.preprocessing,
    use_grayscale=job.use_grayscale,
    fast=job.fast_preprocessing,
  )


def with_batch(graph_def: tf.GraphDef, size: int | None) -> tf.Graph:
  """Returns a frozen graph whose input has a batch of `size` images."""
  with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name='')
    shape = graph.get_tensor_by_name(f'{PIXELS}:0').shape[1:]
  with tf.Graph().as_default() as graph:
    pixels = tf.placeholder(tf.float32, [size, *shape], PIXELS)
    tf.import_graph_def(graph_def, {PIXELS: pixels}, name='')
  return graph


def costs(setup: Setup[ExportJob]) -> tuple[int, int]:
  """Returns the parameters, and the multiply-adds of one image."""
  side = setup.image_size
  with tf.Graph().as_default():
    image = tf.placeholder(tf.float32, [1, side, side, setup.channels])
    logits, _ = setup.network_fn(is_training=False)(image)
    return complexity.total(complexity.layers(logits))
