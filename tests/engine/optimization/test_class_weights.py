import numpy as np
import pytest

from engine.config.jobs import TrainJob
from engine.optimization import class_weights
from errors import UserError

COUNTS = np.array([90, 9, 1, 0])
NAMES = ('cat', 'dog', '1', 'eel')


def test_balanced_weights_make_the_classes_equal():
  weights = class_weights.balanced(COUNTS)
  assert weights == pytest.approx([100 / (3 * 90), 100 / 27, 100 / 3, 0])
  # Each class has the same part of the loss, and the mean record counts 1.
  assert (weights * COUNTS)[:3] == pytest.approx([100 / 3] * 3)


@pytest.mark.parametrize('beta', [0.0, 0.9, 0.999, 1 - 1e-12])
def test_effective_weights_follow_the_formula(beta):
  weights = class_weights.effective(COUNTS, beta)
  by_hand = [1 / sum(beta**k for k in range(n)) for n in (90, 9, 1)]
  scale = 100 / np.dot(by_hand, COUNTS[:3])
  assert weights[:3] == pytest.approx(np.multiply(by_hand, scale), rel=1e-6)
  assert weights[3] == 0
  assert np.dot(weights, COUNTS) == pytest.approx(100)


def test_beta_goes_from_no_weights_to_balanced_ones():
  none = class_weights.effective(COUNTS, 0.0)
  assert none[:3] == pytest.approx([1, 1, 1])
  assert class_weights.effective(COUNTS, 1 - 1e-9) == pytest.approx(
    class_weights.balanced(COUNTS), rel=1e-6
  )


@pytest.mark.parametrize('header', ['', 'class,weight\n'])
def test_a_file_names_classes_or_labels(tmp_path, header):
  path = tmp_path / 'weights.CSV'
  # '1' is the name of the class 2 before it is the label of another.
  path.write_text(f'{header}cat, 0.5\n\ndog,2\n1,3e0\n3,0\n')
  job = TrainJob(class_weights=str(path))
  assert class_weights.of_job(job, COUNTS, NAMES).tolist() == [0.5, 2, 3, 0]


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('cat,1\ndog,1\n', r'no weight for 2 of 4 classes: .*1.*eel'),
    ('cat,1\ndgo,1\n', r"line 2: Unknown class 'dgo'. Did you mean 'dog'"),
    ('cat,1\ncat,1\n', r"line 2: the class 'cat' is there twice"),
    ('cat,1\n0,1\n', r"line 2: the class '0' is there twice"),
    ('cat,-1\n', r"line 1: the weight '-1' of 'cat' must be a number from 0"),
    ('cat,nan\n', r"the weight 'nan'"),
    ('cat,inf\n', r"the weight 'inf'"),
    ('cat,much\n', r"the weight 'much'"),
    ('cat,1,2\n', r'line 1: 3 cells'),
    ('cat,0\ndog,0\n1,0\neel,0\n', r'all weights are 0'),
    ('', r'no weight for 4 of 4'),
    (b'c\xe4t,1\n', r'not a CSV file in UTF-8'),
  ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path, text, message):
  path = tmp_path / 'weights.csv'
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  job = TrainJob(class_weights=str(path))
  with pytest.raises(UserError, match=rf'--class_weights={path}.*{message}'):
    class_weights.check(job, NAMES)


def test_a_file_that_is_not_there_is_refused(tmp_path):
  job = TrainJob(class_weights=str(tmp_path / 'no.csv'))
  with pytest.raises(UserError, match=r'no\.csv cannot be read: No such file'):
    class_weights.check(job, NAMES)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'class_weights': 'balancd'}, r"'balancd'.*mean 'balanced'.*\.csv"),
    ({'class_weights_beta': 1.0}, 'must be less than 1'),
    ({'class_weights_beta': -0.1}, 'must be at least 0'),
  ],
)
def test_options_are_checked_at_once(options, message):
  with pytest.raises(UserError, match=message):
    TrainJob(**options)


def test_the_table_shows_the_rarest_classes():
  lines = class_weights.table(COUNTS, NAMES, [0.5, 1.0, 2.0, 0.0], 25.0)
  assert [line.split() for line in lines] == [
    ['class', 'records', 'weight', 'in', 'an', 'epoch'],
    ['eel', '0', '0', '25'],
    ['1', '1', '2', '25'],
    ['dog', '9', '1', '25'],
    ['cat', '90', '0.5', '25'],
  ]
  many = class_weights.table(
    range(1, 101), [f'c{n}' for n in range(100)], None, None
  )
  assert len(many) == 22
  assert many[1].split() == ['c0', '1']
  assert many[-1] == 'and 80 classes with more records.'
