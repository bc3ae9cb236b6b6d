"""The training step: input, network, loss and update in one graph."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from deployment import clones, sync_batch_norm
from deployment.deployment import Deployment, Gradients
from engine import inputs
from engine.checkpoints.matching import split_by_scopes
from engine.config.jobs import TrainJob
from engine.config.resolve import Setup
from engine.optimization import layer_decay, losses, schedules
from engine.optimization.optimizers import OPTIMIZERS
from engine.training import distillation, frozen_batch_norm, summaries
from engine.training.accumulation import Accumulator, BatchCounter
from tf_compat import slim, tf

# Weight of the auxiliary classifier's loss, as in TF-Slim (arXiv:1409.4842).
AUX_LOSS_WEIGHT = 0.4


@dataclasses.dataclass(frozen=True)
class TrainStep:
  """The tensors and operations that the training loop runs.

  Attributes:
    train_op: updates weights, batch norm and moving averages by one step; its
      value is the step's number.
    accumulate_op: adds up a batch that does not end a step; None if each does.
    loss: the total loss of the step's batch over all clones, a scalar.
    cross_entropy: the part of it without the L2 losses, a scalar.
    accuracy: the share of the batch whose best class is its label, a scalar;
      of mixed images, the label with the larger part.
    learning_rate: a scalar.
    global_step: the number of steps made.
    summary: what TensorBoard shows of a step's batch, including histograms.
    local_init: starts the input.
    restore_teacher: fills the teacher's variables; None without a teacher.
    bad_records: counts the records left out; None if none may be.
    images_per_step: the size of all batches that make a step together.
    stop_votes: the placeholder for what this process votes; None if it has no
      vote, or no peers.
    agreed_stop: the mean of all processes' votes; None without peers.
    stop_on_servers: the variable in which parameter servers keep it, else None.
  """

  train_op: tf.Tensor
  accumulate_op: tf.Operation | None
  loss: tf.Tensor
  cross_entropy: tf.Tensor
  accuracy: tf.Tensor
  learning_rate: tf.Tensor
  global_step: tf.Variable
  summary: tf.Tensor
  local_init: tf.Operation
  restore_teacher: distillation.Restore | None
  bad_records: tf.Tensor | None
  images_per_step: int
  stop_votes: tf.Tensor | None
  agreed_stop: tf.Tensor | None
  stop_on_servers: tf.Variable | None


def build(
  setup: Setup, deployment: Deployment, start_step: int = 0
) -> TrainStep:
  """Builds a training step in the default graph.

  Args:
    setup: the resolved job.
    deployment: the devices and processes it runs on, its scope entered.
    start_step: the step training resumes from.
  """
  job, strategy = setup.job, deployment.strategy
  workers, worker = setup.shard
  # Each process drops out other units; weights are those of the chief.
  tf.set_random_seed(None if job.seed is None else job.seed + worker)
  global_step = tf.train.get_or_create_global_step()
  batches_per_step = deployment.gradients_per_step * job.accumulate_steps
  images_per_step = job.batch_size * batches_per_step
  clones_here = deployment.local_clones
  # A seeded run that is resumed continues with the batch it would have read.
  start = start_step * batches_per_step // (workers * clones_here)
  batches = inputs.batches(
    setup, True, job.seed, clones_here, 0 if job.seed is None else start
  )
  batch, restore_teacher = distillation.add_logits(setup, batches.get_next())
  deployment.begin_step()
  steps = job.accumulate_steps
  counter = BatchCounter(steps, global_step) if steps > 1 else None
  span = schedules.span(job, setup.dataset.num_records, images_per_step)
  clone = functools.partial(_clone, setup, deployment, span, global_step)
  is_synced = job.sync_batch_norm and strategy.num_replicas_in_sync > 1
  with (
    tf.variable_creator_scope(clones.equal_variables),
    sync_batch_norm.enabled(is_synced),
    frozen_batch_norm.outside(frozen_batch_norm.trained_scopes(setup)),
  ):
    outputs = clones.run(strategy, clone, batch)
  train_ops = [each['train_op'] for each in outputs]
  accumulate_op = None
  if counter:
    accumulate_op = counter.count([each['accumulate_op'] for each in outputs])
    train_ops.append(counter.reset(train_ops))
  return TrainStep(
    accumulate_op=accumulate_op,
    train_op=deployment.finish_step(
      functools.partial(_update_moving_averages, job), train_ops, global_step
    ),
    loss=outputs[0]['loss'],
    cross_entropy=outputs[0]['cross_entropy'],
    accuracy=outputs[0]['accuracy'],
    learning_rate=outputs[0]['learning_rate'],
    global_step=global_step,
    summary=summaries.training(outputs[0]['images'], outputs[0]['end_points']),
    local_init=inputs.initializer(batches),
    restore_teacher=restore_teacher,
    bad_records=inputs.skipped_count(setup),
    images_per_step=images_per_step,
    stop_votes=deployment.stop_votes,
    agreed_stop=outputs[0]['agreed_stop'],
    stop_on_servers=deployment.stop_state,
  )


def _clone(
  setup: Setup,
  deployment: Deployment,
  span: schedules.Span,
  global_step: tf.Variable,
  batch: dict[str, tf.Tensor],
) -> dict[str, Any]:
  """Builds one clone's part of a step: its share of the loss, its update."""
  replicas = deployment.strategy.num_replicas_in_sync
  accumulator = Accumulator(setup.job.accumulate_steps)
  cross_entropies, accuracy, end_points = _losses(setup, batch)
  loss = _scaled_loss(deployment.strategy, cross_entropies)
  rate = schedules.learning_rate(setup.job, global_step, span)
  votes = deployment.stop_votes
  shares = accumulator.mean(
    tf.stack([loss, tf.add_n(cross_entropies) / replicas, accuracy / replicas])
  )
  sums, *summed = clones.all_reduce(
    [shares] if votes is None else [shares, votes]
  )
  total, cross_entropy, accuracy = tf.unstack(sums)
  train_op, accumulate_op = _apply_gradients(
    setup.job, deployment, accumulator, loss, rate, global_step
  )
  if setup.job.accumulate_steps > 1:
    train_op = accumulator.reset([train_op, shares])
  return {
    'images': batch['image'],
    'end_points': end_points,
    'loss': total,
    'cross_entropy': cross_entropy,
    'accuracy': accuracy,
    'learning_rate': rate,
    'agreed_stop': deployment.agreed_votes(summed[0] if summed else None),
    'train_op': train_op,
    'accumulate_op': accumulate_op,
  }


