"""The mistakes that an evaluation is most confident of."""

import dataclasses
import heapq
from collections.abc import Iterable

import numpy as np

# Kept in results.json: as many as a reader looks at.
MOST = 100


@dataclasses.dataclass(frozen=True)
class Mistake:
  """A record whose predicted class is wrong.

  Attributes:
    index: its position in the split, in the order evaluation reads it.
    filename: name of its file; '' if the record has none.
    label: its true class.
    predicted: the predicted class.
    confidence: the predicted class's probability.
  """

  index: int
  filename: str
  label: int
  predicted: int
  confidence: float


class Mistakes:
  """Accumulates the most confident mistakes over batches.

  Args:
    most: how many to keep.
  """

  def __init__(self, most: int = MOST):
    self._most = most
    self._worst: list[Mistake] = []

  def add(
    self,
    indices: Iterable[int],
    filenames: Iterable[str | bytes],
    labels: np.ndarray,
    predicted: np.ndarray,
    confidences: np.ndarray,
  ) -> None:
    """Adds a batch.

    Args:
      indices: N positions in the split.
      filenames: N names, '' if the record has none.
      labels: int [N], the true classes.
      predicted: int [N], the predicted classes.
      confidences: float [N]; a record of which it is NaN is left out.
    """
    new = (
      Mistake(int(i), _text(name), int(label), int(guess), float(confidence))
      for i, name, label, guess, confidence in zip(
        indices, filenames, labels, predicted, confidences, strict=True
      )
      if guess != label and np.isfinite(confidence)
    )
    self._worst = heapq.nlargest(self._most, [*self._worst, *new], key=_order)

  def worst(self) -> list[Mistake]:
    """Returns the mistakes, most confident first; of equal ones the earlier."""
    return list(self._worst)


def _order(mistake: Mistake) -> tuple[float, int]:
  return mistake.confidence, -mistake.index


def _text(name: str | bytes) -> str:
  """Decodes a file name, which TensorFlow returns as bytes."""
  return name.decode('utf-8', 'replace') if isinstance(name, bytes) else name
