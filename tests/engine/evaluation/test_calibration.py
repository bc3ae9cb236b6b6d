import math

import numpy as np
import pytest

from engine.evaluation.calibration import (
  Calibration,
  expected_calibration_error,
  reliability_bins,
)


def by_hand(confidences, correct, bins):
  """Counts, mean confidence, accuracy and ECE, from the paper's intervals."""
  rows, error = [], 0.0
  for b in range(bins):
    inside = [
      (p, hit)
      for p, hit in zip(confidences, correct, strict=True)
      if b / bins < p <= (b + 1) / bins or (b == 0 and p == 0)
    ]
    count = len(inside)
    confidence = sum(p for p, _ in inside) / count if count else 0
    accuracy = sum(hit for _, hit in inside) / count if count else 0
    rows.append((count, confidence, accuracy))
    error += count / len(confidences) * abs(accuracy - confidence)
  return rows, error


@pytest.mark.parametrize('bins', [1, 2, 10, 15])
def test_bins_and_error_agree_with_the_papers_intervals(bins):
  rng = np.random.default_rng(bins)
  # No value is so near an edge that rounding decides its bin.
  confidences = np.append(rng.integers(1, 1000, 400) / 1009, [0.0, 1.0])
  correct = rng.random(402) < confidences
  rows, error = by_hand(confidences, correct, bins)
  found = reliability_bins(confidences, correct, bins)
  np.testing.assert_allclose(np.transpose(found), rows, rtol=1e-12)
  assert expected_calibration_error(found) == pytest.approx(error, rel=1e-12)


def test_there_are_15_bins_and_an_upper_edge_is_inside():
  found = reliability_bins(np.array([0.0, 0.25, 0.5, 1.0]), [0, 1, 0, 1])
  assert len(found.counts) == 15
  halves = reliability_bins(np.array([0.25, 0.5, 0.51]), [1, 1, 0], 2)
  assert halves.counts.tolist() == [2, 1]
  assert halves.accuracy.tolist() == [1, 0]


def test_batches_add_up_to_the_whole():
  rng = np.random.default_rng(0)
  confidences, correct = rng.random(97), rng.random(97) < 0.5
  parts = Calibration()
  for part in np.array_split(np.arange(97), 5):
    parts.add(confidences[part], correct[part])
  for one, other in zip(
    parts.bins(), reliability_bins(confidences, correct), strict=True
  ):
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_perfect_and_boasting_predictions():
  perfect = reliability_bins(np.ones(8), np.ones(8, bool))
  boasting = reliability_bins(np.ones(8), np.zeros(8, bool))
  nothing = reliability_bins(np.zeros(0), np.zeros(0, bool))
  errors = map(expected_calibration_error, (perfect, boasting, nothing))
  assert list(errors) == [0, 1, 0]


def test_a_confidence_that_is_no_number_shows():
  found = reliability_bins(np.array([np.nan, 0.9]), [True, True])
  assert found.counts.sum() == 2
  assert math.isnan(expected_calibration_error(found))


def test_arrays_that_do_not_fit_and_no_bins_are_refused():
  with pytest.raises(ValueError, match='same shape'):
    reliability_bins(np.zeros(3), np.zeros(2, bool))
  with pytest.raises(ValueError, match='at least 1'):
    reliability_bins(np.zeros(1), np.zeros(1, bool), bins=0)
