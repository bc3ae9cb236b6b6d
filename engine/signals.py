"""SIGTERM, SIGHUP and Ctrl-C: noted while training, otherwise an end at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import files

# A closed terminal sends SIGHUP.
_TERMINATING = signal.SIGTERM, signal.SIGHUP


class Terminated(SystemExit):
  """Ends a program on a signal; temporary files are deleted on the way.

  Args:
    number: the signal's number.
  """

  def __init__(self, number: int) -> None:
    super().__init__(_exit_code(number))
    self.name = signal.Signals(number).name


# What a signal has raised.
_raised: list[Terminated] = []


def raise_when_terminated() -> None:
  """Makes SIGTERM and SIGHUP raise Terminated; a second one kills."""
  _raised.clear()

  def end(number: int, frame: FrameType | None) -> None:
    del frame
    signal.signal(number, signal.SIG_DFL)
    _raised.append(Terminated(number))
    raise _raised[-1]

  for number in _heeded(_TERMINATING):
    signal.signal(number, end)


@contextlib.contextmanager
def raised_again() -> Iterator[None]:
  """Raises Terminated again where it has become another error in the body.

  Compiled code that calls Python may turn what a signal raises there into an
  error of its own.
  """
  try:
    yield
  except Exception as error:
    if _raised:
      raise _raised[-1] from error
    raise


class Signals:
  """Notes the first signal while the `with` body runs.

  A second Ctrl-C interrupts at once.

  Attributes:
    received: the signal's number, or None.
  """

  def __init__(self) -> None:
    self.received: int | None = None
    self._before: dict[int, Any] = {}

  @property
  def name(self) -> str:
    """The name of the signal, such as 'SIGTERM'."""
    return signal.Signals(self.received).name if self.received else ''

  @property
  def exit_code(self) -> int:
    """128 + the signal's number, as shells have it; 0 for none."""
    return _exit_code(self.received) if self.received else 0

  def note_peers(self) -> None:
    """Records that another process of the cluster received a signal."""
    self.received = self.received or signal.SIGTERM

  @contextlib.contextmanager
  def at_once(self) -> Iterator[None]:
    """Lets a signal, even one received before, end the process in the body.

    The body may wait within TensorFlow, where Python does not handle signals.
    """
    with _ending_thread():
      noted = self._install(
        dict.fromkeys(_TERMINATING, _leave_to_thread)
        | {signal.SIGINT: signal.default_int_handler}
      )
      try:
        if self.received:
          signal.raise_signal(self.received)
        yield
      finally:
        self._install(noted)

  def _note(self, number: int, frame: FrameType | None) -> None:
    del frame
    if self.received and number == signal.SIGINT:
      raise KeyboardInterrupt
    self.received = number

  def __enter__(self) -> 'Signals':
    numbers = (signal.SIGINT, *_TERMINATING)
    self._before = self._install(dict.fromkeys(numbers, self._note))
    return self

  def __exit__(self, *error: object) -> None:
    self._install(self._before)

  def _install(self, handlers: dict[int, Any]) -> dict[int, Any]:
    """Installs handlers of signals; returns those they replace."""
    return {
      number: signal.signal(number, handlers[number])
      for number in _heeded(handlers)
    }


@contextlib.contextmanager
def _ending_thread() -> Iterator[None]:
  """Runs a thread that ends the process on SIGTERM and SIGHUP.

  Python writes the number of each signal that has a handler into a pipe, also
  while the main thread waits outside Python.
  """
  if not _heeded(_TERMINATING):
    yield
    return
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  thread = threading.Thread(target=_end_on_signal, args=[reader], daemon=True)
  before = signal.set_wakeup_fd(writer)
  thread.start()
  try:
    yield
  finally:
    signal.set_wakeup_fd(before)
    os.write(writer, bytes(1))
    thread.join()
    os.close(writer)
    os.close(reader)


def _end_on_signal(reader: int) -> None:
  """Reads numbers of signals up to a 0; ends the process on SIGTERM, SIGHUP."""
  while number := os.read(reader, 1)[0]:
    if number in _TERMINATING:
      files.delete_temporary_folders()
      os._exit(_exit_code(number))


def _leave_to_thread(number: int, frame: FrameType | None) -> None:
  """Waits for the thread that ends the process."""
  del number, frame
  threading.Event().wait()


def _heeded(numbers: Any) -> list[int]:
  """Returns the signals that are not ignored, as nohup does with SIGHUP.

  Python delivers signals to the main thread and refuses handlers elsewhere.
  """
  if threading.current_thread() is not threading.main_thread():
    return []
  return [n for n in numbers if signal.getsignal(n) != signal.SIG_IGN]


def _exit_code(number: int) -> int:
  return 128 + number
