"""Gradient accumulation: one step from the gradients of several batches.

The batches of a step but the last are only added up, in runs of the session that
no other hook sees; the last one makes the step. The sums are local variables,
which no checkpoint holds: checkpoints lie between steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nets import stochastic
from tf_compat import tf


class Accumulator:
  """Adds up tensors of one clone over the batches of a step.

  Args:
    batches: number of batches in a step.
  """

  def __init__(self, batches: int):
    self._batches = batches
    self._totals: list[tuple[tf.Variable, tf.Tensor]] = []

  def mean(self, value: tf.Tensor) -> tf.Tensor:
    """Returns the mean of a tensor over the batches of a step, at its last one.

    With a single batch it is the tensor itself.
    """
    if self._batches == 1:
      return value
    part = tf.convert_to_tensor(value) / self._batches
    total = _local_variable(part.shape, part.dtype)
    self._totals.append((total, part))
    return total.read_value() + part

  def add(self, update_ops: Sequence[tf.Operation]) -> tf.Operation:
    """Returns the operation for a batch that does not end a step.

    Args:
      update_ops: what each batch updates, such as batch norm's moving averages.
    """
    return tf.group(
      *update_ops,
      *(
        total.assign_add(part, read_value=False) for total, part in self._totals
      ),
    )

  def reset(self, after: Sequence[tf.Operation | tf.Tensor]) -> tf.Operation:
    """Returns the operation that sets the sums to 0 after other operations."""
    with tf.control_dependencies(after):
      return tf.group(
        *after,
        *(
          total.assign(tf.zeros(part.shape, part.dtype), read_value=False)
          for total, part in self._totals
        ),
      )


def _local_variable(shape: Any, dtype: Any) -> tf.Variable:
  """Creates a variable of zeros that is not saved, of each clone its own."""
  return tf.Variable(
    tf.zeros(shape, dtype),
    trainable=False,
    collections=[tf.GraphKeys.LOCAL_VARIABLES],
    synchronization=tf.VariableSynchronization.ON_READ,
    aggregation=tf.VariableAggregation.SUM,
    name='accumulated',
  )


class BatchCounter:
  """Numbers the batches of a step, so that each drops out other units.

  Args:
    batches: number of batches in a step.
    global_step: the number of steps made.
  """

  def __init__(self, batches: int, global_step: tf.Variable):
    self._number = tf.Variable(
      tf.zeros([], tf.int64),
      trainable=False,
      collections=[tf.GraphKeys.LOCAL_VARIABLES],
      name='batch_of_step',
    )
    tf.add_to_collection(
      stochastic.TURN, tf.cast(global_step, tf.int64) * batches + self._number
    )

  def count(self, after: Sequence[tf.Operation]) -> tf.Operation:
    """Returns the operation that counts a batch after it was added up."""
    with tf.control_dependencies(after):
      return self._number.assign_add(1, read_value=False)

  def reset(self, after: Sequence[tf.Operation | tf.Tensor]) -> tf.Operation:
    """Returns the operation that begins a step after the one before it."""
    with tf.control_dependencies(after):
      return self._number.assign(0, read_value=False)


class AccumulationHook(tf.train.SessionRunHook):
  """Adds up the batches of a step but the last, before the run that makes it.

  It comes after all other hooks, whose time of a step then includes it.
  """

  def __init__(self, add: tf.Operation, batches: int):
    self._add, self._before = add, batches - 1

  def before_run(self, run_context):
    for _ in range(self._before):
      run_context.session.run(self._add)
