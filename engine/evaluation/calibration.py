"""Calibration: how well a classifier's confidence foretells its accuracy.

Records are grouped by confidence, which is the probability of the predicted
class; in a well calibrated bin, accuracy equals mean confidence.
"""

from typing import NamedTuple

import numpy as np

BINS = 15


class ReliabilityBins(NamedTuple):
  """Records by confidence, in bins of equal width: what a diagram shows.

  Attributes:
    counts: int64 [B], the records of each bin.
    confidence: float64 [B], their mean confidence; 0 for an empty bin.
    accuracy: float64 [B], their share of right predictions; 0 for an empty bin.
  """

  counts: np.ndarray
  confidence: np.ndarray
  accuracy: np.ndarray


class Calibration:
  """Accumulates reliability bins over batches; memory does not grow.

  Bin b of B holds the confidences in (b / B, (b + 1) / B]; 0 is in the first.

  Args:
    bins: number of bins B.

  Raises:
    ValueError: if bins is below 1.
  """

  def __init__(self, bins: int = BINS):
    if bins < 1:
      raise ValueError(f'{bins} bins: at least 1 is needed')
    self._counts: np.ndarray = np.zeros(bins, np.int64)
    self._confidence: np.ndarray = np.zeros(bins)
    self._hits: np.ndarray = np.zeros(bins, np.int64)

  def add(self, confidences: np.ndarray, correct: np.ndarray) -> None:
    """Adds records.

    Args:
      confidences: float [N] in 0 to 1; one that is NaN makes the error NaN.
      correct: bool [N], whether each prediction is right.

    Raises:
      ValueError: if the shapes are not [N].
    """
    confidences = np.asarray(confidences, np.float64)
    correct = np.asarray(correct, bool)
    if confidences.ndim != 1 or confidences.shape != correct.shape:
      raise ValueError(
        f'confidences {confidences.shape} and correct {correct.shape} must '
        'have the same shape, [N]'
      )
    bins = len(self._counts)
    # NaN is of no bin: the first one shows it.
    edges = np.ceil(np.nan_to_num(confidences) * bins)
    index = np.clip(edges - 1, 0, bins - 1).astype(np.int64)
    np.add.at(self._counts, index, 1)
    np.add.at(self._confidence, index, confidences)
    np.add.at(self._hits, index, correct)

  def bins(self) -> ReliabilityBins:
    """Returns the bins of all records so far."""
    counts = np.maximum(self._counts, 1)
    return ReliabilityBins(
      self._counts.copy(), self._confidence / counts, self._hits / counts
    )


def reliability_bins(
  confidences: np.ndarray, correct: np.ndarray, bins: int = BINS
) -> ReliabilityBins:
  """Groups records by confidence in bins of equal width.

  Args:
    confidences: float [N], the probability of each predicted class, 0 to 1.
    correct: bool [N], whether each prediction is right.
    bins: number of bins.

  Raises:
    ValueError: if the shapes differ, or bins is below 1.
  """
  calibration = Calibration(bins)
  calibration.add(confidences, correct)
  return calibration.bins()


def expected_calibration_error(bins: ReliabilityBins) -> float:
  """Σ counts / n · |accuracy - confidence| (arXiv:1706.04599, formula 3).

  0 is best; without records it is 0.
  """
  gaps = np.abs(bins.accuracy - bins.confidence)
  return float((bins.counts * gaps).sum() / max(1, bins.counts.sum()))
