import pathlib
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from engine import confusion_plot, picture

NAMES = (
  'cat',
  'an extraordinarily long name',
  '$x$ \\$',
  '\u72d7\u72d7',
  'a\nb',
)


@pytest.mark.parametrize('classes', [1, 2, 10, 20, 21, 102, 1001])
def test_draws_a_picture_of_sensible_size(classes, tmp_path):
  names = [NAMES[label % len(NAMES)] for label in range(classes)]
  confusion = np.diag(np.arange(classes))  # The first class has no records.
  confusion_plot.draw(confusion, names, 'title $\nbelow', tmp_path / 'c.png')
  height, width, _ = matplotlib.image.imread(tmp_path / 'c.png').shape
  assert 400 <= height <= 1400
  assert 400 <= width <= 1400


def test_a_lone_confusion_among_a_thousand_classes_is_seen(tmp_path):
  plain = np.eye(1001, dtype=int) * 50
  spotted = plain.copy()
  spotted[900, 100] = 5
  for number, confusion in enumerate((plain, spotted)):
    confusion_plot.draw(
      confusion, ['x'] * 1001, 't', tmp_path / f'{number}.png'
    )
  one, other = (
    matplotlib.image.imread(tmp_path / f'{number}.png') for number in range(2)
  )
  differ = np.abs(one - other).max(axis=-1) > 0.2
  assert 4 <= differ.sum() <= 36


@pytest.mark.parametrize(
  ('count', 'text'),
  [(7, '7'), (99_999, '99999'), (123_456, '123k'), (3_400_000, '3.4M')],
)
def test_counts_stay_within_their_cells(count, text):
  assert confusion_plot._short(count) == text


@pytest.mark.parametrize(
  ('name', 'shown'),
  [
    ('cat', 'cat'),
    ('  two\n words', 'two words'),
    ('exactly ten', 'exactly t…'),
    ('\u0433\u0440\u0443\u0437', '\u0433\u0440\u0443\u0437'),
    ('\u72d7\u72d7 x', '7'),
    ('panda \u718a', 'panda \N{WHITE SQUARE}'),
  ],
)
def test_names_are_made_legible(name, shown):
  assert picture.legible(name, 10, otherwise='7') == shown


def test_matplotlib_is_imported_only_by_who_draws():
  code = (
    'import sys, engine.metrics, engine.progress, engine.results; '
    'sys.exit("matplotlib" in sys.modules)'
  )
  root = pathlib.Path(confusion_plot.__file__).parents[1]
  subprocess.run([sys.executable, '-c', code], cwd=root, check=True)