def _losses(
  setup: Setup, batch: dict[str, tf.Tensor]
) -> tuple[list[tf.Tensor], tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the losses of the logits, the auxiliary one first; accuracy; maps.

  The maps are the network's end points.
  """
  job = setup.job
  logits, end_points = setup.network_fn(is_training=True)(batch['image'])
  labels = inputs.targets(batch, setup.num_classes)
  class_weights = None
  if setup.class_weights:
    class_weights = tf.constant(setup.class_weights, tf.float32)

  def loss(logits: tf.Tensor, weight: float) -> tf.Tensor:
    return losses.add(job, logits, labels, weight, class_weights)

  added = []
  if 'AuxLogits' in end_points:
    added.append(loss(end_points['AuxLogits'], AUX_LOSS_WEIGHT))
  if 'teacher_logits' in batch:
    added.append(distillation.add_loss(job, logits, batch['teacher_logits']))
    added.append(loss(logits, 1 - job.distillation_weight))
  else:
    added.append(loss(logits, 1.0))
  is_right = tf.equal(tf.argmax(logits, 1), tf.argmax(labels, 1))
  return added, tf.reduce_mean(tf.cast(is_right, tf.float32)), end_points


def _scaled_loss(
  strategy: tf.distribute.Strategy, cross_entropies: list[tf.Tensor]
) -> tf.Tensor:
  """Returns one clone's share of the total loss, which is their sum.

  Slim creates the L2 losses of the variables with the first clone of each
  process; only the first of all counts them.
  """
  replicas = strategy.num_replicas_in_sync
  if replicas == 1:
    return tf.losses.get_total_loss(name='total_loss')
  share = tf.add_n(cross_entropies) / replicas
  if clones.number() == 0:
    share += tf.losses.get_regularization_loss()
  return share


def _apply_gradients(
  job: TrainJob,
  deployment: Deployment,
  accumulator: Accumulator,
  loss: tf.Tensor,
  rate: tf.Tensor,
  global_step: tf.Variable,
) -> tuple[tf.Operation | tf.Tensor, tf.Operation]:
  """Updates the weights and batch norm's statistics of one clone.

  Returns:
    The operation of a step's last batch, and that of the batches before.
  """
  optimizer = OPTIMIZERS[job.optimizer].make(job, rate)
  if job.layer_decay < 1:
    layer_decay.scale_rates(optimizer, layer_decay.factors(job.layer_decay))
  if job.mixed_precision == 'float16':
    # Small gradients vanish in float16: scale the loss as far as it goes.
    optimizer = tf.train.experimental.MixedPrecisionLossScaleOptimizer(
      optimizer, 'dynamic'
    )

  def apply(gradients: Gradients, step: tf.Variable | None) -> tf.Operation:
    return optimizer.apply_gradients(_clipped(job, gradients), step)

  update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  gradients = [
    (value if value is None else accumulator.mean(value), variable)
    for value, variable in optimizer.compute_gradients(
      # Gates, a tenth of the graph's operations, would keep weights from changing
      # while they are read. Resource variables need none for that.
      loss,
      trainable_variables(job),
      tf.train.Optimizer.GATE_NONE,
    )
  ]
  train_op = deployment.update_clone(
    apply,
    functools.partial(_update_moving_averages, job),
    gradients,
    update_ops,
    global_step,
  )
  return train_op, accumulator.add(update_ops)


def _clipped(
  job: TrainJob, gradients: Gradients
) -> list[tuple[tf.Tensor, tf.Variable]]:
  """Scales the gradients together down to --gradient_clip_norm."""
  present = [
    (value, variable) for value, variable in gradients if value is not None
  ]
  if not job.gradient_clip_norm:
    return present
  values, variables = zip(*present, strict=True)
  # Each clone scales its part by the norm of the sum.
  norm = tf.global_norm(clones.all_reduce(list(values)))
  values, _ = tf.clip_by_global_norm(values, job.gradient_clip_norm, norm)
  return list(zip(values, variables, strict=True))


def _update_moving_averages(
  job: TrainJob,
  after: Sequence[tf.Operation | tf.Tensor],
  global_step: tf.Variable,
) -> tf.Tensor:
  """Updates the moving averages after a step; returns the step's number."""
  if job.moving_average_decay:
    averages = tf.train.ExponentialMovingAverage(
      job.moving_average_decay, global_step
    )
    with tf.control_dependencies(after):
      after = [averages.apply(slim.get_model_variables())]
  # A fetch in parallel with the update might return the step before.
  with tf.control_dependencies(after):
    return global_step.read_value()


def trainable_variables(job: TrainJob) -> list[tf.Variable]:
  """Returns all trainable variables, or those in --trainable_scopes."""
  variables = tf.trainable_variables()
  if not job.trainable_scopes:
    return variables
  inside, _ = split_by_scopes(
    variables, job.trainable_scopes, 'trainable_scopes'
  )
  return inside
