"""The graph of one training step: images in, loss out, weights moved."""

import dataclasses
import functools
from typing import Any

from deployment import clones, sync_batch_norm
from deployment.replica import Replica
from engine import inputs, schedules, summaries
from engine.checkpoints import split_by_scopes
from engine.job import TrainJob
from engine.optimizers import OPTIMIZERS
from engine.resolve import Setup
from nets import nets_factory
from tf_compat import slim, tf

# The auxiliary classifier's share (arXiv:1409.4842, as TF-Slim weighs it).
AUX_LOSS_WEIGHT = 0.4
# What processes that step together tell one another: whether to end early,
# whether a signal came, and from which step they started.
VOTES = 3


@dataclasses.dataclass(frozen=True)
class TrainStep:
  """What the training loop runs and reads.

  Attributes:
    train_op: moves weights, statistics and averages by one step; its value is
      the step's number.
    loss: the total loss of the step's batch over all clones, a scalar.
    learning_rate: a scalar.
    global_step: the number of steps made.
    summary: everything TensorBoard shows, heavy ones included.
    local_init: starts the input.
    bad_records: counts records left out, or None.
    images_per_step: the batches of all that make a step together.
    votes: where this process feeds what it has to say, VOTES numbers; None
      where it has no say, or no others to tell.
    decided: the mean of all processes' votes, or what parameter servers' workers
      were told; None where there are no others.
    settled: where parameter servers keep that, else None.
  """

  train_op: tf.Tensor
  loss: tf.Tensor
  learning_rate: tf.Tensor
  global_step: tf.Variable
  summary: tf.Tensor
  local_init: tf.Operation
  bad_records: tf.Tensor | None
  images_per_step: int
  votes: tf.Tensor | None
  decided: tf.Tensor | None
  settled: tf.Variable | None


def build(
  setup: Setup,
  start_step: int = 0,
  strategy: tf.distribute.Strategy | None = None,
  replica: Replica | None = None,
) -> TrainStep:
  """Builds a training step in the default graph.

  Args:
    setup: the resolved job.
    start_step: the step training resumes at; shuffling goes on from there.
    strategy: what spreads it over devices, its scope entered; None for one
      device.
    replica: this worker's part where parameter servers keep the variables.
  """
  job = setup.job
  strategy = strategy or tf.distribute.get_strategy()
  # Resuming goes on with other images and dropout, not with the same again.
  seed = None if job.seed is None else job.seed + start_step
  # Each process drops out other units; weights are those of the chief.
  tf.set_random_seed(None if seed is None else seed + setup.shard[1])
  global_step = tf.train.get_or_create_global_step()
  here, replicas = clones.local_count(strategy), strategy.num_replicas_in_sync
  batches = inputs.batches(setup, True, seed, clones=here)
  votes = tf.placeholder(tf.float32, [VOTES]) if here < replicas else None
  batches_per_step = replica.gradients_per_step if replica else replicas
  images_per_step = job.batch_size * batches_per_step
  span = schedules.span(job, setup.dataset.num_records, images_per_step)
  with (
    tf.variable_creator_scope(clones.equal_variables),
    sync_batch_norm.enabled(job.sync_batch_norm and replicas > 1),
  ):
    made = clones.run(
      strategy,
      functools.partial(
        _clone, setup, strategy, replica, span, global_step, votes
      ),
      batches.get_next(),
    )
  moved = [clone['moved'] for clone in made]
  return TrainStep(
    train_op=moved[0] if replica else _averaged(job, moved, global_step),
    loss=made[0]['loss'],
    learning_rate=made[0]['rate'],
    global_step=global_step,
    summary=summaries.training(made[0]['end_points']),
    local_init=inputs.initializer(batches),
    bad_records=inputs.skipped_count(setup),
    images_per_step=images_per_step,
    votes=replica.tell if replica else votes,
    decided=replica.decided if replica else made[0]['decided'],
    settled=replica.settled if replica else None,
  )


