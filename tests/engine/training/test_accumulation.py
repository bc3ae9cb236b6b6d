"""Several batches make the step that one batch of all their images makes."""

import numpy as np
import pytest
import tiny_network

from engine.config.jobs import TrainJob
from engine.optimization.optimizers import OPTIMIZERS
from engine.run_dir import progress_csv
from engine.training.accumulation import AccumulationHook, Accumulator
from errors import UserError
from tf_compat import few_runs, tf

BATCHES = 3


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_every_optimizer_makes_the_step_of_the_whole_batch(graph, name):
  job = TrainJob(optimizer=name, opt_epsilon=1e-3)
  rng = np.random.default_rng(0)
  inputs = rng.normal(size=(2 * BATCHES, 4, 5)).astype(np.float32)
  batch = tf.placeholder(tf.float32, [None, 5])
  start = rng.normal(size=(5, 2)).astype(np.float32)
  steps, variables, adding = {}, {}, None
  for kind, batches in (('whole', 1), ('parts', BATCHES)):
    kernel = tf.get_variable(kind, initializer=start)
    loss = tf.reduce_mean(tf.square(batch @ kernel - 1))
    optimizer = OPTIMIZERS[name].make(job, tf.constant(0.1))
    accumulator = Accumulator(batches)
    gradients = [
      (accumulator.mean(value), variable)
      for value, variable in optimizer.compute_gradients(loss, [kernel])
    ]
    mean = accumulator.mean(loss)
    step = optimizer.apply_gradients(gradients)
    if batches > 1:
      adding = accumulator.add([])
      step = accumulator.reset([step, mean])
    steps[kind], variables[kind] = [step, mean], kernel
  with tf.Session(config=few_runs()) as session:
    session.run(
      [tf.global_variables_initializer(), tf.local_variables_initializer()]
    )
    for number in range(2):
      parts = inputs[number * BATCHES : (number + 1) * BATCHES]
      for part in parts[:-1]:
        session.run(adding, {batch: part})
      _, mean = session.run(steps['parts'], {batch: parts[-1]})
      _, whole = session.run(steps['whole'], {batch: np.concatenate(parts)})
      assert mean == pytest.approx(whole, rel=1e-5)
      one, other = session.run([variables['parts'], variables['whole']])
      np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)
      assert not np.allclose(other, start, atol=1e-6)


def test_the_hook_adds_up_all_batches_but_the_last(graph):
  count = tf.get_variable('count', initializer=0)
  hook = AccumulationHook(count.assign_add(1).op, BATCHES)
  with tf.train.SingularMonitoredSession([hook]) as session:
    for made in (1, 2):
      session.run(count)
      assert session.raw_session().run(count) == made * (BATCHES - 1)


def weights(checkpoint) -> dict[str, np.ndarray]:
  reader = tf.train.load_checkpoint(checkpoint)
  return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}


@pytest.mark.slow
@pytest.mark.parametrize('clones', [1, 2])
def test_a_run_ends_with_the_weights_of_one_of_larger_batches(
  train, tmp_path, monkeypatch, clones
):
  """Schedule, clipping, moving averages, and what is logged and saved."""
  tiny_network.register(monkeypatch.setattr)
  options = {
    'model_name': 'tiny_plain',
    'checkpoint_path': train(
      train_dir=str(tmp_path / 'start'),
      model_name='tiny_plain',
      max_number_of_steps=1,
    ).checkpoint,
    'max_number_of_steps': 3,
    'learning_rate_decay_type': 'cosine',
    'moving_average_decay': 0.9,
    'gradient_clip_norm': 0.5,
    'num_clones': clones,
    'clone_on_cpu': True,
  }
  whole = train(
    train_dir=str(tmp_path / 'whole'), batch_size=8 // clones, **options
  )
  parts = train(
    train_dir=str(tmp_path / 'parts'),
    batch_size=2 // clones,
    accumulate_steps=4,
    **options,
  )
  assert (parts.step, whole.step) == (3, 3)
  logged = [
    progress_csv.read(tmp_path / name / progress_csv.FILE)
    for name in ('whole', 'parts')
  ]
  for column in ('step', 'loss', 'learning_rate', 'cross_entropy', 'accuracy'):
    np.testing.assert_allclose(
      logged[0][column], logged[1][column], rtol=1e-4, err_msg=column
    )
  one, other = weights(whole.checkpoint), weights(parts.checkpoint)
  assert set(one) == set(other)
  for name, value in one.items():
    np.testing.assert_allclose(
      other[name], value, rtol=1e-4, atol=1e-6, err_msg=name
    )


def test_parameter_servers_do_not_accumulate(train_job):
  from engine.config import resolve

  job = train_job(
    accumulate_steps=2, ps_hosts='a:1', worker_hosts='b:1', job_name='worker'
  )
  with pytest.raises(
    UserError, match='--accumulate_steps=2 cannot be combined'
  ):
    resolve.training(job, frozenset())


def test_no_batch_makes_no_step():
  with pytest.raises(
    UserError, match='--accumulate_steps=0: must be at least 1'
  ):
    TrainJob(accumulate_steps=0)
