"""Accuracy, recall at 5, loss and per-class scores, one batch at a time."""

import numpy as np

from errors import UserError

# Among at most this many classes the true one is always in the top five.
TOP = 5


class Metrics:
  """Accumulates what one pass over a split says of a classifier.

  Memory is that of the confusion matrix, however many records there are.

  Args:
    num_classes: how many labels the classifier tells apart.

  Attributes:
    count: how many records were seen.
    confusion: int64 [num_classes, num_classes], records by true (row) and
      predicted (column) label.
  """

  def __init__(self, num_classes: int):
    self.num_classes = num_classes
    self.count = 0
    self.confusion = np.zeros((num_classes, num_classes), np.int64)
    self._top_hits = 0
    self._loss = 0.0
    self._bad_losses = 0

  def update(
    self, labels: np.ndarray, top_k: np.ndarray, losses: np.ndarray
  ) -> None:
    """Counts one batch.

    Args:
      labels: int [N], the true labels.
      top_k: int [N, min(5, num_classes)], predicted labels, best first; among
        equals the smaller label comes first, as tf.math.top_k has it.
      losses: float [N], each record's loss.

    Raises:
      UserError: if a true label is none of the classes.
      ValueError: if the arrays do not fit one another.
    """
    labels, top_k = np.asarray(labels), np.asarray(top_k)
    losses = np.asarray(losses, np.float64)
    self._check(labels, top_k, losses)
    self.count += len(labels)
    np.add.at(self.confusion, (labels, top_k[:, 0]), 1)
    self._top_hits += int((top_k == labels[:, None]).any(axis=1).sum())
    self._loss += float(losses.sum())
    self._bad_losses += int((~np.isfinite(losses)).sum())

  def scores(self) -> dict[str, float]:
    """Accuracy, Recall_5 (above 5 classes), loss and macro averages.

    The macro averages are plain means over the classes that have records.

    Raises:
      UserError: if no record was seen.
    """
    if not self.count:
      raise UserError(
        'No record was evaluated, so there is nothing to report: check '
        '--dataset_dir, --dataset_split_name and --max_num_batches.'
      )
    precision, recall, f1, support = self.per_class()
    there = support > 0
    scores = {'Accuracy': np.trace(self.confusion) / self.count}
    if self.num_classes > TOP:
      scores['Recall_5'] = self._top_hits / self.count
    scores['loss'] = self._loss / self.count
    scores['macro_precision'] = precision[there].mean()
    scores['macro_recall'] = recall[there].mean()
    scores['macro_f1'] = f1[there].mean()
    return {name: float(value) for name, value in scores.items()}

  def per_class(
    self,
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall, F1 and support of every class.

    precision = TP / predicted, recall = TP / support and F1 = 2 TP /
    (predicted + support), each 0 where it divides by 0.

    Returns:
      Three float64 and one int64 array of shape [num_classes].
    """
    hits = np.diagonal(self.confusion)
    support, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
    return (
      _ratio(hits, predicted),
      _ratio(hits, support),
      _ratio(2 * hits, predicted + support),
      support,
    )

  def notes(self) -> list[str]:
    """What a reader of the scores has to know, in a line each."""
    notes = []
    if self.num_classes <= TOP:
      notes.append(
        f'Recall_5 is left out: with {self.num_classes} classes it is 1 '
        'whatever the network does.'
      )
    if self._bad_losses:
      notes.append(
        f'{self._bad_losses} of {self.count} records have a loss that is not '
        'finite: the weights or the images are damaged.'
      )
    return notes

  def _check(
    self, labels: np.ndarray, top_k: np.ndarray, losses: np.ndarray
  ) -> None:
    """Raises unless shapes agree and every label is one of the classes."""
    count, classes = len(labels), self.num_classes
    wanted = ((count,), (count, min(TOP, classes)), (count,))
    found = (labels.shape, top_k.shape, losses.shape)
    if found != wanted:
      raise ValueError(f'labels, top_k, losses: {found} is not {wanted}')
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.size:
      raise UserError(
        f'Label {outside[0]} is outside the {classes} classes 0 to '
        f'{classes - 1}: check --labels_offset and the data set.'
      )
    if count and not 0 <= top_k.min() <= top_k.max() < classes:
      raise ValueError(f'a predicted label is outside the {classes} classes')


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  """Quotients, and 0 where `whole` is 0."""
  return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