def _clone(
  setup: Setup, strategy, replica, span, global_step, votes, batch
) -> dict[str, Any]:
  """What one device does of a step: its part of the loss, then the update."""
  job = setup.job
  cross_entropies, end_points = _losses(setup, batch)
  loss = _share(strategy, cross_entropies)
  rate = schedules.learning_rate(job, global_step, span)
  total, *decided = clones.all_reduce(
    [loss] if votes is None else [loss, votes]
  )
  return {
    'end_points': end_points,
    'loss': total,
    'decided': decided[0] / strategy.num_replicas_in_sync if decided else None,
    'rate': rate,
    'moved': _moved(job, loss, rate, global_step, replica),
  }


def _losses(
  setup: Setup, batch
) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
  """Cross-entropy of the logits, auxiliary ones first, and the end points."""
  job = setup.job
  network_fn = nets_factory.get_network_fn(
    job.model_name,
    setup.num_classes,
    weight_decay=job.weight_decay,
    is_training=True,
    attention_module=job.attention_module,
    attention_placement=job.attention_placement,
    batch_norm_decay=job.batch_norm_decay,
  )
  logits, end_points = network_fn(batch['image'])
  labels = inputs.targets(batch, setup.num_classes)

  def cross_entropy(logits, weight):
    return tf.losses.softmax_cross_entropy(
      labels, logits, weights=weight, label_smoothing=job.label_smoothing
    )

  losses = []
  if 'AuxLogits' in end_points:
    losses.append(cross_entropy(end_points['AuxLogits'], AUX_LOSS_WEIGHT))
  losses.append(cross_entropy(logits, 1.0))
  return losses, end_points


def _share(
  strategy: tf.distribute.Strategy, cross_entropies: list[tf.Tensor]
) -> tf.Tensor:
  """One clone's part of the total loss, which is the sum over all clones.

  Slim makes the variables' L2 with the first clone of a process; the first of
  all counts it.
  """
  replicas = strategy.num_replicas_in_sync
  if replicas == 1:
    return tf.losses.get_total_loss(name='total_loss')
  share = tf.add_n(cross_entropies) / replicas
  if clones.number() == 0:
    share += tf.losses.get_regularization_loss()
  return share


def _moved(job: TrainJob, loss, rate, global_step, replica) -> tf.Tensor:
  """Moves weights and batch-norm statistics."""
  optimizer = OPTIMIZERS[job.optimizer].make(job, rate)
  if job.mixed_precision == 'float16':
    # Small gradients vanish in float16: scale the loss, as far as it goes.
    optimizer = tf.train.experimental.MixedPrecisionLossScaleOptimizer(
      optimizer, 'dynamic'
    )
  gradients = optimizer.compute_gradients(loss, _trainable(job))
  updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  if not replica:
    gradients = _clipped(job, gradients)
    with tf.control_dependencies(updates):
      return optimizer.apply_gradients(gradients, global_step)

  def apply(gradients, step):
    moved = optimizer.apply_gradients(_clipped(job, gradients), step)
    return _averaged(job, [moved], step)

  return replica.update(apply, gradients, updates, global_step)


def _clipped(job: TrainJob, gradients) -> list[tuple[tf.Tensor, tf.Variable]]:
  """The gradients, scaled down to --gradient_clip_norm together."""
  gradients = [pair for pair in gradients if pair[0] is not None]
  if not job.gradient_clip_norm:
    return gradients
  values, variables = zip(*gradients, strict=True)
  # Each clone scales its part by the norm of the sum.
  norm = tf.global_norm(clones.all_reduce(values))
  values, _ = tf.clip_by_global_norm(values, job.gradient_clip_norm, norm)
  return list(zip(values, variables, strict=True))


def _averaged(job: TrainJob, steps, global_step) -> tf.Tensor:
  """Averages the variables that each clone's step moved; gives its number."""
  if job.moving_average_decay:
    averages = tf.train.ExponentialMovingAverage(
      job.moving_average_decay, global_step
    )
    with tf.control_dependencies(steps):
      steps = [averages.apply(slim.get_model_variables())]
  # Read here: fetched beside the update it might be the step before.
  with tf.control_dependencies(steps):
    return global_step.read_value()


def _trainable(job: TrainJob) -> list[tf.Variable]:
  """The variables to train: all, or those of --trainable_scopes."""
  variables = tf.trainable_variables()
  if not job.trainable_scopes:
    return variables
  inside, _ = split_by_scopes(
    variables, job.trainable_scopes, 'trainable_scopes'
  )
  return inside
