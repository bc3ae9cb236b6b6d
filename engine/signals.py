"""SIGTERM and Ctrl-C, noticed between two steps instead of within one."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Signals:
  """Remembers the first signal while the `with` body runs.

  A second Ctrl-C interrupts at once, for those who cannot wait.

  Attributes:
    received: the signal's number, or None.
  """

  def __init__(self):
    self.received: int | None = None
    self._before: dict[int, object] = {}

  @property
  def name(self) -> str:
    """'SIGTERM' or 'SIGINT'."""
    return signal.Signals(self.received).name

  def note_peers(self) -> None:
    """Counts the signal of another process that trains with this one."""
    self.received = self.received or signal.SIGTERM

  @contextlib.contextmanager
  def at_once(self) -> Iterator[None]:
    """Lets a signal end the process while the body runs, or one from before."""
    self.__exit__()
    try:
      if self.received:
        signal.raise_signal(self.received)
      yield
    finally:
      self.__enter__()

  def _note(self, number, frame):
    del frame
    if self.received and number == signal.SIGINT:
      raise KeyboardInterrupt
    self.received = number

  def __enter__(self) -> 'Signals':
    # Python delivers signals to the main thread and refuses handlers elsewhere.
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGINT, signal.SIGTERM):
        self._before[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *error):
    for number, handler in self._before.items():
      signal.signal(number, handler)
