"""How long a training step takes: several networks, measured in turns.

What else the machine does then slows all of them alike, as it would not if
each was measured in an hour of its own.
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping

from deployment import deployment as deployments
from engine import console, train_step
from engine.resolve import Setup
from tf_compat import tf

# The first steps also prepare kernels and fill the input's buffers.
_WARM_UP = 3


def measure(
  setups: Mapping[str, Setup], steps: int, stopped: Callable[[], bool]
) -> dict[str, float] | None:
  """Median seconds of a training step, input included.

  Args:
    setups: name -> resolved training job.
    steps: of each, after the warm-up.
    stopped: whether to give up.

  Returns:
    Name -> seconds; None if it was stopped.
  """
  with contextlib.ExitStack() as stack:
    steppers = {n: stack.enter_context(_stepper(s)) for n, s in setups.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steppers}
    bar = stack.enter_context(console.bar(_WARM_UP + steps, unit='round'))
    for turn in range(_WARM_UP + steps):
      for name, step in steppers.items():
        if stopped():
          return None
        began = time.perf_counter()
        step()
        if turn >= _WARM_UP:
          seconds[name].append(time.perf_counter() - began)
      bar.update()
  return {name: statistics.median(times) for name, times in seconds.items()}


@contextlib.contextmanager
def _stepper(setup: Setup):
  """step(), which makes one training step of a network of its own."""
  here = deployments.deploy(setup.job, None, console.say)
  with tf.Graph().as_default() as graph, here.scope():
    step = train_step.build(setup, strategy=here.strategy)
    start = tf.global_variables_initializer()
  with tf.Session(here.target, graph=graph, config=here.config) as session:
    session.run(start)
    session.run(step.local_init)
    yield lambda: session.run(step.train_op)
