"""Two steps of every optimizer against the papers' formulas in NumPy."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from engine.config.jobs import TrainJob
from engine.optimization.optimizers import OPTIMIZERS
from tf_compat import few_runs, tf

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


def nesterov():
  w, m = START.copy(), 0.0
  for g in GRADIENTS:
    m = 0.8 * m + g
    w -= RATE * (g + 0.8 * m)
  return w


def adamw():
  """A vector, such as a bias, is not decayed."""
  return adam()


def lamb():
  w, m, v = START.copy(), 0.0, 0.0
  for t, g in enumerate(GRADIENTS, 1):
    m = 0.6 * m + 0.4 * g
    v = 0.7 * v + 0.3 * g**2
    r = m / (1 - 0.6**t) / (np.sqrt(v / (1 - 0.7**t)) + EPS)
    w -= RATE * np.linalg.norm(w) / np.linalg.norm(r) * r
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


REFERENCES = (
  sgd, momentum, nesterov, adagrad, adadelta, adam, adamw, lamb, rmsprop, ftrl
)  # fmt: skip
OPTIONS = {
  'opt_epsilon': EPS,
  'adamw_epsilon': EPS,
  'weight_decay': 0.05,
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
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    for value in GRADIENTS:
      session.run(step, {gradient: value})
    assert session.run(weights) == pytest.approx(reference(), rel=1e-6)


STEPS = 10


@pytest.fixture
def descend(graph):
  """descend(name, **options) -> a kernel and a bias after ten steps."""

  def descend(name, **options):
    job = TrainJob(optimizer=name, **{**OPTIONS, **options})
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 2)), rng.normal(size=2)
    variables = [
      tf.get_variable('kernel', initializer=kernel),
      tf.get_variable('bias', initializer=bias),
    ]
    # The gradients of a bowl, which depend on the weights of each step.
    loss = sum(tf.reduce_sum(tf.square(v - 1)) for v in variables)
    step = OPTIMIZERS[name].make(job, RATE).minimize(loss)
    with tf.Session(config=few_runs()) as session:
      session.run(tf.global_variables_initializer())
      for _ in range(STEPS):
        session.run(step)
      return session.run(variables), (kernel, bias)

  return descend


def test_adamw_decays_kernels_alone(descend):
  got, start = descend('adamw')
  for value, w, decay in zip(got, start, (0.05, 0), strict=True):
    m = v = 0.0
    for t in range(1, STEPS + 1):
      g = 2 * (w - 1)
      m, v = 0.6 * m + 0.4 * g, 0.7 * v + 0.3 * g**2
      rate = RATE * np.sqrt(1 - 0.7**t) / (1 - 0.6**t)
      w = w - RATE * decay * w - rate * m / (np.sqrt(v) + EPS)
    np.testing.assert_allclose(value, w, rtol=1e-6)


def test_lamb_decays_kernels_alone_and_scales_each_variable(descend):
  got, start = descend('lamb')
  for value, w, decay in zip(got, start, (0.05, 0), strict=True):
    m = v = 0.0
    for t in range(1, STEPS + 1):
      g = 2 * (w - 1)
      m, v = 0.6 * m + 0.4 * g, 0.7 * v + 0.3 * g**2
      r = m / (1 - 0.6**t) / (np.sqrt(v / (1 - 0.7**t)) + EPS) + decay * w
      w = w - RATE * np.linalg.norm(w) / np.linalg.norm(r) * r
    np.testing.assert_allclose(value, w, rtol=1e-6)


@pytest.mark.slow
def test_adamw_and_lamb_are_those_of_keras(graph):
  """Ten steps of each, by Keras in a process of its own."""
  script = pathlib.Path(__file__).with_name('keras_optimizers.py')
  output = subprocess.run(
    [sys.executable, script], capture_output=True, text=True, check=True
  ).stdout
  wanted = json.loads(output)
  rng = np.random.default_rng(0)
  kernel, bias = rng.normal(size=(3, 2)), rng.normal(size=2)
  found, steps = {}, []
  for name, decay in (('adamw', 0.05), ('lamb', 0.0)):
    job = TrainJob(optimizer=name, weight_decay=decay)
    found[name] = [
      tf.get_variable(f'{name}_{label}', initializer=value.astype(np.float32))
      for label, value in (('kernel', kernel), ('bias', bias))
    ]
    loss = sum(tf.reduce_sum(tf.square(v - 1)) for v in found[name])
    optimizer = OPTIMIZERS[name].make(job, tf.constant(0.01))
    steps.append(optimizer.minimize(loss, var_list=found[name]))
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    for _ in range(STEPS):
      session.run(steps)
    found = session.run(found)
  assert found.keys() == wanted.keys()
  for name, values in found.items():
    for value, other, start in zip(
      values, wanted[name], (kernel, bias), strict=True
    ):
      np.testing.assert_allclose(value, other, atol=2e-6, err_msg=name)
      assert not np.allclose(value, start, atol=1e-2)


def test_lamb_moves_weights_that_are_all_zero(graph):
  job = TrainJob(optimizer='lamb', **OPTIONS)
  weights = tf.get_variable('w', initializer=np.zeros(2))
  step = (
    OPTIMIZERS['lamb']
    .make(job, RATE)
    .minimize(tf.reduce_sum(tf.square(weights - 1)))
  )
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    session.run(step)
    value = session.run(weights)
  assert np.isfinite(value).all()
  assert (value > 0).all()


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_weight_decay_is_a_loss_or_decoupled(train_job, name):
  from engine.config import resolve

  setup = resolve.training(train_job(optimizer=name), frozenset())
  with tf.Graph().as_default():
    setup.network_fn(is_training=True)(tf.zeros([1, 28, 28, 1]))
    assert bool(tf.losses.get_regularization_losses()) != (
      name in ('adamw', 'lamb')
    )
