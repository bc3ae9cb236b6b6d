"""Optimizers that --optimizer can name, with their options and slot names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from options import Options, option
from registry import Table
from tf_compat import tf


@dataclasses.dataclass(frozen=True)
class Optimizer:
  """An entry of OPTIMIZERS.

  Attributes:
    name: what --optimizer calls it.
    make: (OptimizerOptions, learning rate) -> tf.train.Optimizer.
    slots: the scope of the variables it keeps beside each weight, as
      checkpoints name it; None if it keeps none.
    decays_weights: whether it applies --weight_decay itself, so that there is
      no L2 loss.
  """

  name: str
  make: Callable[[OptimizerOptions, tf.Tensor], tf.train.Optimizer]
  slots: str | None
  decays_weights: bool = False


def _adadelta(options: OptimizerOptions, rate: tf.Tensor) -> tf.train.Optimizer:
  return tf.train.AdadeltaOptimizer(
    rate, rho=options.adadelta_rho, epsilon=options.opt_epsilon
  )


def _adagrad(options: OptimizerOptions, rate: tf.Tensor) -> tf.train.Optimizer:
  return tf.train.AdagradOptimizer(
    rate, initial_accumulator_value=options.adagrad_initial_accumulator_value
  )


def _adam(options: OptimizerOptions, rate: tf.Tensor) -> tf.train.Optimizer:
  return tf.train.AdamOptimizer(
    rate,
    beta1=options.adam_beta1,
    beta2=options.adam_beta2,
    epsilon=options.opt_epsilon,
  )


def _adamw(options: OptimizerOptions, rate: tf.Tensor) -> tf.train.Optimizer:
  # Its base class would load TensorFlow before flags are checked.
  from engine.optimization.decoupled_decay import AdamW

  return AdamW(rate, *_decoupled(options))


def _lamb(options: OptimizerOptions, rate: tf.Tensor) -> tf.train.Optimizer:
  from engine.optimization.decoupled_decay import Lamb

  return Lamb(rate, *_decoupled(options))


def _decoupled(options: OptimizerOptions) -> tuple[float, float, float, float]:
  """Returns weight decay, both decay rates of moments, and epsilon."""
  return (
    options.weight_decay,
    options.adam_beta1,
    options.adam_beta2,
    options.adamw_epsilon,
  )


def _ftrl(options: OptimizerOptions, rate: tf.Tensor) -> tf.train.Optimizer:
  return tf.train.FtrlOptimizer(
    rate,
    learning_rate_power=options.ftrl_learning_rate_power,
    initial_accumulator_value=options.ftrl_initial_accumulator_value,
    l1_regularization_strength=options.ftrl_l1,
    l2_regularization_strength=options.ftrl_l2,
  )


def _momentum(options: OptimizerOptions, rate: tf.Tensor) -> tf.train.Optimizer:
  # The slots are called 'Momentum', as in TF-Slim's checkpoints.
  return tf.train.MomentumOptimizer(
    rate, momentum=options.momentum, name='Momentum'
  )


def _nesterov(options: OptimizerOptions, rate: tf.Tensor) -> tf.train.Optimizer:
  return tf.train.MomentumOptimizer(
    rate, momentum=options.momentum, use_nesterov=True, name='Momentum'
  )


def _rmsprop(options: OptimizerOptions, rate: tf.Tensor) -> tf.train.Optimizer:
  return tf.train.RMSPropOptimizer(
    rate,
    decay=options.rmsprop_decay,
    momentum=options.rmsprop_momentum,
    epsilon=options.opt_epsilon,
  )


def _sgd(options: OptimizerOptions, rate: tf.Tensor) -> tf.train.Optimizer:
  del options
  return tf.train.GradientDescentOptimizer(rate)


OPTIMIZERS = Table(
  'optimizer',
  (
    Optimizer('adadelta', _adadelta, slots='Adadelta'),
    Optimizer('adagrad', _adagrad, slots='Adagrad'),
    Optimizer('adam', _adam, slots='Adam'),
    Optimizer('adamw', _adamw, slots='AdamW', decays_weights=True),
    Optimizer('ftrl', _ftrl, slots='Ftrl'),
    Optimizer('lamb', _lamb, slots='LAMB', decays_weights=True),
    Optimizer('momentum', _momentum, slots='Momentum'),
    Optimizer('nesterov', _nesterov, slots='Momentum'),
    Optimizer('rmsprop', _rmsprop, slots='RMSProp'),
    Optimizer('sgd', _sgd, slots=None),
  ),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerOptions(Options):
  """Options that choose and configure an optimizer."""

  optimizer: str = option(
    'rmsprop',
    'The optimizer.',
    known=OPTIMIZERS,
    structure=True,
    group='optimization',
  )
  weight_decay: float = option(
    0.00004,
    'Weight of the L2 loss. adamw and lamb have none: they take this part of the '
    'weights off, times the learning rate; 0.05 is usual for them.',
    lower=0,
    group='optimization',
  )
  layer_decay: float = option(
    1.0,
    'Factor of the learning rate from each block of the network to the one '
    'before; the logits learn at the full rate.',
    above=0,
    upper=1,
    group='optimization',
  )
  opt_epsilon: float = option(
    1.0, 'Epsilon of adadelta, adam and rmsprop.', lower=0, group='advanced'
  )
  adamw_epsilon: float = option(
    1e-6, 'Epsilon of adamw and lamb.', above=0, group='advanced'
  )
  adadelta_rho: float = option(
    0.95, 'Decay rate of adadelta.', lower=0, group='advanced'
  )
  adagrad_initial_accumulator_value: float = option(
    0.1, 'Initial value of the adagrad accumulators.', above=0, group='advanced'
  )
  adam_beta1: float = option(
    0.9,
    'Decay rate of the first moment of adam, adamw and lamb.',
    lower=0,
    group='advanced',
  )
  adam_beta2: float = option(
    0.999,
    'Decay rate of the second moment of adam, adamw and lamb.',
    lower=0,
    group='advanced',
  )
  ftrl_learning_rate_power: float = option(
    -0.5, 'Learning rate power of ftrl.', upper=0, group='advanced'
  )
  ftrl_initial_accumulator_value: float = option(
    0.1, 'Initial value of the ftrl accumulators.', lower=0, group='advanced'
  )
  ftrl_l1: float = option(
    0.0, 'L1 regularization of ftrl.', lower=0, group='advanced'
  )
  ftrl_l2: float = option(
    0.0, 'L2 regularization of ftrl.', lower=0, group='advanced'
  )
  momentum: float = option(
    0.9, 'Momentum of momentum and nesterov.', lower=0, group='optimization'
  )
  rmsprop_momentum: float = option(
    0.9, 'Momentum of rmsprop.', lower=0, group='advanced'
  )
  rmsprop_decay: float = option(
    0.9, 'Decay rate of rmsprop.', lower=0, group='advanced'
  )
