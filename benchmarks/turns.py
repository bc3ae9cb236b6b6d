"""Sides of a comparison that take turns, each in a process of its own."""

import contextlib
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Step = Callable[[], object]


class Measured(NamedTuple):
  """What a side needs.

  Attributes:
    speed: images/s.
    memory: the largest resident memory of its process so far, in MB.
  """

  speed: float
  memory: float


def serve(step: Step, images: int) -> None:
  """Warms up, then runs for as long as each line says and prints a Measured.

  Args:
    step: processes a batch.
    images: number of images in it.
  """
  for _ in range(3):
    step()
  print('ready', flush=True)
  for line in sys.stdin:
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < float(line) or not count:
      step()
      count += 1
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(images * count / passed, memory, flush=True)


class Worker:
  """A process that runs a side by `serve`.

  Args:
    command: the program and its arguments.
  """

  def __init__(self, command: Sequence[str]):
    self._process = subprocess.Popen(
      command,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      env={**os.environ, 'KERAS_BACKEND': 'tensorflow'},
    )
    assert self._process.stdin
    assert self._process.stdout
    self._command = command
    self._input, self._output = self._process.stdin, self._process.stdout
    if self._answer() != 'ready':
      raise RuntimeError(f'{command} did not start: see its message above.')

  def turn(self, seconds: float) -> Measured:
    """Runs a turn."""
    self._input.write(f'{seconds}\n')
    self._input.flush()
    answer = self._answer()
    if not answer:
      raise RuntimeError(f'{self._command} ended: see its message above.')
    return Measured(*map(float, answer.split()))

  def close(self) -> None:
    with contextlib.suppress(BrokenPipeError):
      self._input.close()
    self._process.wait()

  def _answer(self) -> str:
    return self._output.readline().strip()


def measure(
  commands: Mapping[str, Sequence[str]], turns: int, seconds: float
) -> dict[str, Measured]:
  """Returns side -> the median speed of its turns, and its memory in the last."""
  workers: dict[str, Worker] = {}
  try:
    for side, command in commands.items():
      workers[side] = Worker(command)
    found: dict[str, list[Measured]] = {side: [] for side in commands}
    for _ in range(turns):
      for side, worker in workers.items():
        found[side].append(worker.turn(seconds))
  finally:
    for worker in workers.values():
      worker.close()
  return {
    side: Measured(statistics.median(m.speed for m in turns), turns[-1].memory)
    for side, turns in found.items()
  }
