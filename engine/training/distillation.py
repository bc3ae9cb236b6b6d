"""Distillation: a network learns from the probabilities of a trained one.

Distilling the knowledge in a neural network, Hinton et al., 2015:
https://arxiv.org/abs/1503.02531
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from engine.checkpoints import restore as restoring
from engine.config.jobs import TrainJob
from engine.config.resolve import Setup
from nets import nets_factory
from tf_compat import tf

# Variable scope of the teacher.
SCOPE = 'Teacher'

# restore(session): fills the teacher's variables.
Restore: TypeAlias = 'Callable[[tf.Session], None]'


def add_logits(
  setup: Setup, batch: dict[str, tf.Tensor]
) -> tuple[dict[str, tf.Tensor], Restore | None]:
  """Adds `teacher_logits`, [N, classes], to a batch, if the job has a teacher.

  The teacher runs as at evaluation. Its variables are in no collection of the
  graph, so they are neither trained nor saved.

  Returns:
    The batch, and what restores the teacher; None without one.

  Raises:
    UserError: if the checkpoint is not of the teacher's network.
  """
  teacher = setup.teacher
  if teacher is None:
    return batch, None
  options = teacher.network
  network_fn = nets_factory.get_network_fn(
    options.model_name,
    setup.num_classes,
    attention_module=options.attention_module,
    attention_placement=options.attention_placement,
    padding=options.padding,
  )
  with _unlisted(), tf.variable_scope(SCOPE):
    logits, _ = network_fn(batch['image'])
    mapping = restoring.evaluating(
      options.model_name, teacher.checkpoint, teacher.use_averages, SCOPE
    )
  restore = restoring.restorer(mapping)
  return (
    {**batch, 'teacher_logits': tf.stop_gradient(logits)},
    lambda session: restore(session, teacher.checkpoint),
  )


@contextlib.contextmanager
def _unlisted() -> Iterator[None]:
  """Takes what the body adds to the graph's collections out of them again."""
  graph = tf.get_default_graph()
  names = [name for name in graph.collections if isinstance(name, str)]
  before = {name: len(graph.get_collection(name)) for name in names}
  try:
    yield
  finally:
    for name in graph.collections:
      if isinstance(name, str):
        del graph.get_collection_ref(name)[before.get(name, 0) :]


def add_loss(
  job: TrainJob, logits: tf.Tensor, teacher_logits: tf.Tensor
) -> tf.Tensor:
  """Adds --distillation_weight · loss() to the graph's losses; returns it."""
  with tf.name_scope('distillation_loss'):
    divergence = loss(logits, teacher_logits, job.distillation_temperature)
    weighted = tf.identity(job.distillation_weight * divergence, 'value')
  tf.losses.add_loss(weighted)
  return weighted


def loss(
  logits: tf.Tensor, teacher_logits: tf.Tensor, temperature: float
) -> tf.Tensor:
  """T² · mean of KL(q || p), p = softmax(logits / T), q of the teacher's.

  The factor keeps the size of the gradients, which fall with 1 / T².

  Args:
    logits: float [N, C].
    teacher_logits: float [N, C].
    temperature: T.
  """
  log_p, log_q = (
    tf.nn.log_softmax(tf.cast(each, tf.float32) / temperature)
    for each in (logits, teacher_logits)
  )
  divergence = tf.reduce_sum(tf.exp(log_q) * (log_q - log_p), 1)
  return temperature**2 * tf.reduce_mean(divergence)
