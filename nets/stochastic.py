"""Random parts of a network: dropout, stochastic depth, and uniform numbers.

If the graph has a seed, the numbers depend on the seed, on the tensor that they
change and on the global step alone; where a step has several batches, on the
number of the batch in place of it. A resumed run then draws the numbers that it
would have drawn without an interruption. TensorFlow's stateful operations would
repeat the numbers of the first steps.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from tf_compat import add_arg_scope, tf

# Graph collection of the probability that each residual branch is kept.
DROPPED = 'dropped_paths'
# Graph collection of an int64 tensor that numbers the batches, where a step has
# several; without it, the global step does.
TURN = 'stochastic_turn'


@add_arg_scope
def dropout(
  net: tf.Tensor,
  keep_prob: float = 0.5,
  is_training: bool = True,
  scope: str | None = None,
) -> tf.Tensor:
  """Sets units to 0 at random and scales the others by 1 / keep_prob.

  https://jmlr.org/papers/v15/srivastava14a.html

  Args:
    net: float, of any shape.
    keep_prob: the probability that a unit is kept.
    is_training: whether to drop units; if not, net is returned as it is.
    scope: name of the operations.

  Returns:
    A tensor of net's shape and type.
  """
  with tf.name_scope(scope or 'Dropout'):
    if not is_training:
      return tf.identity(net)
    # Of bfloat16, there are few numbers between 0 and 1.
    is_kept = uniform(net, tf.shape(net)) < keep_prob
    return tf.where(is_kept, net / keep_prob, tf.zeros_like(net))


@add_arg_scope
def drop_path(
  net: tf.Tensor,
  rate: float = 0.0,
  depth: Callable[[], float] = lambda: 1.0,
) -> tf.Tensor:
  """Sets the residual branch of some images to 0, and scales it for the others.

  Stochastic depth (https://arxiv.org/abs/1603.09382): a branch is dropped with
  probability rate · depth, and divided by the probability that it is kept, so
  that evaluation uses it as it is. nets_factory sets rate and depth.

  Args:
    net: the branch, [N, H, W, C], after its attention.
    rate: probability that the branch of the last block is dropped.
    depth: returns the number of the current block, divided by that of all.

  Returns:
    A tensor of net's shape and type.
  """
  if not rate:
    return net
  keep_prob = 1 - rate * depth()
  tf.add_to_collection(DROPPED, keep_prob)
  with tf.name_scope('drop_path'):
    is_kept = uniform(net, [tf.shape(net)[0], 1, 1, 1]) < keep_prob
    return net * tf.cast(is_kept, net.dtype) / keep_prob


def uniform(net: tf.Tensor, shape: list | tf.Tensor) -> tf.Tensor:
  """Draws numbers from [0, 1) with which to change a tensor.

  Args:
    net: the tensor; each of a graph gets other numbers.
    shape: the shape of the numbers.

  Returns:
    float32 of that shape.
  """
  seed = _seed(net)
  if seed is None:
    return tf.random_uniform(shape)
  # XLA would draw other numbers.
  with tf.xla.experimental.jit_scope(compile_ops=False):
    return tf.random.stateless_uniform(shape, seed)


def _seed(net: tf.Tensor) -> tf.Tensor | None:
  """Returns int64 [2] for this step; None without a graph seed or a step."""
  graph_seed, _ = tf.get_seed(None)
  turns = tf.get_collection(TURN)
  step = turns[0] if turns else tf.train.get_global_step()
  if graph_seed is None or step is None:
    return None
  # Operations are numbered differently in a resumed run; names stay.
  place = zlib.crc32(f'{graph_seed}/{net.name}'.encode())
  return tf.stack([tf.constant(place, tf.int64), tf.cast(step, tf.int64)])
