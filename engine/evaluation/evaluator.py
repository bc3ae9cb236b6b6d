"""Evaluation of a checkpoint: one pass over a split, every record once."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import time
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from deployment import clones, devices
from engine import console, error_translation, inputs
from engine.checkpoints import restore as restoring
from engine.checkpoints import store
from engine.config import resolve
from engine.config.jobs import EvalJob
from engine.config.resolve import Setup
from engine.evaluation import diagnosis, results
from engine.evaluation.metrics import TOP, Metrics
from engine.evaluation.mistakes import Mistakes
from engine.evaluation.predictions import PredictionsWriter
from engine.evaluation.results import Result
from engine.run_dir import events, run_status
from nets import folding
from tf_compat import tf


def evaluate(job: EvalJob, explicit: Collection[str] = frozenset()) -> Result:
  """Evaluates one checkpoint.

  Args:
    job: what to evaluate; engine/config/jobs.py documents each option.
    explicit: the options set by flags, which win over the checkpoint's job.

  Raises:
    UserError: for wrong input, where possible before any record is read.
  """
  job = resolve.import_checkpoint(job, explicit)
  checkpoint = store.find(job.checkpoint_path)
  setup = resolve.evaluation(job, explicit)
  with Evaluator(setup) as evaluator:
    result = evaluator.evaluate(checkpoint)
    evaluator.publish(result)
    return result


class Evaluator:
  """A network for inference, its input, and a session for its checkpoints."""

  def __init__(self, setup: Setup):
    self._setup = setup
    self._graph = tf.Graph()
    self._restorers: dict[tuple, Any] = {}
    # Each clone's operation to fold batch norm of what was restored.
    self._fills: list[tf.Operation] = []
    self._writer: tf.summary.FileWriter | None = None
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

  def __enter__(self) -> Evaluator:
    return self

  def __exit__(self, *error: object) -> None:
    self._session.close()
    if self._writer:
      events.close(self._writer)

  def _build(self) -> None:
    """Builds the graph, from records to the outputs of _clone()."""
    setup, count = self._setup, self._setup.job.num_clones
    batches = inputs.batches(setup, is_training=False, clones=count)
    batch = batches.get_next()
    if count == 1:
      self._outputs = self._clone(batch)
    else:
      # The last batch may be smaller: repeat images, so that it divides evenly.
      size = tf.shape(batch['label'])[0]
      filled = tf.range(-(-size // count) * count) % size
      batch = {key: tf.gather(value, filled) for key, value in batch.items()}
      with tf.variable_creator_scope(clones.equal_variables):
        clone_outputs = clones.run(self._strategy, self._clone, batch)
      self._outputs = {
        key: tf.concat([outputs[key] for outputs in clone_outputs], 0)[:size]
        for key in clone_outputs[0]
      }
    self._skipped = inputs.skipped_count(setup)
    self._start = inputs.initializer(batches)

  def _clone(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns labels, best classes, probabilities and losses of one clone."""
    setup = self._setup
    images = batch['image']
    logits, _ = setup.network_fn(is_training=False)(images)
    logits, fill = folding.fold(images, logits)
    self._fills.append(fill)
    # By logits, since the softmax of low ones is 0 and zeros have no order.
    best = tf.nn.top_k(logits, min(TOP, setup.num_classes))
    return {
      'index': batch['index'],
      'filename': batch['filename'],
      'label': batch['label'],
      'guesses': best.indices,
      'probabilities': tf.nn.softmax(logits),
      'loss': tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=batch['label'], logits=logits
      ),
    }

  def evaluate(self, checkpoint: str) -> Result:
    """Evaluates a checkpoint on the split; prints the result.

    Raises:
      UserError: if the checkpoint is of another network, or a record is bad.
      tf.errors.OpError: if the checkpoint is deleted or damaged.
    """
    with error_translation.translate_lost_server(self._setup.job.master):
      return self._evaluate(checkpoint)

  def _evaluate(self, checkpoint: str) -> Result:
    dataset = self._setup.dataset
    console.say(f'Evaluating {checkpoint} on {dataset.name}/{dataset.split}.')
    with self._graph.as_default(), self._strategy.scope():
      self._restore(checkpoint)
    metrics, mistakes = Metrics(self._setup.num_classes), Mistakes()
    began = time.perf_counter()
    with (
      error_translation.translate_data_errors(
        dataset, self._setup.job.labels_offset
      ),
      self._predictions() as predictions,
    ):
      for values in self._batches_of_one_pass():
        metrics.update(
          values['label'],
          values['guesses'],
          values['loss'],
          values['probabilities'],
        )
        shares = np.take_along_axis(
          values['probabilities'], values['guesses'], 1
        )
        index, filename, label, guesses = (
          values[key] for key in ('index', 'filename', 'label', 'guesses')
        )
        mistakes.add(index, filename, label, guesses[:, 0], shares[:, 0])
        if predictions:
          predictions.write(index, filename, label, guesses, shares)
    seconds = time.perf_counter() - began
    result = results.summarize(
      metrics,
      checkpoint=checkpoint,
      global_step=store.global_step(checkpoint),
      dataset=dataset.name,
      split=dataset.split,
      class_names=self._setup.class_names,
      images_per_second=metrics.count / seconds,
      mistakes=mistakes.worst(),
    )
    self._print(result)
    return result

  def _restore(self, checkpoint: str) -> None:
    """Restores the variables: with --moving_average_decay, from the averages.

    Checkpoints with the same names share their savers.
    """
    job = self._setup.job
    mapping = restoring.evaluating(
      job.model_name, checkpoint, bool(job.moving_average_decay)
    )
    names = tuple(mapping.values())
    if names not in self._restorers:
      self._restorers[names] = restoring.restorer(mapping)
    self._restorers[names](self._session, checkpoint)
    self._session.run(self._fills)

  def _predictions(self) -> contextlib.AbstractContextManager:
    """Opens the writer of --predictions_file; yields None if it is not set."""
    path = self._setup.job.predictions_file
    if not path:
      return contextlib.nullcontext()
    return PredictionsWriter(path, self._setup.class_names)

  def _batches_of_one_pass(self) -> Iterator[dict[str, Any]]:
    """Yields the outputs for each batch, up to --max_num_batches."""
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

  def _print(self, result: Result) -> None:
    """Prints the result and where it goes."""
    if self._skipped is not None:
      skipped = self._session.run(self._skipped)
      console.say(f'{skipped} bad records were skipped.')
    job = self._setup.job
    if not job.max_num_batches and (
      warning := results.fewer_records(result, job.eval_dir)
    ):
      console.say(f'Warning: {warning}')
    file = job.predictions_file
    predictions = f', predictions in {file}' if file else ''
    for line in results.stderr_lines(result):
      console.say(line)
    console.say(
      f'Balanced accuracy {result.metrics["balanced_accuracy"]:.4f}, '
      'expected calibration error '
      f'{result.metrics["expected_calibration_error"]:.4f}, mean AUROC '
      f'{result.metrics["macro_auroc"]:.4f}.'
    )
    console.say(
      f'{result.count} records, loss {result.metrics["loss"]:.4f}, '
      f'{result.images_per_second:.1f} images/s; results in '
      f'{job.eval_dir}{predictions}.'
    )
    if advice := diagnosis.of_run(result, self._setup.num_classes):
      console.say(f'Warning: {advice}')

  def publish(self, result: Result) -> None:
    """Writes a result to eval_dir, and its curve to train_dir."""
    job = self._setup.job
    matrix = results.write(result, job.eval_dir, job.plot_format)
    self._write_events(result, matrix)
    train_dir = pathlib.Path(result.checkpoint).parent
    # A published checkpoint has no run folder, or one that is read-only.
    is_run = pathlib.Path(train_dir, 'job.json').exists()
    if is_run and os.access(train_dir, os.W_OK):
      # It loads matplotlib, for which the first batch need not wait.
      from engine.plots import curves

      run_status.register_eval_dir(train_dir, job.eval_dir)
      curves.draw(
        train_dir, run_status.results_files(train_dir), job.plot_format
      )

  def _write_events(self, result: Result, matrix: str | None) -> None:
    """Adds a result to the event file, one for all checkpoints.

    Args:
      result: the result.
      matrix: the picture of its confusion matrix; None if it was not drawn.
    """
    eval_dir, metrics = self._setup.job.eval_dir, result.metrics
    if not self._writer:
      self._writer = tf.summary.FileWriter(eval_dir)
    # By the tags of training, so that TensorBoard draws both in one chart.
    numbers = {
      **{f'eval/{name}': value for name, value in metrics.items()},
      'cross_entropy': metrics['loss'],
      'accuracy': metrics['Accuracy'],
    }
    summaries = [events.scalars(**numbers)]
    if matrix:
      png = pathlib.Path(matrix).read_bytes()
      summaries.append(events.image('confusion_matrix', png))
    for summary in summaries:
      self._writer.add_summary(summary, result.global_step)
    self._writer.flush()
