"""Learning rate schedules that --learning_rate_decay_type can name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from options import Options, option
from registry import Table
from tf_compat import tf


@dataclasses.dataclass(frozen=True)
class Span:
  """Lengths of a run in steps, converted from epochs over all clones.

  Attributes:
    warmup: steps in which the learning rate rises.
    decay: steps in num_epochs_per_decay.
    total: steps of the whole run, or `decay` if it has no end.
  """

  warmup: int
  decay: int
  total: int


def _exponential(
  options: ScheduleOptions, step: tf.Tensor, span: Span
) -> tf.Tensor:
  """rate · factor^floor(step / decay)."""
  return tf.train.exponential_decay(
    options.learning_rate,
    step,
    span.decay,
    options.learning_rate_decay_factor,
    staircase=True,
  )


def _fixed(options: ScheduleOptions, step: tf.Tensor, span: Span) -> tf.Tensor:
  """rate."""
  del step, span
  return tf.constant(options.learning_rate)


def _progress(step: tf.Tensor, span: Span) -> tf.Tensor:
  """Returns 0 until the end of the warm-up, 1 from the end of the run."""
  length = max(1, span.total - span.warmup)
  return tf.clip_by_value(
    tf.cast(step - span.warmup, tf.float32) / length, 0, 1
  )


def _polynomial(
  options: ScheduleOptions, step: tf.Tensor, span: Span
) -> tf.Tensor:
  """end + (rate - end) · (1 - progress)."""
  fall = options.learning_rate - options.end_learning_rate
  return options.end_learning_rate + fall * (1 - _progress(step, span))


def _cosine(options: ScheduleOptions, step: tf.Tensor, span: Span) -> tf.Tensor:
  """end + (rate - end) · (1 + cos(π · progress)) / 2 (arXiv:1608.03983)."""
  fall = options.learning_rate - options.end_learning_rate
  wave = (1 + tf.cos(math.pi * _progress(step, span))) / 2
  return options.end_learning_rate + fall * wave


@dataclasses.dataclass(frozen=True)
class Schedule:
  """An entry of SCHEDULES: rate(options, step, span) -> a scalar tensor."""

  name: str
  rate: Callable[[ScheduleOptions, tf.Tensor, Span], tf.Tensor]


SCHEDULES = Table(
  'learning rate decay type',
  (
    Schedule('exponential', _exponential),
    Schedule('fixed', _fixed),
    Schedule('polynomial', _polynomial),
    Schedule('cosine', _cosine),
  ),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduleOptions(Options):
  """Options that choose and configure a learning rate schedule."""

  max_number_of_steps: int | None = option(
    None, 'Train until this step; until interrupted if not set.', lower=1
  )
  num_epochs: float | None = option(
    None, 'The same in epochs; sets --max_number_of_steps.', above=0
  )
  learning_rate: float = option(
    0.01, 'The initial learning rate.', lower=0, group='optimization'
  )
  learning_rate_decay_type: str = option(
    'exponential',
    'How the learning rate decays.',
    known=SCHEDULES,
    group='optimization',
  )
  learning_rate_decay_factor: float = option(
    0.94, 'Factor of each exponential decay.', above=0, group='optimization'
  )
  num_epochs_per_decay: float = option(
    2.0,
    'Epochs between exponential decays; duration of polynomial and cosine '
    'decay if --max_number_of_steps is not set.',
    above=0,
    group='optimization',
  )
  end_learning_rate: float = option(
    0.0001,
    'Final learning rate of polynomial and cosine decay.',
    lower=0,
    group='optimization',
  )
  warmup_epochs: float = option(
    0.0,
    'Epochs in which the learning rate rises linearly from 0.',
    lower=0,
    group='optimization',
  )


def span(
  options: ScheduleOptions, num_records: int, images_per_step: int
) -> Span:
  """Converts epochs to steps; a decay is at least one step long."""

  def length(epochs: float) -> int:
    return steps(epochs, num_records, images_per_step)

  decay = max(1, length(options.num_epochs_per_decay))
  return Span(
    length(options.warmup_epochs), decay, options.max_number_of_steps or decay
  )


def steps(epochs: float, num_records: int, images_per_step: int) -> int:
  """Returns the number of steps that see each record `epochs` times."""
  return math.ceil(epochs * num_records / images_per_step - 1e-9)


def learning_rate(
  options: ScheduleOptions, step: tf.Tensor, span: Span
) -> tf.Tensor:
  """Returns the learning rate at a step, with warm-up (arXiv:1706.02677)."""
  rate = SCHEDULES[options.learning_rate_decay_type].rate(options, step, span)
  if not span.warmup:
    return rate
  fraction = tf.cast(step + 1, tf.float32) / span.warmup
  return rate * tf.minimum(fraction, 1.0)
