import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from engine.evaluation.metrics import Metrics
from errors import UserError


def batch(rng, count, classes):
  """Random labels, and logits that know a little about them."""
  labels = rng.integers(0, classes, count)
  logits = rng.standard_normal((count, classes))
  logits[np.arange(count), labels] += 1.0
  return labels, logits


def softmax(logits):
  odds = np.exp(logits)
  return odds / odds.sum(axis=1, keepdims=True)


def top(logits):
  return np.argsort(-logits, axis=1, kind='stable')[:, :5]


# scikit-learn wonders about as many classes as records; here they are meant.
@pytest.mark.filterwarnings('ignore:The number of unique classes:UserWarning')
@pytest.mark.parametrize('classes', [2, 5, 6, 10, 37, 1001])
def test_agrees_with_scikit_learn(classes):
  rng = np.random.default_rng(classes)
  labels, logits = batch(rng, 523, classes)
  losses = rng.random(523)
  found = Metrics(classes)
  for part in np.array_split(np.arange(523), 6):
    found.update(
      labels[part], top(logits[part]), losses[part], softmax(logits[part])
    )

  names = list(range(classes))
  predicted = logits.argmax(axis=1)
  wanted = sklearn_metrics.precision_recall_fscore_support(
    labels, predicted, labels=names, zero_division=0
  )
  for one, other in zip(found.per_class(), wanted, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-12)
  np.testing.assert_array_equal(
    found.confusion.matrix(),
    sklearn_metrics.confusion_matrix(labels, predicted, labels=names),
  )
  scores = found.scores()
  assert found.count == 523
  assert scores['Accuracy'] == pytest.approx((labels == predicted).mean())
  assert scores['loss'] == pytest.approx(losses.mean())
  macro = sklearn_metrics.precision_recall_fscore_support(
    labels,
    predicted,
    labels=np.unique(labels),
    average='macro',
    zero_division=0,
  )
  assert [
    scores[f'macro_{name}'] for name in ('precision', 'recall', 'f1')
  ] == pytest.approx(macro[:3])
  assert scores['balanced_accuracy'] == pytest.approx(
    np.mean([(predicted == c)[labels == c].mean() for c in np.unique(labels)])
  )
  chances = softmax(logits)
  areas = [
    sklearn_metrics.roc_auc_score(labels == c, chances[:, c])
    if (labels == c).any()
    else np.nan
    for c in names
  ]
  # A class of one record loses half of the records in its bin.
  np.testing.assert_allclose(found.auroc(), areas, atol=1e-2)
  assert scores['macro_auroc'] == pytest.approx(np.nanmean(areas), abs=3e-4)
  if classes > 5:
    assert scores['Recall_5'] == pytest.approx(
      sklearn_metrics.top_k_accuracy_score(labels, logits, k=5, labels=names)
    )


@pytest.mark.parametrize('classes', [1, 2, 5])
def test_recall_5_is_left_out_with_a_note_where_it_says_nothing(classes):
  found = Metrics(classes)
  found.update([0], [list(range(classes))], [0.5], np.ones((1, classes)))
  assert 'Recall_5' not in found.scores()
  (note,) = found.notes()
  assert 'Recall_5' in note
  assert f'{classes} classes' in note


def test_classes_without_records_score_0_and_leave_the_averages_alone():
  found = Metrics(6)
  chances = [[0.75, 0.25, 0, 0, 0, 0], [0.25, 0, 0, 0, 0, 0.75]]
  found.update([0, 1], [[0, 1, 2, 3, 4], [5, 0, 2, 3, 4]], [1.0, 3.0], chances)
  precision, recall, f1, support = found.per_class()
  assert support.tolist() == [1, 1, 0, 0, 0, 0]
  assert precision.tolist() == recall.tolist() == f1.tolist() == [1] + [0] * 5
  assert found.scores() == {
    'Accuracy': 0.5,
    'Recall_5': 0.5,
    'loss': 2.0,
    'macro_precision': 0.5,
    'macro_recall': 0.5,
    'macro_f1': 0.5,
    'balanced_accuracy': 0.5,
    # Both are 0.75 sure, and one of two is right.
    'expected_calibration_error': 0.25,
    # Class 0 is in order, class 1 is not.
    'macro_auroc': 0.5,
  }
  assert found.auroc()[:2].tolist() == [1, 0]
  assert np.isnan(found.auroc()[2:]).all()
  assert found.notes() == []


def test_losses_of_millions_of_records_keep_their_digits():
  found = Metrics(1)
  for _ in range(20):
    found.update(
      np.zeros(100_000, int),
      np.zeros((100_000, 1), int),
      np.full(100_000, 0.1, np.float32),
      np.ones((100_000, 1)),
    )
  assert found.scores()['loss'] == pytest.approx(np.float32(0.1), rel=1e-9)


def test_a_loss_that_is_not_finite_shows():
  found = Metrics(6)
  chances = [[0.2, 0.8, 0, 0, 0, 0], [np.nan] * 6]
  found.update([1, 2], [[0, 1, 2, 3, 4]] * 2, [0.5, np.nan], chances)
  scores = found.scores()
  assert np.isnan(scores['loss'])
  assert np.isnan(scores['expected_calibration_error'])
  assert '1 of 2 records' in found.notes()[0]


@pytest.mark.parametrize('label', [-1, 7])
def test_a_label_outside_the_classes_is_the_users(label):
  with pytest.raises(
    UserError, match=rf'Label {label} .* 7 classes 0 to 6.*--labels_offset'
  ):
    Metrics(7).update(
      [0, label], [[0, 1, 2, 3, 4]] * 2, [0.0, 0.0], np.ones((2, 7))
    )


@pytest.mark.parametrize(
  ('labels', 'top_k', 'losses', 'classes'),
  [
    ([0], [[0, 1, 2, 3]], [0.0], 7),
    ([0], [[0, 1, 2, 3, 7]], [0.0], 7),
    ([0], [[0, 1, 2, 3, 4]], [0.0, 0.0], 7),
    ([[0]], [[0, 1, 2, 3, 4]], [0.0], 7),
    ([0], [[0, 1, 2, 3, 4]], [0.0], 5),
  ],
)
def test_arrays_that_do_not_fit_are_refused(labels, top_k, losses, classes):
  with pytest.raises(ValueError, match=r'is not|outside'):
    Metrics(7).update(labels, top_k, losses, np.ones((1, classes)))


def test_no_record_is_an_error_and_an_empty_batch_is_none():
  found = Metrics(7)
  found.update(
    np.zeros(0, int), np.zeros((0, 5), int), np.zeros(0), np.zeros((0, 7))
  )
  with pytest.raises(UserError, match='No record'):
    found.scores()


def test_many_classes_have_no_auroc_and_a_note_says_so():
  found = Metrics(2001)
  found.update([0], [[0, 1, 2, 3, 4]], [0.5], np.full((1, 2001), 1 / 2001))
  assert np.isnan(found.scores()['macro_auroc'])
  assert np.isnan(found.auroc()).all()
  assert any('AUROC' in note and '2,001' in note for note in found.notes())
