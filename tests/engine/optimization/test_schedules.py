import math

import pytest

from engine.config.jobs import TrainJob
from engine.optimization import schedules
from tf_compat import few_runs, tf


def rates(job, steps, num_records=100, images_per_step=10):
  """The schedule's values at some steps."""
  span = schedules.span(job, num_records, images_per_step)
  with tf.Graph().as_default(), tf.Session(config=few_runs()) as session:
    step = tf.placeholder(tf.int64, [])
    rate = schedules.learning_rate(job, step, span)
    return [session.run(rate, {step: s}) for s in steps]


def test_exponential_decay_is_a_staircase_of_true_epochs():
  job = TrainJob(learning_rate=0.1, num_epochs_per_decay=2.0)
  assert rates(job, [0, 19, 20, 45]) == pytest.approx(
    [0.1, 0.1, 0.1 * 0.94, 0.1 * 0.94**2]
  )


def test_fixed_stays():
  job = TrainJob(learning_rate=0.2, learning_rate_decay_type='fixed')
  assert rates(job, [0, 10**6]) == pytest.approx([0.2, 0.2])


def test_polynomial_falls_in_a_line_to_the_last_step_and_stays():
  job = TrainJob(
    learning_rate=0.1,
    end_learning_rate=0.02,
    learning_rate_decay_type='polynomial',
    max_number_of_steps=40,
  )
  assert rates(job, [0, 10, 40, 80]) == pytest.approx([0.1, 0.08, 0.02, 0.02])


def test_polynomial_without_a_last_step_takes_num_epochs_per_decay():
  job = TrainJob(
    learning_rate=0.1,
    end_learning_rate=0.0,
    learning_rate_decay_type='polynomial',
    num_epochs_per_decay=4.0,
  )
  assert rates(job, [20, 40]) == pytest.approx([0.05, 0.0])


def test_cosine_is_half_a_wave_after_the_warm_up():
  job = TrainJob(
    learning_rate=1.0,
    end_learning_rate=0.0,
    learning_rate_decay_type='cosine',
    max_number_of_steps=50,
    warmup_epochs=1.0,
  )
  expected = [0.1, 0.5, 1.0, (1 + math.cos(math.pi / 4)) / 2, 0.5, 0.0]
  assert rates(job, [0, 4, 10, 20, 30, 50]) == pytest.approx(expected, abs=1e-6)


def test_warm_up_rises_in_a_line_and_leaves_the_schedule_in_place():
  job = TrainJob(learning_rate=0.1, warmup_epochs=0.5, num_epochs_per_decay=1.0)
  assert rates(job, [0, 4, 9, 10]) == pytest.approx([0.02, 0.1, 0.1, 0.094])


def test_a_decay_is_never_shorter_than_a_step():
  job = TrainJob(num_epochs_per_decay=0.001)
  assert schedules.span(job, num_records=10, images_per_step=100).decay == 1
