"""What a person sees while a job runs: plain lines on stderr, or a bar."""

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
