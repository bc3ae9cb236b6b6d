"""The output of a job: its report, and lines or a progress bar on stderr.

Packages below engine/ log warnings instead; take_logs() prints them here.
"""

import functools
import logging
import sys

import tqdm

# The thread that watches bars would keep tf_compat from starting TensorFlow
# without its lines.
tqdm.tqdm.monitor_interval = 0


def say(text: str) -> None:
  """Prints a line to stderr, above the progress bar if there is one."""
  tqdm.tqdm.write(text, file=sys.stderr)
  sys.stderr.flush()


def report(text: str) -> None:
  """Prints to stdout; escapes characters that its encoding lacks."""
  encoding = sys.stdout.encoding
  print(text.encode(encoding, 'backslashreplace').decode(encoding))


@functools.cache
def say_once(text: str) -> None:
  """Prints a line that this process has not printed yet."""
  say(text)


def bar(total: int | None, initial: int = 0, unit: str = 'step') -> tqdm.tqdm:
  """Creates a progress bar, which is shown only on a terminal."""
  return tqdm.tqdm(
    total=total,
    initial=initial,
    unit=unit,
    dynamic_ncols=True,
    disable=not sys.stderr.isatty(),
    file=sys.stderr,
  )


class _Lines(logging.Handler):
  """Prints log records with say()."""

  def emit(self, record: logging.LogRecord) -> None:
    say(self.format(record))


def take_logs() -> None:
  """Prints absl's log, from warnings up, like other output."""
  log = logging.getLogger('absl')
  log.handlers[:] = [_Lines()]
  log.propagate = False
