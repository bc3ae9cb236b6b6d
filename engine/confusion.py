"""Counts of records by true and predicted class."""

import collections
import dataclasses

import numpy as np


@dataclasses.dataclass
class Confusion:
  """Counts of records by true and predicted class.

  It holds only the pairs that occur, because the matrix of 20,000 classes would
  have 400 million cells.

  Args:
    num_classes: number of classes.
  """

  num_classes: int
  _counts: collections.Counter[int] = dataclasses.field(
    default_factory=collections.Counter, init=False
  )

  def add(self, true: np.ndarray, predicted: np.ndarray) -> None:
    """Counts records.

    Args:
      true: int [N], their classes.
      predicted: int [N], what was predicted for each.
    """
    cells = true.astype(np.int64) * self.num_classes + predicted
    self._counts.update(cells.tolist())

  def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the pairs that occur, ordered by true and predicted class.

    Returns:
      Three int64 [P]: the true classes, the predicted ones, and the counts.
    """
    items = np.array(sorted(self._counts.items()), np.int64).reshape(-1, 2)
    true, predicted = np.divmod(items[:, 0], max(1, self.num_classes))
    return true, predicted, items[:, 1]

  def hits(self) -> np.ndarray:
    """Returns the number of right predictions of each class, int64 [C]."""
    true, predicted, counts = self.pairs()
    return self._sum(true[true == predicted], counts[true == predicted])

  def support(self) -> np.ndarray:
    """Returns the number of records of each class, int64 [C]."""
    true, _, counts = self.pairs()
    return self._sum(true, counts)

  def predicted(self) -> np.ndarray:
    """Returns the number of predictions of each class, int64 [C]."""
    _, predicted, counts = self.pairs()
    return self._sum(predicted, counts)

  def matrix(self) -> np.ndarray:
    """Returns int64 [C, C], the counts by true class (row) and predicted."""
    matrix: np.ndarray = np.zeros(
      (self.num_classes, self.num_classes), np.int64
    )
    true, predicted, counts = self.pairs()
    matrix[true, predicted] = counts
    return matrix

  def _sum(self, classes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Adds up counts by class."""
    sums: np.ndarray = np.zeros(self.num_classes, np.int64)
    np.add.at(sums, classes, counts)
    return sums
