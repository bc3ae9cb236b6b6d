"""Grad-CAM and spatial gates against computations of their own."""

import numpy as np
import pytest

from engine import checkpoints, gaze, resolve
from engine.job import VisualizeJob
from errors import UserError
from nets import nets_factory
from nets.attention import attend
from tf_compat import tf

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
  maps = [gaze.grad_cam(logits[:, label], features) for label in range(CLASSES)]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    maps, features, weights = session.run((maps, features, weights))
  for label, found in enumerate(maps):
    wanted = np.maximum(features @ weights[0, 0, :, label], 0) / 4
    assert found.shape == (2, 2, 2)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)
  assert 0.1 < np.mean(np.array(maps) > 0) < 0.9


@pytest.mark.usefixtures('graph')
def test_grad_cam_weighs_by_the_mean_gradient():
  """By central differences, where the score is not linear in the map."""
  values = np.random.default_rng(2).normal(size=(1, 3, 4, 5))

  def score(features):
    return np.sum(np.sin(features) * (1 + np.arange(5)), axis=(1, 2, 3))

  slopes = np.empty_like(values)
  for place in np.ndindex(values.shape):
    step = np.zeros_like(values)
    step[place] = 1e-5
    slopes[place] = (score(values + step) - score(values - step))[0] / 2e-5
  wanted = np.maximum(
    (slopes.mean(axis=(1, 2), keepdims=True) * values).sum(axis=3), 0
  )
  features = tf.constant(values)
  graph_score = tf.reduce_sum(
    tf.sin(features) * np.arange(1.0, 6.0), axis=[1, 2, 3]
  )
  with tf.Session() as session:
    found = session.run(gaze.grad_cam(graph_score, features))
  np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.usefixtures('graph')
def test_what_the_score_does_not_depend_on_is_refused():
  with pytest.raises(UserError, match='do not depend on aside'):
    gaze.grad_cam(tf.ones([1]), tf.ones([1, 2, 2, 3], name='aside'))


@pytest.fixture
def looker(train, tmp_path):
  """looker(**options) -> a Looker at a lenet with CBAM, averages and all."""
  train(attention_module='cbam_block', moving_average_decay=0.5)

  def make(**options):
    job = VisualizeJob(checkpoint_path=str(tmp_path / 'train'), **options)
    setup = resolve.looking(job, {'checkpoint_path', *options})
    made = gaze.Looker(setup, job.end_point)
    made.restore(checkpoints.find(job.checkpoint_path))
    return made

  return make


def by_hand(folder, image, suffix):
  """Probabilities and gates of the network, its variables read one by one."""
  reader = tf.train.load_checkpoint(str(folder))
  with tf.Graph().as_default(), tf.Session() as session:
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
  [({}, checkpoints.AVERAGE), ({'moving_average_decay': 0.0}, '')],
)
def test_a_look_shows_what_the_weights_give(looker, tmp_path, options, suffix):
  image = np.random.default_rng(3).normal(size=(28, 28, 1)).astype(np.float32)
  with looker(**options) as made:
    seen = made.look(image)
    other = made.look(image, label=(seen.label + 1) % 10)
    assert made.gates == {
      'pool1_CBAM/sp_at': (14, 14), 'pool2_CBAM/sp_at': (7, 7),
    }  # fmt: skip
  odds, first, second = by_hand(tmp_path / 'train', image, suffix)
  np.testing.assert_allclose(seen.probabilities, odds, rtol=1e-4, atol=1e-6)
  assert seen.label == odds.argmax()
  for gate, wanted in zip(seen.gates.values(), (first, second), strict=True):
    np.testing.assert_allclose(gate, wanted[0, :, :, 0], rtol=1e-4)
  assert seen.grad_cam.shape == (7, 7)
  assert not np.allclose(seen.grad_cam, other.grad_cam)


def test_another_end_point_is_explained(looker):
  image = np.ones((28, 28, 1), np.float32)
  with looker(end_point='conv1') as made:
    assert made.look(image).grad_cam.shape == (28, 28)
  with pytest.raises(UserError, match=r"'conv11'.*Did you mean 'conv1'.*pool2"):
    looker(end_point='conv11')
  with pytest.raises(UserError, match=r"Unknown end point 'fc3'"):
    looker(end_point='fc3')
