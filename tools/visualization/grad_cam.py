"""Grad-CAM of a trained network, and the spatial gates of its attention.

Grad-CAM: visual explanations from deep networks via gradient-based
localization, Selvaraju et al., 2017: https://arxiv.org/abs/1610.02391
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np

from deployment import devices
from engine.checkpoints import restore
from engine.config.jobs import VisualizeJob
from engine.config.resolve import Setup
from errors import UserError
from nets.attention import attend
from registry import unknown
from tf_compat import tf


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
  """Prediction, Grad-CAM and spatial gates of an image.

  Attributes:
    label: the class that Grad-CAM explains.
    probabilities: float [classes].
    grad_cam: float [h, w], at least 0.
    gates: attention point -> float [h, w], in the order of the network.
  """

  label: int
  probabilities: np.ndarray
  grad_cam: np.ndarray
  gates: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedImage:
  """An image and its explanation.

  Attributes:
    name: name of the file, or number of the record in its split.
    image: the network's input as float [H, W, 1 or 3] in [0, 1].
    truth: name of the record's class; None if it is unknown.
    explained: name of the class that Grad-CAM explains.
    explanation: prediction, Grad-CAM and spatial gates.
  """

  name: str
  image: np.ndarray
  truth: str | None
  explained: str
  explanation: Explanation

  @property
  def probability(self) -> float:
    """Probability of the explained class."""
    return float(self.explanation.probabilities[self.explanation.label])


class GradCam:
  """A network for inference that explains images; closes its session on exit.

  Attributes:
    gates: attention point -> height and width of its spatial gate.
  """

  def __init__(
    self, setup: Setup[VisualizeJob], end_point: str | None = None
  ) -> None:
    """Builds the graph.

    Args:
      setup: the resolved job.
      end_point: the feature map for Grad-CAM; None for the last one.

    Raises:
      UserError: if no feature map has that name, or the logits do not depend
        on it.
    """
    self._setup = setup
    self._graph = tf.Graph()
    with self._graph.as_default():
      self._build(end_point)
    self._session = tf.Session(
      setup.job.master,
      graph=self._graph,
      config=devices.session_config(xla=setup.job.xla, single_images=True),
    )

  def __enter__(self) -> GradCam:
    return self

  def __exit__(self, *error: object) -> None:
    self._session.close()

  def restore(self, checkpoint: str) -> None:
    """Restores the weights, or their moving averages, as evaluation does."""
    with self._graph.as_default():
      job = self._setup.job
      restore.restore_for_inference(
        self._session,
        job.model_name,
        checkpoint,
        bool(job.moving_average_decay),
      )

  @property
  def gates(self) -> dict[str, tuple[int, int]]:
    return {
      name: tuple(gate.shape.as_list()[1:3])
      for name, gate in self._gates.items()
    }

  def explain(self, image: np.ndarray, label: int | None = None) -> Explanation:
    """Computes the prediction, Grad-CAM and gates of an image.

    Args:
      image: the network's input, float [H, W, C].
      label: the class that Grad-CAM explains; None for the predicted one.
    """
    feed: dict[tf.Tensor, np.ndarray | int] = {self._images: image[np.newaxis]}
    probabilities, gates = self._session.run(
      (self._probabilities, self._gates), feed
    )
    if label is None:
      label = int(probabilities[0].argmax())
    feed[self._label] = label
    return Explanation(
      label=label,
      probabilities=probabilities[0],
      grad_cam=self._session.run(self._grad_cam, feed)[0],
      # Most gates have one channel; others are shown by their mean.
      gates={name: gate[0].mean(axis=-1) for name, gate in gates.items()},
    )

  def _build(self, end_point: str | None) -> None:
    """Builds the network, Grad-CAM and the spatial gates."""
    setup = self._setup
    shape = [1, setup.image_size, setup.image_size, setup.channels]
    self._images = tf.placeholder(tf.float32, shape)
    self._label = tf.placeholder(tf.int32, [])
    logits, end_points = setup.network_fn(is_training=False)(self._images)
    self._probabilities = tf.nn.softmax(logits)
    self._grad_cam = grad_cam(
      logits[:, self._label], _feature_map(end_points, end_point)
    )
    self._gates = _spatial_gates()


def grad_cam(score: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
  """relu(Σ_k mean_space(∂score/∂features_k) · features_k), [N, H, W].

  Args:
    score: the class's logit, before the softmax, [N].
    features: a feature map, [N, H, W, C].

  Raises:
    UserError: if the score does not depend on the features.
  """
  (gradient,) = tf.gradients(score, features)
  if gradient is None:
    raise UserError(
      f'The logits do not depend on {features.op.name}: choose an --end_point '
      'that they are computed from.'
    )
  weights = tf.reduce_mean(gradient, [1, 2], keepdims=True)
  return tf.nn.relu(tf.reduce_sum(weights * features, 3))


def _feature_map(
  end_points: Mapping[str, tf.Tensor], name: str | None
) -> tf.Tensor:
  """Returns the feature map called `name`, or the one before the classifier."""
  if name is None:
    return tf.get_collection(attend.LAST_MAP)[-1]
  maps = {n: net for n, net in end_points.items() if net.shape.rank == 4}
  if name not in maps:
    raise UserError(unknown('end point', name, maps))
  return maps[name]


def _spatial_gates() -> dict[str, tf.Tensor]:
  """Returns attention point -> gate [N, H, W, 1 or C] that varies over space.

  The two gates of coordinate attention, one over rows and one over columns of
  the same feature map, count as one: their product.
  """
  gates = tf.get_collection(attend.GATES)
  spatial = {_point(g): g for g in gates if _is_spatial(*g.shape[1:])}
  for rows, columns in itertools.pairwise(gates):
    if _is_line(*rows.shape[1:3]) and _is_line(*columns.shape[2:0:-1]):
      spatial[_point(rows)] = rows * columns
  return spatial


def _is_spatial(height: int, width: int, depth: int) -> bool:
  """Whether a gate has a value for each position; a 1 x 1 map has only one."""
  return depth == 1 or (height > 1 and width > 1)


def _is_line(length: int, breadth: int) -> bool:
  """Whether a gate varies along one side only."""
  return length > 1 and breadth == 1


def _point(gate: tf.Tensor) -> str:
  """'resnet_v1_50/block1/…/cbam_block/sp_at/gate' -> 'block1/…/sp_at'."""
  name = '/'.join(gate.op.name.split('/')[1:])
  return name.removesuffix('/gate').removesuffix('/rows')
