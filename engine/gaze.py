"""What a trained network looks at: Grad-CAM, and its attention's spatial gates.

Grad-CAM: visual explanations from deep networks via gradient-based
localization, Selvaraju et al., 2017: https://arxiv.org/abs/1610.02391
"""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np

from deployment import devices
from engine import checkpoints, restoring
from engine.resolve import Setup
from errors import UserError
from nets import nets_factory
from nets.attention import attend
from registry import unknown
from tf_compat import tf


@dataclasses.dataclass(frozen=True, eq=False)
class Gaze:
  """One look at one image.

  Attributes:
    label: the class that Grad-CAM explains.
    probabilities: float [classes].
    grad_cam: float [h, w], at least 0.
    gates: name of a point -> float [h, w], in the order of the network.
  """

  label: int
  probabilities: np.ndarray
  grad_cam: np.ndarray
  gates: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
  """One image and what the network sees in it.

  Attributes:
    name: the file's, or the record's place in the split.
    image: float [H, W, 1 or 3] in [0, 1], as the network is given it.
    truth: the record's class by name; None where nobody knows.
    explained: the class that Grad-CAM explains, by name.
    gaze: what was seen.
  """

  name: str
  image: np.ndarray
  truth: str | None
  explained: str
  gaze: Gaze

  @property
  def probability(self) -> float:
    """Of the class that is explained."""
    return float(self.gaze.probabilities[self.gaze.label])


class Looker:
  """A network for inference with its weights, and the maps it can show.

  Attributes:
    gates: name of a point -> the spatial gate's height and width.
  """

  def __init__(self, setup: Setup, end_point: str | None = None):
    """Builds the graph.

    Args:
      setup: the resolved job.
      end_point: the feature map for Grad-CAM; None for the last one.

    Raises:
      UserError: if that is no feature map on the way to the logits.
    """
    self._setup = setup
    self._graph = tf.Graph()
    with self._graph.as_default():
      self._build(end_point)
    self._session = tf.Session(
      setup.job.master,
      graph=self._graph,
      config=devices.session_config(xla=setup.job.xla),
    )

  def __enter__(self) -> 'Looker':
    return self

  def __exit__(self, *error):
    self._session.close()

  def restore(self, checkpoint: str) -> None:
    """Fills the variables, with moving averages as evaluation does."""
    with self._graph.as_default():
      mapping = restoring.evaluating(self._setup.job, checkpoint)
      checkpoints.restorer(mapping)(self._session, checkpoint)

  @property
  def gates(self) -> dict[str, tuple[int, int]]:
    return {
      name: tuple(gate.shape.as_list()[1:3])
      for name, gate in self._gates.items()
    }

  def look(self, image: np.ndarray, label: int | None = None) -> Gaze:
    """Looks at one image.

    Args:
      image: the network's input, float [H, W, C].
      label: the class to explain; None for the predicted one.
    """
    feed = {self._images: image[np.newaxis]}
    probabilities, gates = self._session.run(
      (self._probabilities, self._gates), feed
    )
    if label is None:
      label = int(probabilities[0].argmax())
    feed[self._label] = label
    return Gaze(
      label=label,
      probabilities=probabilities[0],
      grad_cam=self._session.run(self._grad_cam, feed)[0],
      gates={name: _over_channels(gate[0]) for name, gate in gates.items()},
    )

  def _build(self, end_point: str | None) -> None:
    setup, job = self._setup, self._setup.job
    shape = [1, setup.image_size, setup.image_size, setup.channels]
    self._images = tf.placeholder(tf.float32, shape)
    self._label = tf.placeholder(tf.int32, [])
    network_fn = nets_factory.get_network_fn(
      job.model_name,
      setup.num_classes,
      is_training=False,
      attention_module=job.attention_module,
      attention_placement=job.attention_placement,
    )
    logits, end_points = network_fn(self._images)
    self._probabilities = tf.nn.softmax(logits)
    self._grad_cam = grad_cam(
      logits[:, self._label], _feature_map(end_points, end_point)
    )
    self._gates = _spatial_gates()


def grad_cam(score: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
  """relu(Σ_k mean_space(∂score/∂features_k) · features_k), [N, H, W].

  Args:
    score: of the class, before the softmax, [N].
    features: a feature map, [N, H, W, C].

  Raises:
    UserError: if the score does not depend on the features.
  """
  (gradient,) = tf.gradients(score, features)
  if gradient is None:
    raise UserError(
      f'The logits do not depend on {features.op.name}: name an --end_point on '
      'the way to them.'
    )
  weights = tf.reduce_mean(gradient, [1, 2], keepdims=True)
  return tf.nn.relu(tf.reduce_sum(weights * features, 3))


def _feature_map(
  end_points: Mapping[str, tf.Tensor], name: str | None
) -> tf.Tensor:
  """The end point called `name`, or the map before the classifier."""
  if name is None:
    return tf.get_collection(attend.LAST_MAP)[-1]
  maps = {n: net for n, net in end_points.items() if net.shape.rank == 4}
  if name not in maps:
    raise UserError(unknown('end point', name, maps))
  return maps[name]


def _spatial_gates() -> dict[str, tf.Tensor]:
  """Name -> gate [N, H, W, 1 or C] that differs from place to place."""
  gates = tf.get_collection(attend.GATES)
  spatial = {_point(g): g for g in gates if _is_spatial(*g.shape[1:])}
  # A gate for each row and one for each column of the same map multiply.
  for down, across in itertools.pairwise(gates):
    if _is_line(*down.shape[1:3]) and _is_line(*across.shape[2:0:-1]):
      spatial[_point(down)] = down * across
  return spatial


def _is_spatial(height: int, width: int, depth: int) -> bool:
  return depth == 1 or (height > 1 and width > 1)


def _is_line(length: int, breadth: int) -> bool:
  return length > 1 and breadth == 1


def _over_channels(gate: np.ndarray) -> np.ndarray:
  """Mean over the channels, of which most gates have one, [H, W]."""
  return gate.mean(axis=-1)


def _point(gate: tf.Tensor) -> str:
  """'resnet_v1_50/block1/…/cbam_block/sp_at/gate' -> 'block1/…/sp_at'."""
  name = '/'.join(gate.op.name.split('/')[1:])
  return name.removesuffix('/gate').removesuffix('/rows')
