"""Signals that are noticed between steps, and where nothing is to be saved."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from engine import signals as program_signals
from engine.signals import Signals

ROOT = pathlib.Path(__file__).parents[2]


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


def test_a_signal_within_compiled_code_is_recognized():
  """Which makes another error of what the signal raises."""
  numbers = signal.SIGTERM, signal.SIGHUP
  before = {number: signal.getsignal(number) for number in numbers}

  @program_signals.raised_again()
  def compiled(is_signaled):
    try:
      if is_signaled:
        signal.raise_signal(signal.SIGTERM)
    finally:
      raise SystemError('returned a result with an exception set')

  try:
    for is_signaled in (True, False):
      program_signals.raise_when_terminated()
      with pytest.raises(
        program_signals.Terminated if is_signaled else SystemError
      ):
        compiled(is_signaled)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


WAITING = """
import ctypes
from engine.signals import Signals
from files import temporary_folder
with Signals() as signals, signals.at_once():
  print(temporary_folder('copies_'), flush=True)
  mutex = ctypes.create_string_buffer(64)
  for _ in range(2):
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_outside_python_leaves_no_temporary_files(tmp_path, number):
  """The second lock of a mutex waits forever, and no signal interrupts it."""
  process = subprocess.Popen(
    [sys.executable, '-c', WAITING],
    cwd=ROOT,
    env={**os.environ, 'TMPDIR': str(tmp_path)},
    stdout=subprocess.PIPE,
    # Which a shell's background or nohup may ignore.
    preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
  )
  with process:
    folder = pathlib.Path(process.stdout.readline().decode().strip())
    assert folder.is_dir()
    process.send_signal(number)
    assert process.wait(60) == 128 + number
  assert list(tmp_path.iterdir()) == []


def test_signals_outside_the_body_end_nothing():
  """A thread that outlived the body would end the tests."""
  with Signals() as signals:
    with signals.at_once():
      pass
    signal.raise_signal(signal.SIGTERM)
    assert signals.name == 'SIGTERM'


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
