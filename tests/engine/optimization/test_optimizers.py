"""Two steps of every optimizer against the papers' formulas in NumPy."""

import numpy as np
import pytest

from engine.config.jobs import TrainJob
from engine.optimization.optimizers import OPTIMIZERS
from tf_compat import tf

RATE, EPS = 0.1, 0.5
GRADIENTS = (np.array([1.0, -2.0]), np.array([0.5, 3.0]))
START = np.array([1.0, 2.0])


def sgd():
  w = START.copy()
  for g in GRADIENTS:
    w -= RATE * g
  return w


def momentum():
  w, m = START.copy(), 0.0
  for g in GRADIENTS:
    m = 0.8 * m + g
    w -= RATE * m
  return w


def adagrad():
  w, a = START.copy(), 0.2
  for g in GRADIENTS:
    a = a + g**2
    w -= RATE * g / np.sqrt(a)
  return w


def adadelta():
  w, a, d = START.copy(), 0.0, 0.0
  for g in GRADIENTS:
    a = 0.7 * a + 0.3 * g**2
    move = np.sqrt(d + EPS) / np.sqrt(a + EPS) * g
    d = 0.7 * d + 0.3 * move**2
    w -= RATE * move
  return w


def adam():
  w, m, v = START.copy(), 0.0, 0.0
  for t, g in enumerate(GRADIENTS, 1):
    m = 0.6 * m + 0.4 * g
    v = 0.7 * v + 0.3 * g**2
    rate = RATE * np.sqrt(1 - 0.7**t) / (1 - 0.6**t)
    w -= rate * m / (np.sqrt(v) + EPS)
  return w


def rmsprop():
  w, s, m = START.copy(), 1.0, 0.0
  for g in GRADIENTS:
    s = 0.7 * s + 0.3 * g**2
    m = 0.8 * m + RATE * g / np.sqrt(s + EPS)
    w -= m
  return w


def ftrl():
  w, n, z = START.copy(), np.full(2, 0.2), 0.0
  for g in GRADIENTS:
    grown = n + g**2
    z = z + g - (np.sqrt(grown) - np.sqrt(n)) / RATE * w
    n = grown
    w = np.where(
      np.abs(z) > 0.01,
      (np.sign(z) * 0.01 - z) / (np.sqrt(n) / RATE + 2 * 0.02),
      0.0,
    )
  return w


REFERENCES = (sgd, momentum, adagrad, adadelta, adam, rmsprop, ftrl)
OPTIONS = {
  'opt_epsilon': EPS,
  'momentum': 0.8,
  'adagrad_initial_accumulator_value': 0.2,
  'adadelta_rho': 0.7,
  'adam_beta1': 0.6,
  'adam_beta2': 0.7,
  'rmsprop_decay': 0.7,
  'rmsprop_momentum': 0.8,
  'ftrl_initial_accumulator_value': 0.2,
  'ftrl_l1': 0.01,
  'ftrl_l2': 0.02,
}


def test_every_optimizer_has_a_reference():
  assert {reference.__name__ for reference in REFERENCES} == set(OPTIMIZERS)


@pytest.mark.parametrize('reference', REFERENCES, ids=lambda r: r.__name__)
def test_two_steps_agree_with_the_formula(reference, graph):
  job = TrainJob(optimizer=reference.__name__, **OPTIONS)
  weights = tf.get_variable('w', initializer=START)
  gradient = tf.placeholder(tf.float64, [2])
  optimizer = OPTIMIZERS[job.optimizer].make(job, RATE)
  step = optimizer.apply_gradients([(gradient, weights)])
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for value in GRADIENTS:
      session.run(step, {gradient: value})
    assert session.run(weights) == pytest.approx(reference(), rel=1e-6)
