"""Area under the ROC curve of each class against the rest, from histograms."""

import numpy as np

# Beyond, the histograms would take more memory than the answer is worth.
MAX_CLASSES = 2000
# Bins of equal width in log(p / (1 - p)), between these values: two
# probabilities are told apart if their odds differ by a factor of 1.015.
BINS = 4096
_LOWEST, _HIGHEST = -40.0, 20.0


class RocAreas:
  """Accumulates the probabilities of each class by whether a record is of it.

  Memory is 32 KB for each class, whatever the number of records. Records of a
  bin count as equal, so the area is exact up to half of their pairs.

  Args:
    num_classes: number of classes C.
  """

  def __init__(self, num_classes: int):
    shape = (num_classes, BINS)
    self._all: np.ndarray = np.zeros(shape, np.int32)
    self._positives: np.ndarray = np.zeros(shape, np.int32)

  def add(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Adds records.

    Args:
      labels: int [N], the true labels.
      probabilities: float [N, C].
    """
    bins = _bins(probabilities)
    classes = np.broadcast_to(np.arange(bins.shape[1]), bins.shape)
    np.add.at(self._all, (classes, bins), 1)
    own = bins[np.arange(len(labels)), labels]
    np.add.at(self._positives, (labels, own), 1)

  def areas(self) -> np.ndarray:
    """Returns the share of pairs that are in order, float64 [C].

    For each class, P(p of a record of the class > p of another one), where
    equal ones count half; NaN for a class with all records or with none.
    """
    positives: np.ndarray = self._positives.astype(np.float64)
    negatives = self._all - positives
    below = np.cumsum(negatives, axis=1) - negatives / 2
    in_order = (positives * below).sum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    undefined: np.ndarray = np.full(len(pairs), np.nan)
    return np.divide(in_order, pairs, out=undefined, where=pairs > 0)


def _bins(probabilities: np.ndarray) -> np.ndarray:
  """Returns the bin of each probability, int64 of the same shape."""
  shares = np.clip(np.nan_to_num(probabilities.astype(np.float64)), 0, 1)
  with np.errstate(divide='ignore'):
    odds = np.log(shares) - np.log1p(-shares)
  part = (np.clip(odds, _LOWEST, _HIGHEST) - _LOWEST) / (_HIGHEST - _LOWEST)
  return np.minimum(part * BINS, BINS - 1).astype(np.int64)
