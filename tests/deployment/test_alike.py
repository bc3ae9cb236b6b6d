"""All clones of every network compute the same."""

import collections
import re

import pytest

from deployment import clones, sync_batch_norm
from nets import nets_factory
from nets.nets_factory import NETWORKS
from tf_compat import tf

# One without and one with batch norm, at which clones take turns.
QUICK = ('lenet', 'mobilenet_v1_025')


def operations(logits: tf.Tensor) -> collections.Counter:
  """Counts the operations that logits depend on, by name, type and shapes.

  Names are stripped of all that differs between clones: the clone's scope, its
  copy of a variable, and the numbers that make names unique. Of a mean over all
  clones, only the input of this clone is followed.
  """
  signatures, todo = {}, [logits.op]
  while todo:
    operation = todo.pop()
    if operation.name not in signatures:
      name = operation.name.removeprefix('replica_1/')
      name = re.sub(r'_\d+(?=/|$)', '', name.removesuffix('/replica_1'))
      shapes = tuple(str(output.shape) for output in operation.outputs)
      signatures[operation.name] = name, operation.type, shapes
      skipped = 1 if is_mean(operation) else 0
      todo += [tensor.op for tensor in operation.inputs][skipped:]
  return collections.Counter(signatures.values())


def is_mean(operation: tf.Operation) -> bool:
  """Whether it is clones.mean, whose inputs are the mean and a clone's part."""
  try:
    return operation.get_attr('_gradient_op_type') == b'MeanOverClones'
  except ValueError:
    return False


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in (*QUICK, 'resnet_v2_50', 'inception_v2', 'mobilenet_v3_small')
  ],
)
def test_clones_are_alike(name, graph):
  """With attention and synchronized batch norm, at which they take turns."""
  network = NETWORKS[name]
  strategy = clones.strategy(2, on_cpu=True)
  side = max(network.min_image_size, 32)

  def clone(_):
    # Named, because the batch beside it is a tensor of zeros as well.
    images = tf.zeros([2, side, side, network.channels or 3], name='images')
    network_fn = nets_factory.get_network_fn(
      name,
      10,
      weight_decay=0.1,
      is_training=True,
      attention_module='se_block' if network.attention_points else None,
    )
    return network_fn(images)[0]

  with (
    strategy.scope(),
    tf.variable_creator_scope(clones.equal_variables),
    sync_batch_norm.enabled(True),
  ):
    first, second = clones.run(strategy, clone, {'image': tf.zeros([2, 1])})
  assert operations(first) == operations(second)
  types = {kind for _, kind, _ in operations(first)}
  assert {'MatMul', 'Conv2D'} & types
  # No batch norm is left that uses one clone's images alone.
  assert 'FusedBatchNormV3' not in types
