"""Signals that are noticed between steps, and where nothing is to be saved."""

import os
import signal

import pytest

from engine import signals as program_signals
from engine.signals import Signals


def test_a_signal_is_remembered():
  with Signals() as signals:
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.name == 'SIGTERM'


@pytest.fixture
def interruptible():
  """Ctrl-C's signal as Python takes it, which a shell's background ignores."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures('interruptible')
@pytest.mark.parametrize('before', [True, False])
def test_where_nothing_is_to_be_saved_a_signal_ends_at_once(before):
  """Also one that came before; Ctrl-C's, which the test survives."""
  reached = []

  def wait(signals):
    with signals.at_once():
      reached.append(signals)
      os.kill(os.getpid(), signal.SIGINT)

  with Signals() as signals:
    if before:
      os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
      wait(signals)
    # And is remembered again from there on.
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.name == 'SIGTERM'
  assert bool(reached) != before


@pytest.fixture
def hangup():
  """Sets and restores the handler of SIGHUP."""
  before = signal.getsignal(signal.SIGHUP)
  yield lambda handler: signal.signal(signal.SIGHUP, handler)
  signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_ends_a_program_but_not_under_nohup(hangup):
  """nohup starts a program with SIGHUP ignored."""
  hangup(signal.SIG_IGN)
  program_signals.raise_when_terminated()
  with Signals() as signals:
    signal.raise_signal(signal.SIGHUP)
    assert not signals.received
  hangup(signal.SIG_DFL)
  with Signals() as signals:
    signal.raise_signal(signal.SIGHUP)
    assert signals.exit_code == 129
  program_signals.raise_when_terminated()
  with pytest.raises(SystemExit) as error:
    signal.raise_signal(signal.SIGHUP)
  assert error.value.code == 129
  # A second one is not caught.
  assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
