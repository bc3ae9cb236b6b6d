"""Processes that step together agree on when to stop."""

import signal
import types

import pytest

from engine.run_dir import run_status
from engine.signals import Signals
from engine.training.stopping import StoppingHook
from errors import UserError


class Stopping(StoppingHook):
  """The hook of one of two workers, which is told what both decided."""

  def __init__(self, job, start=4):
    self.signals, self.is_stopped = Signals(), False
    graph = types.SimpleNamespace(
      train_op='step', stop_votes='votes', agreed_stop='of all',
      global_step='step', stop_on_servers='so far',
    )  # fmt: skip
    super().__init__(job, graph, start, self.signals)

  @property
  def votes(self) -> list:
    return self.before_run(None).feed_dict['votes']

  def hear(self, step, *decided):
    values = types.SimpleNamespace(
      results={'step': step, 'agreed_stop': decided}
    )
    self.after_run(self, values)

  def request_stop(self):
    self.is_stopped = True


@pytest.fixture
def stopping(train_job, tmp_path):
  (tmp_path / 'train').mkdir()
  return Stopping(train_job(max_number_of_steps=9))


def test_a_worker_says_what_it_knows(stopping, tmp_path):
  assert stopping.votes == [False, False, 4]
  run_status.request_stop(tmp_path / 'train', 'no better')
  stopping._next_check = 0
  stopping.signals.received = signal.SIGINT
  assert stopping.votes == [True, True, 4]


def test_what_is_asked_for_is_said_at_every_step(stopping, tmp_path):
  """Of workers that need not all make a step, one may miss what was said."""
  run_status.request_stop(tmp_path / 'train', 'no better')
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
