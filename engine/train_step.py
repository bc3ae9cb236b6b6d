"""The graph of one training step: images in, loss out, weights moved."""

import dataclasses

from engine import inputs, schedules, summaries
from engine.checkpoints import split_by_scopes
from engine.job import TrainJob
from engine.optimizers import OPTIMIZERS
from engine.resolve import Setup
from nets import nets_factory
from tf_compat import slim, tf

# The auxiliary classifier's share (arXiv:1409.4842, as TF-Slim weighs it).
AUX_LOSS_WEIGHT = 0.4


@dataclasses.dataclass(frozen=True)
class TrainStep:
  """What the training loop runs and reads.

  Attributes:
    train_op: moves weights, statistics and averages by one step; its value is
      the step's number.
    loss: the total loss of the step's batch, a scalar.
    learning_rate: a scalar.
    global_step: the number of steps made.
    summary: everything TensorBoard shows, heavy ones included.
    local_init: starts the input.
    bad_records: counts records left out, or None.
    images_per_step: the batch over all clones.
  """

  train_op: tf.Tensor
  loss: tf.Tensor
  learning_rate: tf.Tensor
  global_step: tf.Variable
  summary: tf.Tensor
  local_init: tf.Operation
  bad_records: tf.Tensor | None
  images_per_step: int


def build(setup: Setup, start_step: int = 0) -> TrainStep:
  """Builds a training step in the default graph.

  Args:
    setup: the resolved job.
    start_step: the step training resumes at; shuffling goes on from there.
  """
  job = setup.job
  # Resuming goes on with other images and dropout, not with the same again.
  seed = None if job.seed is None else job.seed + start_step
  tf.set_random_seed(seed)
  global_step = tf.train.get_or_create_global_step()
  batches = inputs.batches(setup, is_training=True, seed=seed)
  end_points = _losses(setup, batches.get_next())
  skipped = inputs.skipped_count(setup)
  loss = tf.losses.get_total_loss(name='total_loss')
  span = schedules.span(job, setup.dataset.num_records, job.batch_size)
  rate = schedules.learning_rate(job, global_step, span)
  train_op = _update(job, loss, rate, global_step)
  return TrainStep(
    train_op=train_op,
    loss=loss,
    learning_rate=rate,
    global_step=global_step,
    summary=summaries.training(end_points),
    local_init=inputs.initializer(batches),
    bad_records=skipped,
    images_per_step=job.batch_size,
  )


def _losses(setup: Setup, batch) -> dict[str, tf.Tensor]:
  """Adds cross-entropy of the logits, auxiliary ones included."""
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
    tf.losses.softmax_cross_entropy(
      labels, logits, weights=weight, label_smoothing=job.label_smoothing
    )

  if 'AuxLogits' in end_points:
    cross_entropy(end_points['AuxLogits'], AUX_LOSS_WEIGHT)
  cross_entropy(logits, 1.0)
  return end_points


def _update(job: TrainJob, loss, rate, global_step) -> tf.Tensor:
  """Moves weights and batch-norm statistics, then averages; gives the step."""
  optimizer = OPTIMIZERS[job.optimizer].make(job, rate)
  if job.mixed_precision == 'float16':
    # Small gradients vanish in float16: scale the loss, as far as it goes.
    optimizer = tf.train.experimental.MixedPrecisionLossScaleOptimizer(
      optimizer, 'dynamic'
    )
  gradients = optimizer.compute_gradients(loss, _trainable(job))
  if job.gradient_clip_norm:
    values, variables = zip(*gradients, strict=True)
    values, _ = tf.clip_by_global_norm(values, job.gradient_clip_norm)
    gradients = list(zip(values, variables, strict=True))
  updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  with tf.control_dependencies(updates):
    step = optimizer.apply_gradients(gradients, global_step)
  if job.moving_average_decay:
    averages = tf.train.ExponentialMovingAverage(
      job.moving_average_decay, global_step
    )
    with tf.control_dependencies([step]):
      step = averages.apply(slim.get_model_variables())
  # Read here: fetched beside the update it might be the step before.
  with tf.control_dependencies([step]):
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
