"""Clones: the devices that compute a step together, each on part of its batch.

tf.distribute does the work: it keeps a copy of every variable on each device
and sums gradients between the devices (with NCCL on GPUs). A single device uses
the default strategy, which adds nothing to its graph.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from errors import UserError
from tf_compat import register_gradient, tf

_Output = TypeVar('_Output')

# tf.distribute begins the names of all other clones' operations with replica_N.
_FIRST_CLONE = r'(?!replica_\d+/)'


def strategy(num_clones: int, on_cpu: bool) -> tf.distribute.Strategy:
  """Returns the strategy that spreads a step over devices of this machine.

  Args:
    num_clones: number of devices.
    on_cpu: whether to use logical CPUs rather than GPUs; see
      devices.session_config.

  Raises:
    UserError: if there are fewer GPUs than clones.
  """
  if num_clones == 1:
    return tf.distribute.get_strategy()
  if not on_cpu:
    check_gpus(num_clones)
  kind = 'cpu' if on_cpu else 'gpu'
  return tf.distribute.MirroredStrategy(
    [f'/{kind}:{index}' for index in range(num_clones)]
  )


def check_gpus(num_clones: int) -> None:
  """Raises UserError unless there is a GPU for every clone."""
  gpus = count_gpus()
  if num_clones > gpus:
    raise UserError(
      f'--num_clones={num_clones}, but TensorFlow sees {gpus} GPUs '
      '(CUDA_VISIBLE_DEVICES can hide some): use fewer clones, or set '
      '--clone_on_cpu.'
    )


def count_gpus() -> int:
  """Returns the number of GPUs that TensorFlow sees on this machine."""
  return len(tf.config.experimental.list_physical_devices('GPU'))


def run(
  strategy: tf.distribute.Strategy,
  clone: Callable[[dict[str, tf.Tensor]], _Output],
  batch: dict[str, tf.Tensor],
) -> tuple[_Output, ...]:
  """Builds clone(part of the batch) on every device of this process.

  Args:
    strategy: the strategy of the devices, whose scope is entered.
    clone: builds the computation of one device on its part of the batch.
    batch: the batch of all clones of this process, which share it evenly.

  Returns:
    The output of each call.
  """
  if strategy.num_replicas_in_sync == 1:
    return (clone(batch),)
  count = local_count(strategy)
  with tf.device('/cpu:0'):
    split = {key: tf.split(value, count) for key, value in batch.items()}
  parts = [{key: split[key][n] for key in split} for n in range(count)]
  outputs = strategy.run(lambda: clone(parts[number() % count]))
  return strategy.experimental_local_results(outputs)


def local_count(strategy: tf.distribute.Strategy) -> int:
  """Returns the number of clones in this process."""
  # The default strategy knows no devices.
  if strategy.num_replicas_in_sync == 1:
    return 1
  return len(strategy.extended.worker_devices)


def number() -> int:
  """Returns the index, among the clones of all processes, of the current one.

  Called while that clone is built.
  """
  context = tf.distribute.get_replica_context()
  return int(tf.get_static_value(context.replica_id_in_sync_group))


def all_reduce(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
  """Returns each tensor's sum over all clones; every clone must call it."""
  context = tf.distribute.get_replica_context()
  if context.num_replicas_in_sync == 1:
    return tensors

  def add_up(
    strategy: tf.distribute.Strategy, tensors: list[tf.Tensor]
  ) -> list[tf.Tensor]:
    return strategy.extended.batch_reduce_to(
      tf.distribute.ReduceOp.SUM, [(tensor, tensor) for tensor in tensors]
    )

  return context.merge_call(add_up, args=(tensors,))


def mean(tensor: tf.Tensor) -> tf.Tensor:
  """Returns a tensor's mean over all clones.

  Its gradient is the mean of the clones' gradients.
  """
  reduced = _mean(tensor)
  graph = tf.get_default_graph()
  # tf.custom_gradient would look for the variables of all other clones.
  with graph.gradient_override_map({'IdentityN': 'MeanOverClones'}):
    return tf.identity_n([reduced, tensor])[0]


@register_gradient('MeanOverClones')
def _mean_gradient(
  operation: tf.Operation, mean_grad: tf.Tensor, tensor_grad: tf.Tensor
) -> tuple[None, tf.Tensor]:
  """Returns the gradients of identity_n([mean, tensor]) in mean()."""
  del operation
  del tensor_grad  # It is 0: nothing uses that output.
  return None, _mean(mean_grad)


def _mean(tensor: tf.Tensor) -> tf.Tensor:
  count = tf.distribute.get_replica_context().num_replicas_in_sync
  return all_reduce([tensor])[0] / count


def equal_variables(
  next_creator: Callable[..., tf.Variable], **options: Any
) -> tf.Variable:
  """Creates a variable that has the same value on all clones.

  Batch norm requests moving averages that differ between clones and are
  averaged when they are read. If they are averaged at every step instead, they
  cover all clones just as well, and any single clone can save them.
  """
  # Those that no checkpoint holds may differ: sums of one clone alone.
  if tf.GraphKeys.LOCAL_VARIABLES not in (options.get('collections') or ()):
    options['synchronization'] = tf.VariableSynchronization.AUTO
  return next_creator(**options)


def of_first(collection: str) -> list[Any]:
  """Returns the items of a graph collection that the first clone added."""
  return [
    item
    for item in tf.get_collection(collection)
    if re.match(_FIRST_CLONE, item.op.name)
  ]
