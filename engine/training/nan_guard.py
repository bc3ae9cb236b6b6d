"""Stops training when the loss or a variable is not finite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from engine.checkpoints import store
from engine.config.jobs import TrainJob
from engine.training.step import TrainStep
from errors import UserError
from tf_compat import tf

# The most values that are read at once.
_MOST_VALUES = 1 << 27


class NonFiniteError(UserError):
  """Raised when the loss or a weight is not finite."""

  def __init__(self, what: str, step: int, train_dir: str):
    self.step = step
    saved = store.newest_readable(train_dir, verbose=False)
    good = f'the last good checkpoint is {saved}' if saved else 'none was saved'
    super().__init__(
      f'{what} at step {step}, so training stops; {good}. Try a lower '
      '--learning_rate or a --gradient_clip_norm; --nostop_on_nan continues '
      'regardless.'
    )


def non_finite_variable(
  session: tf.Session, variables: Sequence[tf.Variable]
) -> str | None:
  """Returns the name of the first variable that is not finite, or None."""
  # In NumPy: operations for each variable make large networks start slowly.
  for group in _groups(variables):
    for variable, value in zip(group, session.run(group), strict=True):
      if not np.isfinite(value).all():
        return variable.op.name
  return None


def _groups(variables: Sequence[tf.Variable]) -> Iterator[list[tf.Variable]]:
  """Yields variables of up to _MOST_VALUES together.

  A server of another machine cannot send more than 2 GB at once.
  """
  group: list[tf.Variable] = []
  count = 0
  for variable in variables:
    size = variable.shape.num_elements()
    if group and count + size > _MOST_VALUES:
      yield group
      group, count = [], 0
    group.append(variable)
    count += size
  if group:
    yield group


class NanGuardHook(tf.train.SessionRunHook):
  """Stops training at the first loss that is not finite."""

  def __init__(self, job: TrainJob, step: TrainStep):
    self._fetches = [step.loss, step.train_op]
    self._train_dir = job.train_dir

  def before_run(self, run_context):
    return tf.train.SessionRunArgs(self._fetches)

  def after_run(self, run_context, run_values):
    loss, step = run_values.results
    if not math.isfinite(loss):
      raise NonFiniteError(f'The loss is {loss}', int(step), self._train_dir)
