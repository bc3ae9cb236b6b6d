"""Stops training when the loss or a variable is not finite."""

from __future__ import annotations

import math
import re

from engine.checkpoints import store
from engine.config.jobs import TrainJob
from engine.training.step import TrainStep
from errors import UserError
from tf_compat import tf

# The error of CheckNumerics, which TensorFlow surrounds by other text.
_CHECK_FAILED = re.compile(r'(\S+) : Tensor had ')


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


def check_variables() -> tf.Operation:
  """Builds an operation that fails if a variable is not finite.

  `non_finite_variable` tells which one from the InvalidArgumentError.
  """
  # One operation for each variable, so that large networks start fast.
  return tf.group(
    *(
      tf.raw_ops.CheckNumerics(tensor=variable, message=variable.op.name)
      for variable in tf.global_variables()
      if variable.dtype.base_dtype.is_floating
    )
  )


def non_finite_variable(error: tf.errors.InvalidArgumentError) -> str:
  """Returns the name of the variable for which `check_variables` failed."""
  found = _CHECK_FAILED.search(error.message)
  return found[1] if found else 'A variable'


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
