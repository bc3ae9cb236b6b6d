"""Which variable is not finite."""

import numpy as np
import pytest

from engine.training import nan_guard
from tf_compat import few_runs, tf


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_the_variable_that_is_not_finite_is_named(graph, value):
  with tf.variable_scope('block1'):
    tf.get_variable('weights', [2], initializer=tf.zeros_initializer())
    broken = tf.get_variable('biases', initializer=tf.constant([0.0, value]))
  tf.get_variable('steps', initializer=tf.constant(1))
  mend = broken.assign([0.0, 1.0])
  check = nan_guard.check_variables()
  with tf.Session(config=few_runs()) as session:
    session.run(tf.global_variables_initializer())
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
      session.run(check)
    assert nan_guard.non_finite_variable(error.value) == 'block1/biases'
    session.run(mend)
    session.run(check)


@pytest.mark.parametrize(
  ('message', 'name'),
  [
    ('a/b : Tensor had NaN values\n\t [[{{node CheckNumerics}}]]', 'a/b'),
    ('{{node CheckNumerics}} a/b : Tensor had Inf values', 'a/b'),
    (
      'From /job:ps/replica:0/task:0:\n2 root error(s) found.\n  (0) '
      'INVALID_ARGUMENT: a/b : Tensor had Inf and NaN values\n  (1) '
      'INVALID_ARGUMENT: c : Tensor had NaN values',
      'a/b',
    ),
    ('another error', 'A variable'),
  ],
)
def test_the_name_is_read_from_any_form_of_the_message(message, name):
  error = tf.errors.InvalidArgumentError(None, None, message)
  assert nan_guard.non_finite_variable(error) == name
