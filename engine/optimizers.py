"""The optimizers that --optimizer can name, as TF-Slim set them up."""

import dataclasses
from collections.abc import Callable

from registry import Table
from tf_compat import tf


@dataclasses.dataclass(frozen=True)
class Optimizer:
  """A named optimizer: make(job, learning_rate) -> tf.train.Optimizer."""

  name: str
  make: Callable


def _adadelta(job, rate):
  return tf.train.AdadeltaOptimizer(
    rate, rho=job.adadelta_rho, epsilon=job.opt_epsilon
  )


def _adagrad(job, rate):
  return tf.train.AdagradOptimizer(
    rate, initial_accumulator_value=job.adagrad_initial_accumulator_value
  )


def _adam(job, rate):
  return tf.train.AdamOptimizer(
    rate,
    beta1=job.adam_beta1,
    beta2=job.adam_beta2,
    epsilon=job.opt_epsilon,
  )


def _ftrl(job, rate):
  return tf.train.FtrlOptimizer(
    rate,
    learning_rate_power=job.ftrl_learning_rate_power,
    initial_accumulator_value=job.ftrl_initial_accumulator_value,
    l1_regularization_strength=job.ftrl_l1,
    l2_regularization_strength=job.ftrl_l2,
  )


def _momentum(job, rate):
  # The slots are called 'Momentum', as in TF-Slim's checkpoints.
  return tf.train.MomentumOptimizer(
    rate, momentum=job.momentum, name='Momentum'
  )


def _rmsprop(job, rate):
  return tf.train.RMSPropOptimizer(
    rate,
    decay=job.rmsprop_decay,
    momentum=job.rmsprop_momentum,
    epsilon=job.opt_epsilon,
  )


def _sgd(job, rate):
  del job
  return tf.train.GradientDescentOptimizer(rate)


OPTIMIZERS = Table(
  'optimizer',
  (
    Optimizer('adadelta', _adadelta),
    Optimizer('adagrad', _adagrad),
    Optimizer('adam', _adam),
    Optimizer('ftrl', _ftrl),
    Optimizer('momentum', _momentum),
    Optimizer('rmsprop', _rmsprop),
    Optimizer('sgd', _sgd),
  ),
)
