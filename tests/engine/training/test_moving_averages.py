"""Moving averages of the weights, whose decay warms up."""

import numpy as np
import pytest

from engine.config.jobs import TrainJob
from engine.training import step as train_step
from tf_compat import few_runs, slim, tf

STEPS = 30


@pytest.mark.parametrize('decay', [0.5, 0.999])
def test_the_decay_rises_with_the_steps(graph, decay):
  """d = min(decay, (1 + t) / (10 + t)) after step t."""
  global_step = tf.train.get_or_create_global_step()
  weight = slim.model_variable('w', [], initializer=tf.zeros_initializer())
  with tf.control_dependencies([weight.assign_add(1.0)]):
    update = global_step.assign_add(1)
  step = train_step._update_moving_averages(
    TrainJob(moving_average_decay=decay), [update], global_step
  )
  (average,) = [
    v for v in tf.global_variables() if 'ExponentialMovingAverage' in v.op.name
  ]
  wanted, found = [0.0], []
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    for number in range(1, STEPS + 1):
      assert session.run(step) == number
      found.append(session.run(average))
      rate = min(decay, (1 + number) / (10 + number))
      wanted.append(rate * wanted[-1] + (1 - rate) * number)
  np.testing.assert_allclose(found, wanted[1:], rtol=1e-5)
