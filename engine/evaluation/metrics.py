"""Accuracy, recall at 5, loss and per-class scores, accumulated by batch."""

import numpy as np

from engine.confusion import Confusion
from engine.evaluation.calibration import (
  Calibration,
  ReliabilityBins,
  expected_calibration_error,
)
from engine.evaluation.roc import MAX_CLASSES, RocAreas
from errors import UserError

# The k of Recall_5; with this many classes or fewer it is always 1.
TOP = 5


class Metrics:
  """Accumulates the scores of a classifier over the batches of a split.

  Memory grows with the pairs of classes that are confused, not with records.

  Args:
    num_classes: number of classes.

  Attributes:
    count: number of records so far.
    confusion: number of records by true and predicted label.
  """

  def __init__(self, num_classes: int):
    self.num_classes = num_classes
    self.count = 0
    self.confusion = Confusion(num_classes)
    self._top_hits = 0
    self._loss = 0.0
    self._bad_losses = 0
    self._calibration = Calibration()
    self._roc = RocAreas(num_classes) if num_classes <= MAX_CLASSES else None

  def update(
    self,
    labels: np.ndarray,
    top_k: np.ndarray,
    losses: np.ndarray,
    probabilities: np.ndarray,
  ) -> None:
    """Adds one batch.

    Args:
      labels: int [N], the true labels.
      top_k: int [N, min(5, num_classes)], predicted labels, best first; of
        equal ones the smaller label comes first, as in tf.math.top_k.
      losses: float [N], each record's loss.
      probabilities: float [N, num_classes], of each class.

    Raises:
      UserError: if a true label is not one of the classes.
      ValueError: if the shapes of the arrays contradict one another.
    """
    labels, top_k = np.asarray(labels), np.asarray(top_k)
    losses, probabilities = map(np.asarray, (losses, probabilities))
    self._check(labels, top_k, losses, probabilities)
    self.count += len(labels)
    self.confusion.add(labels, top_k[:, 0])
    self._top_hits += int((top_k == labels[:, None]).any(axis=1).sum())
    self._loss += float(losses.astype(np.float64).sum())
    self._bad_losses += int((~np.isfinite(losses)).sum())
    best = top_k[:, 0]
    self._calibration.add(
      probabilities[np.arange(len(best)), best], best == labels
    )
    if self._roc:
      self._roc.add(labels, probabilities)

  def scores(self) -> dict[str, float]:
    """Returns Accuracy, Recall_5 (above 5 classes), loss and what is below.

    The macro averages are unweighted means over the classes with records, and
    balanced_accuracy is that of recall. macro_auroc is the mean over the classes
    in which it is defined; NaN if there is none.

    Raises:
      UserError: if there are no records.
    """
    if not self.count:
      raise UserError(
        'No record was evaluated, so there is nothing to report: check '
        '--dataset_dir, --dataset_split_name and --max_num_batches.'
      )
    precision, recall, f1, support = self.per_class()
    present = support > 0
    scores = {'Accuracy': self.confusion.hits().sum() / self.count}
    if self.num_classes > TOP:
      scores['Recall_5'] = self._top_hits / self.count
    scores['loss'] = self._loss / self.count
    scores['macro_precision'] = precision[present].mean()
    scores['macro_recall'] = recall[present].mean()
    scores['macro_f1'] = f1[present].mean()
    scores['balanced_accuracy'] = recall[present].mean()
    scores['expected_calibration_error'] = expected_calibration_error(
      self._calibration.bins()
    )
    areas = self.auroc()
    is_known = np.isfinite(areas)
    scores['macro_auroc'] = areas[is_known].mean() if is_known.any() else np.nan
    return {name: float(value) for name, value in scores.items()}

  def per_class(
    self,
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns precision, recall, F1 and support of every class.

    precision = TP / predicted, recall = TP / support and F1 = 2 TP /
    (predicted + support), each 0 if the divisor is 0.

    Returns:
      Three float64 and one int64 array of shape [num_classes].
    """
    hits, support = self.confusion.hits(), self.confusion.support()
    predicted = self.confusion.predicted()
    return (
      _ratio(hits, predicted),
      _ratio(hits, support),
      _ratio(2 * hits, predicted + support),
      support,
    )

  def auroc(self) -> np.ndarray:
    """Returns the area under each class's ROC curve, one versus rest.

    Returns:
      float64 [num_classes]; NaN for a class with all records or with none, and
      for all beyond MAX_CLASSES.
    """
    if self._roc is None:
      return np.full(self.num_classes, np.nan)
    return self._roc.areas()

  def reliability(self) -> ReliabilityBins:
    """Returns confidence and accuracy of the records in bins of confidence."""
    return self._calibration.bins()

  def notes(self) -> list[str]:
    """Returns remarks that a reader of the scores must know, a line each."""
    notes = []
    if self.num_classes <= TOP:
      notes.append(
        f'Recall_5 is omitted: with {self.num_classes} classes it is always 1.'
      )
    if self._roc is None:
      notes.append(
        f'AUROC is omitted: it is computed for up to {MAX_CLASSES:,} classes, '
        f'and there are {self.num_classes:,}.'
      )
    if self._bad_losses:
      notes.append(
        f'{self._bad_losses} of {self.count} records have a loss that is not '
        'finite: the weights or the images are damaged.'
      )
    return notes

  def _check(
    self,
    labels: np.ndarray,
    top_k: np.ndarray,
    losses: np.ndarray,
    probabilities: np.ndarray,
  ) -> None:
    """Raises an error unless shapes agree and labels are in range."""
    count, classes = len(labels), self.num_classes
    expected = (
      (count,), (count, min(TOP, classes)), (count,), (count, classes)
    )  # fmt: skip
    shapes = (labels.shape, top_k.shape, losses.shape, probabilities.shape)
    if shapes != expected:
      raise ValueError(
        f'labels, top_k, losses, probabilities: {shapes} is not {expected}'
      )
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.size:
      raise UserError(
        f'Label {outside[0]} is outside the {classes} classes 0 to '
        f'{classes - 1}: check --labels_offset and the data set.'
      )
    if count and not 0 <= top_k.min() <= top_k.max() < classes:
      raise ValueError(f'a predicted label is outside the {classes} classes')


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  """Returns part / whole, and 0 where whole is 0."""
  return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
