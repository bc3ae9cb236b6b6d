"""A training in a process of its own, followed by its log."""

import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

PROGRAM = (
  pathlib.Path(__file__).resolve().parent.parent / 'train_image_classifier.py'
)


def start(**flags: object) -> 'subprocess.Popen[str]':
  """Starts train_image_classifier.py with flags by name."""
  return subprocess.Popen(
    [
      sys.executable,
      str(PROGRAM),
      *(f'--{name}={value}' for name, value in flags.items()),
    ],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def steps(training: 'subprocess.Popen[str]') -> Iterator[int]:
  """Yields each step in the log until the end; prints other lines to stderr."""
  assert training.stderr
  for line in training.stderr:
    if found := re.match(r'global step (\d+)/', line):
      yield int(found[1])
    else:
      sys.stderr.write(line)
