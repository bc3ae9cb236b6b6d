"""Layer-wise learning rate decay: the deeper a layer, the higher its rate.

Early layers of a trained network are general, and change least.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nets import nets_factory
from nets.attention.attend import BLOCK_ENDS
from tf_compat import tf

# The attributes in which tf.train's optimizers hold the learning rate.
_RATES = ('_lr_t', '_learning_rate_tensor')


def depths() -> dict[str, int]:
  """Returns the depth of each trainable variable of the network in the graph.

  Blocks are counted from 0 in the order in which the network is built; each ends
  at its attention point, whether there is attention or not. What stands before
  the first block belongs to it. What stands after the last one of B blocks, such
  as the logits, has depth B, and so have auxiliary classifiers.

  Returns:
    Name of a variable -> depth.
  """
  ends = sorted({*tf.get_collection(BLOCK_ENDS)})
  names = [variable.op.name for variable in tf.trainable_variables()]
  return {
    name: len(ends)
    if nets_factory.is_auxiliary(name)
    else sum(end <= index for end in ends)
    for index, name in enumerate(names)
  }


def factors(decay: float) -> dict[str, float]:
  """decay^(B - depth): 1 for the logits, decay for the last block, and so on.

  Args:
    decay: the factor from one block to the one before.

  Returns:
    Name of a variable -> factor of its learning rate.
  """
  found = depths()
  deepest = max(found.values(), default=0)
  return {name: decay ** (deepest - depth) for name, depth in found.items()}


def scale_rates(
  optimizer: tf.train.Optimizer, factor_of: Mapping[str, float]
) -> None:
  """Multiplies an optimizer's learning rate of each variable by its factor."""
  apply = optimizer._resource_apply_dense

  def apply_scaled(gradient: tf.Tensor, variable: tf.Variable) -> Any:
    # tf.distribute calls the copies of a variable name/replica_1, and so on.
    name = re.sub(r'/replica_\d+$', '', variable.op.name)
    with _scaled(optimizer, factor_of[name]):
      return apply(gradient, variable)

  optimizer._resource_apply_dense = apply_scaled


@contextlib.contextmanager
def _scaled(optimizer: tf.train.Optimizer, factor: float) -> Iterator[None]:
  """Multiplies the learning rate of an optimizer in the body."""
  rates = {
    name: getattr(optimizer, name)
    for name in _RATES
    if getattr(optimizer, name, None) is not None
  }
  try:
    for name, rate in rates.items():
      setattr(optimizer, name, rate * factor)
    yield
  finally:
    for name, rate in rates.items():
      setattr(optimizer, name, rate)
