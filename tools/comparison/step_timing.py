"""Duration of a training step: several networks, with interleaved steps.

Other load on the machine then slows all of them alike; if they were measured
one after another, each would meet a different load.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

from deployment import deployment_factory
from engine import console
from engine.config.jobs import TrainJob
from engine.config.resolve import Setup
from engine.training import step as train_step
from tf_compat import tf

# The first steps also prepare kernels and fill the input's buffers.
_WARM_UP = 3


def measure(
  setups: Mapping[str, Setup[TrainJob]],
  steps: int,
  is_stopped: Callable[[], bool],
) -> dict[str, float] | None:
  """Returns the median duration of a training step, input included.

  Args:
    setups: name -> resolved training job.
    steps: number of steps to time per job, after the warm-up.
    is_stopped: checked before every step; True ends the measurement.

  Returns:
    Name -> seconds; None if the measurement was stopped.
  """
  with contextlib.ExitStack() as stack:
    step_fns = {n: stack.enter_context(_step_fn(s)) for n, s in setups.items()}
    seconds: dict[str, list[float]] = {name: [] for name in step_fns}
    bar = stack.enter_context(console.bar(_WARM_UP + steps, unit='round'))
    for round_number in range(_WARM_UP + steps):
      for name, step in step_fns.items():
        if is_stopped():
          return None
        start = time.perf_counter()
        step()
        if round_number >= _WARM_UP:
          seconds[name].append(time.perf_counter() - start)
      bar.update()
  return {name: statistics.median(times) for name, times in seconds.items()}


@contextlib.contextmanager
def _step_fn(setup: Setup[TrainJob]) -> Iterator[Callable[[], object]]:
  """Yields a function that runs one training step, in a graph of its own."""
  deployment = deployment_factory.deploy(setup.job, None, console.say)
  with tf.Graph().as_default() as graph, deployment.scope():
    step = train_step.build(setup, deployment)
    initialize = tf.global_variables_initializer()
  with tf.Session(
    deployment.target, graph=graph, config=deployment.config
  ) as session:
    session.run(initialize)
    session.run(step.local_init)
    if step.restore_teacher:
      step.restore_teacher(session)

    def make_step() -> None:
      for _ in range(setup.job.accumulate_steps - 1):
        session.run(step.accumulate_op)
      session.run(step.train_op)

    yield make_step
