"""Every loss against its formula in NumPy, and its gradient by differences."""

import numpy as np
import pytest

from engine.config.jobs import TrainJob
from engine.optimization import losses
from engine.optimization.losses import LOSSES
from tf_compat import few_runs, tf

LOGITS = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
ONE = np.array([[1.0, 0, 0], [0, 0, 1.0]])
MIXED = np.array([[0.75, 0.25, 0], [0, 0.5, 0.5]])
CLASS_WEIGHTS = np.array([0.5, 2.0, 4.0])


def softmax(logits):
  odds = np.exp(logits)
  return odds / odds.sum(axis=1, keepdims=True)


def reference_softmax(logits, targets):
  return -(targets * np.log(softmax(logits))).sum(axis=1)


def reference_bce(logits, targets):
  p = 1 / (1 + np.exp(-logits))
  return -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum(axis=1)


def reference_focal(logits, targets):
  p = softmax(logits)
  return -0.25 * (targets * (1 - p) ** 1.5 * np.log(p)).sum(axis=1)


REFERENCES = {
  'softmax': reference_softmax,
  'bce': reference_bce,
  'focal': reference_focal,
}


def test_every_loss_has_a_reference():
  assert {*REFERENCES} == {*LOSSES}


@pytest.mark.parametrize('targets', [ONE, MIXED], ids=['one', 'mixed'])
@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('class_weights', [None, CLASS_WEIGHTS])
@pytest.mark.parametrize('name', LOSSES)
def test_the_loss_is_its_formula(
  graph, name, targets, smoothing, class_weights
):
  job = TrainJob(
    loss=name, label_smoothing=smoothing, focal_gamma=1.5, focal_alpha=0.25
  )
  logits = tf.constant(LOGITS, tf.float32)
  found = losses.add(
    job,
    logits,
    tf.constant(targets, tf.float32),
    0.4,
    None if class_weights is None else tf.constant(class_weights, tf.float32),
  )
  assert tf.losses.get_losses() == [found]
  gradient = tf.gradients(found, logits)[0]

  def by_hand(logits):
    smoothed = targets * (1 - smoothing) + smoothing / 3
    weights = 1 if class_weights is None else targets @ class_weights
    return np.mean(0.4 * weights * REFERENCES[name](logits, smoothed))

  slopes = np.zeros_like(LOGITS)
  for index in np.ndindex(*LOGITS.shape):
    step = np.zeros_like(LOGITS)
    step[index] = 1e-5
    slopes[index] = (by_hand(LOGITS + step) - by_hand(LOGITS - step)) / 2e-5
  with tf.Session(config=few_runs()) as session:
    value, gradient = session.run([found, gradient])
  assert value == pytest.approx(by_hand(LOGITS), rel=1e-5)
  np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-6)


def test_softmax_is_that_of_tf_slim(graph):
  job = TrainJob(label_smoothing=0.1)
  logits, labels = (
    tf.constant(LOGITS, tf.float32),
    tf.constant(MIXED, tf.float32),
  )
  ours = losses.add(job, logits, labels, 0.4)
  original = tf.losses.softmax_cross_entropy(
    labels, logits, weights=0.4, label_smoothing=0.1
  )
  with tf.Session(config=few_runs()) as session:
    one, other = session.run([ours, original])
  assert one == pytest.approx(other, rel=1e-6)


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_focal_loss_of_a_sure_network_is_finite(graph, gamma):
  logits = tf.constant([[200.0, -200.0], [-200.0, 200.0]])
  job = TrainJob(loss='focal', focal_gamma=gamma)
  loss = losses.add(job, logits, tf.constant([[1.0, 0.0], [1.0, 0.0]]))
  with tf.Session(config=few_runs()) as session:
    found = session.run([loss, *tf.gradients(loss, logits)])
  assert all(np.isfinite(value).all() for value in found)
  assert found[0] == pytest.approx(200)


def test_focal_loss_without_gamma_is_softmax(graph):
  logits, labels = tf.constant(LOGITS, tf.float32), tf.constant(ONE, tf.float32)
  both = [
    losses.add(TrainJob(loss=name, focal_gamma=0.0), logits, labels)
    for name in ('focal', 'softmax')
  ]
  with tf.Session(config=few_runs()) as session:
    one, other = session.run(both)
  assert one == pytest.approx(other, rel=1e-6)
