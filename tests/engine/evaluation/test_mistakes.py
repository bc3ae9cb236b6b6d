"""The most confident mistakes, over batches."""

import numpy as np

from engine.evaluation.mistakes import Mistake, Mistakes


def test_the_most_confident_of_all_batches_are_kept():
  random = np.random.default_rng(0)
  labels, predicted = random.integers(0, 4, (2, 500))
  confidences = random.random(500).round(2)
  mistakes = Mistakes(20)
  for start in range(0, 500, 32):
    batch = slice(start, min(start + 32, 500))
    indices = range(batch.start, batch.stop)
    mistakes.add(
      indices,
      [f'{n}.jpg'.encode() for n in indices],
      labels[batch],
      predicted[batch],
      confidences[batch],
    )
  wrong = np.flatnonzero(labels != predicted)
  order = sorted(wrong, key=lambda n: (-confidences[n], n))[:20]
  assert mistakes.worst() == [
    Mistake(int(n), f'{n}.jpg', labels[n], predicted[n], confidences[n])
    for n in order
  ]


def test_right_predictions_and_nan_are_no_mistakes():
  mistakes = Mistakes()
  labels, predicted = np.array([0, 1, 2]), np.array([0, 2, 1])
  mistakes.add(
    range(3), [''] * 3, labels, predicted, np.array([1, np.nan, 0.5])
  )
  assert mistakes.worst() == [Mistake(2, '', 2, 1, 0.5)]
