"""Clones: devices that make a step together, each with a part of its batch.

tf.distribute does the work: it keeps a copy of each variable on every device
and adds up gradients between them (by NCCL on GPUs). One device needs none of
it, and has the default strategy, which adds nothing to its graph.
"""

import re
from collections.abc import Callable
from typing import Any

from errors import UserError
from tf_compat import tf

# Collections hold what every clone made; this matches the first one's names.
FIRST = r'(?!replica_\d+/)'


def strategy(num_clones: int, on_cpu: bool) -> tf.distribute.Strategy:
  """What spreads a step over the devices of one machine.

  Args:
    num_clones: how many devices.
    on_cpu: take logical CPUs rather than GPUs; see devices.session_config.

  Raises:
    UserError: if there are not so many GPUs.
  """
  if num_clones == 1:
    return tf.distribute.get_strategy()
  if not on_cpu:
    check_gpus(num_clones)
  kind = 'cpu' if on_cpu else 'gpu'
  return tf.distribute.MirroredStrategy(
    [f'/{kind}:{number}' for number in range(num_clones)]
  )


def check_gpus(num_clones: int) -> None:
  """Raises UserError unless there is a GPU for every clone."""
  gpus = count_gpus()
  if num_clones > gpus:
    raise UserError(
      f'--num_clones={num_clones}, but TensorFlow sees {gpus} GPUs here '
      '(CUDA_VISIBLE_DEVICES limits them): ask for fewer, or try with '
      '--clone_on_cpu.'
    )


def count_gpus() -> int:
  """How many GPUs TensorFlow sees on this machine."""
  return len(tf.config.experimental.list_physical_devices('GPU'))


def run(
  strategy: tf.distribute.Strategy,
  clone: Callable[[Any], Any],
  batch: dict[str, tf.Tensor],
) -> tuple[Any, ...]:
  """Builds clone(part of the batch) on every device of this process.

  Args:
    strategy: of this run, whose scope is entered.
    clone: what one device computes of its part.
    batch: of all clones of this process, which share it evenly.

  Returns:
    What each of the calls returned.
  """
  if strategy.num_replicas_in_sync == 1:
    return (clone(batch),)
  count = local_count(strategy)
  with tf.device('/cpu:0'):
    split = {key: tf.split(value, count) for key, value in batch.items()}
  parts = [{key: split[key][n] for key in split} for n in range(count)]
  made = strategy.run(lambda: clone(parts[number() % count]))
  return strategy.experimental_local_results(made)


def local_count(strategy: tf.distribute.Strategy) -> int:
  """How many of the clones are this process's."""
  # The default strategy knows no devices.
  if strategy.num_replicas_in_sync == 1:
    return 1
  return len(strategy.extended.worker_devices)


def number() -> int:
  """Which of all clones is being built."""
  context = tf.distribute.get_replica_context()
  return int(tf.get_static_value(context.replica_id_in_sync_group))


def all_reduce(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
  """Each tensor's sum over all clones, given to all; called by every clone."""
  context = tf.distribute.get_replica_context()
  if context.num_replicas_in_sync == 1:
    return tensors

  def add_up(strategy, tensors):
    return strategy.extended.batch_reduce_to(
      tf.distribute.ReduceOp.SUM, [(tensor, tensor) for tensor in tensors]
    )

  return context.merge_call(add_up, args=(tensors,))


def mean(tensor: tf.Tensor) -> tf.Tensor:
  """A tensor's mean over all clones; its gradient is that of the gradients."""
  reduced = _mean(tensor)
  graph = tf.get_default_graph()
  # tf.custom_gradient would look for the variables of all other clones.
  with graph.gradient_override_map({'IdentityN': 'MeanOverClones'}):
    return tf.identity_n([reduced, tensor])[0]


@tf.RegisterGradient('MeanOverClones')
def _gradient_of_mean(operation, of_mean, of_tensor):
  """What of_tensor is passed on with goes nowhere: it is 0."""
  del operation, of_tensor
  return None, _mean(of_mean)


def _mean(tensor: tf.Tensor) -> tf.Tensor:
  count = tf.distribute.get_replica_context().num_replicas_in_sync
  return all_reduce([tensor])[0] / count


def equal_variables(next_creator: Callable, **options: Any) -> tf.Variable:
  """A variable creator that lets no clone have values of its own.

  Batch norm asks for statistics that are averaged when they are read. Averaged
  at every step they count all clones as well, and any one clone can save them.
  """
  options['synchronization'] = tf.VariableSynchronization.AUTO
  return next_creator(**options)


def of_first(collection: str) -> list[Any]:
  """What the first clone put into a collection."""
  return [
    thing
    for thing in tf.get_collection(collection)
    if re.match(FIRST, thing.op.name)
  ]
