"""What a person sees while a job runs: plain lines on stderr, or a bar.

What lies below engine/ knows no console and logs its warnings instead.
"""

import logging
import sys

import tqdm


def say(text: str) -> None:
  """Writes a line to stderr, above a progress bar if one is shown."""
  tqdm.tqdm.write(text, file=sys.stderr)
  sys.stderr.flush()


def bar(total: int | None, initial: int = 0, unit: str = 'step') -> tqdm.tqdm:
  """A progress bar that shows on a terminal only."""
  return tqdm.tqdm(
    total=total,
    initial=initial,
    unit=unit,
    dynamic_ncols=True,
    disable=not sys.stderr.isatty(),
    file=sys.stderr,
  )


class _Lines(logging.Handler):
  """Says what is logged."""

  def emit(self, record: logging.LogRecord) -> None:
    say(self.format(record))


def take_logs() -> None:
  """Makes absl's log, from warnings on, look as all else does."""
  log = logging.getLogger('absl')
  log.handlers[:] = [_Lines()]
  log.propagate = False
