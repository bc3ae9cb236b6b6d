"""How processes that step together decide to stop, and one cannot save."""

import signal
import types

import pytest

from engine import hooks, messages
from engine.signals import Signals
from errors import UserError
from tf_compat import tf


class Stopping(hooks.Stopping):
  """The hook of one of two workers, which is told what both decided."""

  def __init__(self, job, start=4):
    self.signals, self.is_stopped = Signals(), False
    graph = types.SimpleNamespace(
      train_op='step', votes='votes', decided='of all',
      global_step='step', settled='so far',
    )  # fmt: skip
    super().__init__(job, graph, start, self.signals)

  @property
  def votes(self) -> list:
    return self.before_run(None).feed_dict['votes']

  def hear(self, step, *decided):
    values = types.SimpleNamespace(results={'step': step, 'decided': decided})
    self.after_run(self, values)

  def request_stop(self):
    self.is_stopped = True


@pytest.fixture
def stopping(train_job, tmp_path):
  (tmp_path / 'train').mkdir()
  return Stopping(train_job(max_number_of_steps=9))


def test_a_worker_says_what_it_knows(stopping, tmp_path):
  assert stopping.votes == [False, False, 4]
  messages.ask_to_stop(tmp_path / 'train', 'no better')
  stopping._next_look = 0
  stopping.signals.received = signal.SIGINT
  assert stopping.votes == [True, True, 4]


def test_what_is_asked_for_is_said_at_every_step(stopping, tmp_path):
  """Of workers that need not all make a step, one may miss what was said."""
  messages.ask_to_stop(tmp_path / 'train', 'no better')
  assert [stopping.votes[0] for _ in range(3)] == [True, True, True]


def test_nothing_is_decided_by_oneself(stopping):
  stopping.signals.received = signal.SIGTERM
  stopping.hear(5, 0, 0, 4)
  assert not stopping.is_stopped
  stopping.hear(6, 0, 0.5, 4)
  assert stopping.is_stopped
  assert stopping.reason is None


def test_another_s_signal_stops_this_one(stopping):
  stopping.hear(5, 0, 0.5, 4)
  assert stopping.is_stopped
  assert stopping.signals.name == 'SIGTERM'


@pytest.mark.parametrize(
  ('told', 'reason'),
  [((5, 0.5, 0, 4), 'early_stop'), ((9, 0, 0, 4), 'max_number_of_steps')],
)
def test_all_end_for_the_same_reason(stopping, told, reason):
  stopping.hear(*told)
  assert (stopping.is_stopped, stopping.reason) == (True, reason)


@pytest.mark.parametrize(
  ('found', 'reason', 'signal'),
  [
    ((9, [0, 0]), 'max_number_of_steps', None),
    ((5, [1, 0]), 'early_stop', None),
    ((5, [0, 1]), None, signal.SIGTERM),
  ],
)
def test_one_that_lags_behind_ends_as_all(stopping, found, reason, signal):
  stopping.end(types.SimpleNamespace(run=lambda fetches: found))
  assert (stopping.reason, stopping.signals.received) == (reason, signal)


def test_one_whose_chief_failed_does_not_finish(stopping):
  session = types.SimpleNamespace(run=lambda fetches: (5, [0, 0]))
  with pytest.raises(
    UserError, match=r'lost \(the run was closed\), or failed'
  ):
    stopping.end(session)


def test_workers_that_see_other_checkpoints_are_refused(stopping):
  with pytest.raises(
    UserError, match=r'from step 4.*must see the same --train'
  ):
    stopping.hear(5, 0, 0, 2)


@pytest.mark.parametrize(
  ('error', 'raised', 'message'),
  [
    (tf.errors.UnavailableError, tf.errors.UnavailableError, 'no answer'),
    (tf.errors.UnknownError, UserError, 'no answer.*free some space'),
  ],
)
def test_a_lost_server_is_no_full_disk(
  train_job, graph, monkeypatch, error, raised, message
):
  step = types.SimpleNamespace(global_step=tf.train.get_or_create_global_step())
  tf.get_variable('weights', [2])
  saving = hooks.Saving(train_job(), step, None, None, Signals())

  def save(*arguments, **options):
    raise error(None, None, 'no answer')

  monkeypatch.setattr(saving.saver, 'save', save)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    with pytest.raises(raised, match=message):
      saving.after_create_session(session, None)
