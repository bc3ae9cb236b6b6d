"""Evaluation of a checkpoint: one pass, every record once, all that it shows."""

import contextlib
import pathlib
import sys
import time
from collections.abc import Collection, Iterator
from typing import Any

from deployment import clones, devices
from engine import (
  checkpoints,
  console,
  curves,
  data_errors,
  inputs,
  messages,
  resolve,
  restoring,
  results,
  summaries,
)
from engine.job import EvalJob
from engine.metrics import TOP, Metrics
from engine.resolve import Setup
from engine.results import Result
from nets import nets_factory
from tf_compat import tf


def evaluate(job: EvalJob, given: Collection[str] = frozenset()) -> Result:
  """Evaluates one checkpoint: what eval_image_classifier.py does.

  Args:
    job: what to evaluate; engine/job.py says what each option means.
    given: the options that were given, which win over the checkpoint's job.

  Raises:
    UserError: for wrong input, before any record is read where that can be.
  """
  checkpoint = checkpoints.find(job.checkpoint_path)
  setup = resolve.evaluation(job, given)
  with Evaluator(setup) as evaluator:
    return evaluator.evaluate(checkpoint)


class Evaluator:
  """A network for inference, its input, and a session for any checkpoint."""

  def __init__(self, setup: Setup):
    self._setup = setup
    self._graph = tf.Graph()
    self._restorers: dict[tuple, Any] = {}
    job = setup.job
    self._strategy = clones.strategy(job.num_clones, job.clone_on_cpu)
    with self._graph.as_default(), self._strategy.scope():
      self._build()
    self._session = tf.Session(
      job.master,
      graph=self._graph,
      config=devices.session_config(
        cpu_only=job.clone_on_cpu, cpus=job.num_clones, xla=job.xla
      ),
    )

  def __enter__(self) -> 'Evaluator':
    return self

  def __exit__(self, *error):
    self._session.close()

  def _build(self) -> None:
    """Images in; labels, five best guesses, probabilities and losses out."""
    setup, count = self._setup, self._setup.job.num_clones
    batches = inputs.batches(setup, is_training=False, clones=count)
    batch = batches.get_next()
    if count == 1:
      self._outputs = self._clone(batch)
    else:
      # The last batch may be smaller: repeated images give all as many.
      size = tf.shape(batch['label'])[0]
      filled = tf.range(-(-size // count) * count) % size
      batch = {key: tf.gather(value, filled) for key, value in batch.items()}
      with tf.variable_creator_scope(clones.equal_variables):
        made = clones.run(self._strategy, self._clone, batch)
      self._outputs = {
        key: tf.concat([outputs[key] for outputs in made], 0)[:size]
        for key in made[0]
      }
    self._skipped = inputs.skipped_count(setup)
    self._start = inputs.initializer(batches)

  def _clone(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """What one device makes of its images."""
    setup, job = self._setup, self._setup.job
    network_fn = nets_factory.get_network_fn(
      job.model_name,
      setup.num_classes,
      is_training=False,
      attention_module=job.attention_module,
      attention_placement=job.attention_placement,
    )
    logits, _ = network_fn(batch['image'])
    # Of the logits: the softmax of far ones is 0, and zeros have no order.
    best = tf.nn.top_k(logits, min(TOP, setup.num_classes))
    return {
      'index': batch['index'],
      'filename': batch['filename'],
      'label': batch['label'],
      'guesses': best.indices,
      'probabilities': tf.gather(
        tf.nn.softmax(logits), best.indices, batch_dims=1
      ),
      'loss': tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=batch['label'], logits=logits
      ),
    }

  def evaluate(self, checkpoint: str) -> Result:
    """One pass over the split with a checkpoint's weights; writes and tells.

    Raises:
      UserError: if the checkpoint is of another network, or a record is bad.
      tf.errors.OpError: if the checkpoint is gone or damaged.
    """
    dataset = self._setup.dataset
    console.say(f'Evaluating {checkpoint} on {dataset.name}/{dataset.split}.')
    with self._graph.as_default(), self._strategy.scope():
      self._restore(checkpoint)
    metrics = Metrics(self._setup.num_classes)
    began = time.perf_counter()
    with (
      data_errors.named(dataset, self._setup.job.labels_offset),
      self._predictions() as predictions,
    ):
      for values in self._batches_of_one_pass():
        metrics.update(values['label'], values['guesses'], values['loss'])
        if predictions:
          predictions.write(
            values['index'],
            values['filename'],
            values['label'],
            values['guesses'],
            values['probabilities'],
          )
    seconds = time.perf_counter() - began
    result = results.summarize(
      metrics,
      checkpoint=checkpoint,
      global_step=checkpoints.global_step(checkpoint),
      dataset=dataset.name,
      split=dataset.split,
      class_names=self._class_names,
      images_per_second=metrics.count / seconds,
    )
    self._publish(result)
    return result

  @property
  def _class_names(self) -> tuple[str, ...]:
    return self._setup.dataset.class_names[self._setup.job.labels_offset :]

  def _restore(self, checkpoint: str) -> None:
    """Fills the variables; one set of savers serves all alike checkpoints."""
    mapping = restoring.evaluating(self._setup.job, checkpoint)
    names = tuple(mapping.values())
    if names not in self._restorers:
      self._restorers[names] = checkpoints.restorer(mapping)
    self._restorers[names](self._session, checkpoint)

  def _predictions(self) -> contextlib.AbstractContextManager:
    """The writer of --predictions_file, or None in its place."""
    path = self._setup.job.predictions_file
    if not path:
      return contextlib.nullcontext()
    return results.PredictionsWriter(path, self._class_names)

  def _batches_of_one_pass(self) -> Iterator[dict[str, Any]]:
    """The network's outputs for each batch, up to --max_num_batches."""
    self._session.run(self._start)
    dataset, job = self._setup.dataset, self._setup.job
    total = -(-dataset.num_records // (job.batch_size * job.num_clones))
    if job.max_num_batches:
      total = min(total, job.max_num_batches)
    with (
      console.bar(total, unit='batch') as bar,
      contextlib.suppress(tf.errors.OutOfRangeError),
    ):
      for _ in range(job.max_num_batches or sys.maxsize):
        yield self._session.run(self._outputs)
        bar.update()

  def _publish(self, result: Result) -> None:
    """Lines on stderr, files and events in eval_dir, curves in train_dir."""
    if self._skipped is not None:
      skipped = self._session.run(self._skipped)
      console.say(f'{skipped} bad records were left out.')
    file = self._setup.job.predictions_file
    predictions = f', predictions in {file}' if file else ''
    for line in results.stderr_lines(result):
      console.say(line)
    console.say(
      f'{result.count} records, loss {result.metrics["loss"]:.4f}, '
      f'{result.images_per_second:.1f} images/s; results in '
      f'{self._setup.job.eval_dir}{predictions}.'
    )
    results.write(result, self._setup.job.eval_dir)
    with tf.summary.FileWriter(self._setup.job.eval_dir) as writer:
      writer.add_summary(
        summaries.scalars(
          **{f'eval/{name}': value for name, value in result.metrics.items()}
        ),
        result.global_step,
      )
    train_dir = pathlib.Path(result.checkpoint).parent
    # Beside a published checkpoint there is no training to tell.
    if pathlib.Path(train_dir, 'job.json').exists():
      messages.tell_evaluation(train_dir, self._setup.job.eval_dir)
      curves.draw(train_dir, messages.results_files(train_dir))
