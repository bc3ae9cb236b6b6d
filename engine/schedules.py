"""Learning rate schedules: what --learning_rate_decay_type can name."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from registry import Table
from tf_compat import tf

if TYPE_CHECKING:
  from engine.job import TrainJob


@dataclasses.dataclass(frozen=True)
class Span:
  """Lengths of a run in steps, from true epochs over all clones and workers.

  Attributes:
    warmup: steps in which the rate rises.
    decay: steps of num_epochs_per_decay.
    total: steps of the whole run, or `decay` where it has no end.
  """

  warmup: int
  decay: int
  total: int


def span(job: 'TrainJob', num_records: int, images_per_step: int) -> Span:
  """A job's epochs in steps; never less than one step of decay."""

  def steps(epochs: float) -> int:
    return math.ceil(epochs * num_records / images_per_step - 1e-9)

  decay = max(1, steps(job.num_epochs_per_decay))
  return Span(steps(job.warmup_epochs), decay, job.max_number_of_steps or decay)


def _exponential(job, step, span):
  """rate · factor^floor(step / decay)."""
  return tf.train.exponential_decay(
    job.learning_rate,
    step,
    span.decay,
    job.learning_rate_decay_factor,
    staircase=True,
  )


def _fixed(job, step, span):
  """rate."""
  del step, span
  return tf.constant(job.learning_rate)


def _progress(step, span):
  """0 at the end of the warm-up, 1 at the end of the run and after it."""
  length = max(1, span.total - span.warmup)
  return tf.clip_by_value(
    tf.cast(step - span.warmup, tf.float32) / length, 0, 1
  )


def _polynomial(job, step, span):
  """end + (rate - end) · (1 - progress)."""
  fall = job.learning_rate - job.end_learning_rate
  return job.end_learning_rate + fall * (1 - _progress(step, span))


def _cosine(job, step, span):
  """end + (rate - end) · (1 + cos(π · progress)) / 2 (arXiv:1608.03983)."""
  fall = job.learning_rate - job.end_learning_rate
  wave = (1 + tf.cos(math.pi * _progress(step, span))) / 2
  return job.end_learning_rate + fall * wave


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A named schedule: rate(job, step, span) -> a scalar tensor."""

  name: str
  rate: Callable


SCHEDULES = Table(
  'learning rate decay type',
  (
    Schedule('exponential', _exponential),
    Schedule('fixed', _fixed),
    Schedule('polynomial', _polynomial),
    Schedule('cosine', _cosine),
  ),
)


def learning_rate(job: 'TrainJob', step: tf.Tensor, span: Span) -> tf.Tensor:
  """The learning rate at a step, with linear warm-up (arXiv:1706.02677)."""
  rate = SCHEDULES[job.learning_rate_decay_type].rate(job, step, span)
  if not span.warmup:
    return rate
  risen = tf.cast(step + 1, tf.float32) / span.warmup
  return rate * tf.minimum(risen, 1.0)
