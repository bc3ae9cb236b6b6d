"""Checkpoints that cannot or must not be saved."""

import math
import types

import pytest

from deployment import grpc_server
from engine.signals import Signals
from engine.training.nan_guard import NonFiniteError
from engine.training.saving import SavingHook
from errors import UserError
from tf_compat import few_runs, tf


@pytest.mark.parametrize(
  ('error', 'raised', 'message'),
  [
    (tf.errors.UnavailableError, tf.errors.UnavailableError, 'no answer'),
    (tf.errors.UnknownError, UserError, 'no answer.*free disk space'),
  ],
)
def test_a_lost_server_is_no_full_disk(
  train_job, graph, monkeypatch, error, raised, message
):
  step = types.SimpleNamespace(global_step=tf.train.get_or_create_global_step())
  tf.get_variable('weights', [2])
  saving = SavingHook(
    train_job(), step, None, None, Signals(), grpc_server.peer_lost_errors()
  )

  def save(*arguments, **options):
    raise error(None, None, 'no answer')

  monkeypatch.setattr(saving.saver, 'save', save)
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    with pytest.raises(raised, match=message):
      saving.after_create_session(session, None)


@pytest.mark.parametrize(
  ('step', 'options', 'is_saved'),
  [
    # Initial values are finite, so those of a new network are not checked.
    (0, {}, True),
    (0, {'checkpoint_path': 'published.ckpt'}, False),
    (0, {'checkpoint_path': 'published.ckpt', 'stop_on_nan': False}, True),
    (3, {}, False),
  ],
)
def test_values_that_are_not_finite_are_not_saved(
  train_job, graph, monkeypatch, step, options, is_saved
):
  global_step = tf.train.get_or_create_global_step()
  tf.get_variable('weights', initializer=tf.constant([0.0, math.nan]))
  advance = global_step.assign(step)
  train_step = types.SimpleNamespace(global_step=global_step)
  saving = SavingHook(train_job(**options), train_step, None, None, Signals())
  saved = []
  monkeypatch.setattr(saving.saver, 'save', lambda *_, **__: saved.append(step))
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    session.run(advance)
    if is_saved:
      saving.after_create_session(session, None)
    else:
      with pytest.raises(
        NonFiniteError, match=f'weights is not finite at step {step}'
      ):
        saving.after_create_session(session, None)
  assert saved == [step] * is_saved
