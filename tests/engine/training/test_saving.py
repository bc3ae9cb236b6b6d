"""A checkpoint that cannot be saved."""

import types

import pytest

from deployment import grpc_server
from engine.signals import Signals
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
