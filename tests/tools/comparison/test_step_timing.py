"""Timed training steps: their order, their medians, an early end.

The steps are stand-ins; test_compare.py times those of real networks.
"""

import contextlib
import functools

import pytest

from tools.comparison import step_timing

# Name -> stand-in for a resolved job.
SETUPS = {'none': 1, 'se_block': 2}


class Steps:
  """Stand-ins for training steps, and a clock that only they advance.

  Attributes:
    log: setup of each step so far.
    seconds: duration of each step to come; 1 second when there are no more.
  """

  def __init__(self):
    self.log = []
    self.seconds = []
    self._now = 0

  def step_fn(self, setup):
    return contextlib.nullcontext(functools.partial(self._step, setup))

  def perf_counter(self):
    return self._now

  def _step(self, setup):
    self.log.append(setup)
    self._now += self.seconds.pop(0) if self.seconds else 1


@pytest.fixture
def steps(monkeypatch):
  steps = Steps()
  monkeypatch.setattr(step_timing, '_step_fn', steps.step_fn)
  monkeypatch.setattr(step_timing, 'time', steps)
  return steps


def test_steps_of_all_networks_are_interleaved(steps):
  seconds = step_timing.measure(SETUPS, 2, is_stopped=lambda: False)
  assert seconds == {'none': 1, 'se_block': 1}
  assert steps.log == [1, 2] * (step_timing._WARM_UP + 2)


def test_the_result_is_the_median_after_the_warm_up(steps):
  warm_up = [100, 100] * step_timing._WARM_UP
  steps.seconds = [*warm_up, 10, 20, 3, 5, 4, 6]
  seconds = step_timing.measure(SETUPS, 3, is_stopped=lambda: False)
  assert seconds == {'none': 4, 'se_block': 6}


def test_a_stopped_measurement_returns_nothing(steps):
  answers = iter([False, False, False, True])
  assert step_timing.measure(SETUPS, 5, lambda: next(answers)) is None
  assert steps.log == [1, 2, 1]
