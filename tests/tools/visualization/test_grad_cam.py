"""Grad-CAM and spatial gates, compared with independent computations."""

import numpy as np
import pytest

from engine.checkpoints import matching, store
from engine.config import resolve
from engine.config.jobs import VisualizeJob
from errors import UserError
from nets import nets_factory
from nets.attention import attend
from tf_compat import few_runs, tf
from tools.visualization import grad_cam

SIZE, CLASSES = 64, 7


@pytest.mark.parametrize(
  ('attention', 'placement'),
  [(None, None), ('cbam_block', 'both'), ('se_block', 'class')],
)
@pytest.mark.usefixtures('graph')
def test_grad_cam_of_pooled_linear_logits_is_the_class_weighted_map(
  attention, placement
):
  """Logits are Σ_k w_kc · mean(map_k): Grad-CAM is relu(Σ_k w_kc map_k) / HW."""
  tf.set_random_seed(5)
  images = tf.random.normal([2, SIZE, SIZE, 3], seed=1)
  logits, _ = nets_factory.get_network_fn(
    'mobilenet_v1_025', CLASSES,
    attention_module=attention, attention_placement=placement,
  )(images)  # fmt: skip
  (features,) = tf.get_collection(attend.LAST_MAP)
  (weights,) = (
    v for v in tf.global_variables() if v.op.name.endswith('1x1/weights')
    and 'Logits' in v.op.name
  )  # fmt: skip
  maps = [
    grad_cam.grad_cam(logits[:, label], features) for label in range(CLASSES)
  ]
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    maps, features, weights = session.run((maps, features, weights))
  for label, actual in enumerate(maps):
    expected = np.maximum(features @ weights[0, 0, :, label], 0) / 4
    assert actual.shape == (2, 2, 2)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-7)
  assert 0.1 < np.mean(np.array(maps) > 0) < 0.9


@pytest.mark.usefixtures('graph')
def test_grad_cam_weights_are_mean_gradients():
  """Compares with central differences of a score that is not linear."""
  values = np.random.default_rng(2).normal(size=(1, 3, 4, 5))

  def score(features):
    return np.sum(np.sin(features) * (1 + np.arange(5)), axis=(1, 2, 3))

  gradient = np.empty_like(values)
  for index in np.ndindex(values.shape):
    step = np.zeros_like(values)
    step[index] = 1e-5
    gradient[index] = (score(values + step) - score(values - step))[0] / 2e-5
  expected = np.maximum(
    (gradient.mean(axis=(1, 2), keepdims=True) * values).sum(axis=3), 0
  )
  features = tf.constant(values)
  graph_score = tf.reduce_sum(
    tf.sin(features) * np.arange(1.0, 6.0), axis=[1, 2, 3]
  )
  with tf.Session(config=few_runs()) as session:
    actual = session.run(grad_cam.grad_cam(graph_score, features))
  np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.usefixtures('graph')
def test_features_that_the_score_does_not_depend_on_are_refused():
  with pytest.raises(UserError, match='do not depend on aside'):
    grad_cam.grad_cam(tf.ones([1]), tf.ones([1, 2, 2, 3], name='aside'))


@pytest.fixture
def make_network(train, tmp_path):
  """make_network(**options) -> GradCam of a lenet with CBAM and averages."""
  train(attention_module='cbam_block', moving_average_decay=0.5)

  def make(**options):
    job = VisualizeJob(checkpoint_path=str(tmp_path / 'train'), **options)
    setup = resolve.visualization(job, {'checkpoint_path', *options})
    network = grad_cam.GradCam(setup, job.end_point)
    network.restore(store.find(job.checkpoint_path))
    return network

  return make


def expected_outputs(folder, image, suffix):
  """Probabilities and gates of a network whose variables are loaded singly."""
  reader = tf.train.load_checkpoint(str(folder))
  with tf.Graph().as_default(), tf.Session(config=few_runs()) as session:
    logits, _ = nets_factory.get_network_fn(
      'lenet', 10, attention_module='cbam_block'
    )(tf.constant(image[np.newaxis]))
    for variable in tf.global_variables():
      value = reader.get_tensor(variable.op.name + suffix)
      variable.load(value, session)
    gates = tf.get_collection(attend.GATES)
    return session.run((tf.nn.softmax(logits)[0], gates[1], gates[3]))


@pytest.mark.parametrize(
  ('options', 'suffix'),
  [({}, matching.AVERAGE), ({'moving_average_decay': 0.0}, '')],
)
def test_explanations_follow_from_the_weights(
  make_network, tmp_path, options, suffix
):
  image = np.random.default_rng(3).normal(size=(28, 28, 1)).astype(np.float32)
  with make_network(**options) as network:
    explanation = network.explain(image)
    other = network.explain(image, label=(explanation.label + 1) % 10)
    assert network.gates == {
      'pool1_CBAM/sp_at': (14, 14), 'pool2_CBAM/sp_at': (7, 7),
    }  # fmt: skip
  probabilities, *gates = expected_outputs(tmp_path / 'train', image, suffix)
  np.testing.assert_allclose(
    explanation.probabilities, probabilities, rtol=1e-4, atol=1e-6
  )
  assert explanation.label == probabilities.argmax()
  for actual, gate in zip(explanation.gates.values(), gates, strict=True):
    np.testing.assert_allclose(actual, gate[0, :, :, 0], rtol=1e-4)
  assert explanation.grad_cam.shape == (7, 7)
  assert not np.allclose(explanation.grad_cam, other.grad_cam)


def test_another_end_point_is_explained(make_network):
  image = np.ones((28, 28, 1), np.float32)
  with make_network(end_point='conv1') as network:
    assert network.explain(image).grad_cam.shape == (28, 28)
  with pytest.raises(UserError, match=r"'conv11'.*Did you mean 'conv1'.*pool2"):
    make_network(end_point='conv11')
  with pytest.raises(UserError, match=r"Unknown end point 'fc3'"):
    make_network(end_point='fc3')
