"""Which variable is not finite."""

import numpy as np
import pytest

from engine.training import nan_guard
from tf_compat import few_runs, tf


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_the_variable_that_is_not_finite_is_named(graph, monkeypatch, value):
  monkeypatch.setattr(nan_guard, '_MOST_VALUES', 3)
  with tf.variable_scope('block1'):
    tf.get_variable('weights', [2], initializer=tf.zeros_initializer())
    broken = tf.get_variable('biases', initializer=tf.constant([0.0, value]))
    tf.get_variable('scale', initializer=1.0)
  mend = broken.assign([0.0, 1.0])
  variables = tf.global_variables()
  groups = [len(group) for group in nan_guard._groups(variables)]
  assert groups == [1, 2]
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    found = nan_guard.non_finite_variable(session, variables)
    assert found == 'block1/biases'
    session.run(mend)
    assert nan_guard.non_finite_variable(session, variables) is None
