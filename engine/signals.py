"""SIGTERM and Ctrl-C, handled between two steps instead of within one."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Signals:
  """Records the first signal while the `with` body runs.

  A second Ctrl-C interrupts at once.

  Attributes:
    received: the signal's number, or None.
  """

  def __init__(self) -> None:
    self.received: int | None = None
    self._before: dict[int, Any] = {}

  @property
  def name(self) -> str:
    """The name of the signal: 'SIGTERM' or 'SIGINT'."""
    return signal.Signals(self.received).name if self.received else ''

  @property
  def exit_code(self) -> int:
    """128 + the signal's number, as shells have it; 0 for none."""
    return 128 + self.received if self.received else 0

  def note_peers(self) -> None:
    """Records that another process of the cluster received a signal."""
    self.received = self.received or signal.SIGTERM

  @contextlib.contextmanager
  def at_once(self) -> Iterator[None]:
    """Lets a signal, even one received before, end the process in the body."""
    self.__exit__()
    try:
      if self.received:
        signal.raise_signal(self.received)
      yield
    finally:
      self.__enter__()

  def _note(self, number: int, frame: FrameType | None) -> None:
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

  def __exit__(self, *error: object) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)
