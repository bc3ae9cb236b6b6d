import pathlib
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from engine.confusion import Confusion
from engine.plots import confusion_matrix
from engine.plots import style as plot_style

NAMES = (
  'cat',
  'an extraordinarily long name',
  '$x$ \\$',
  '\u72d7\u72d7',
  'a\nb',
)


@pytest.mark.slow
@pytest.mark.parametrize('classes', [1, 2, 10, 20, 21, 102, 1001, 21_841])
def test_plots_have_a_sensible_size(classes, tmp_path):
  names = [NAMES[label % len(NAMES)] for label in range(classes)]
  confusion = Confusion(classes)
  # The first class has no records.
  confusion.add(np.arange(1, classes), np.arange(1, classes))
  confusion_matrix.draw(confusion, names, 'title $\nbelow', tmp_path / 'c.png')
  height, width, _ = matplotlib.image.imread(tmp_path / 'c.png').shape
  assert 400 <= height <= 1400
  assert 400 <= width <= 1400


def test_a_single_confusion_among_a_thousand_classes_is_visible(tmp_path):
  confusion = Confusion(1001)
  for number, labels in enumerate((np.repeat(np.arange(1001), 9), [900])):
    confusion.add(np.array(labels), np.where(number, 100, labels))
    confusion_matrix.draw(
      confusion, ['x'] * 1001, 't', tmp_path / f'{number}.png'
    )
  first, second = (
    matplotlib.image.imread(tmp_path / f'{number}.png') for number in range(2)
  )
  is_different = np.abs(first - second).max(axis=-1) > 0.2
  assert 4 <= is_different.sum() <= 36


@pytest.mark.parametrize(
  ('count', 'text'),
  [(7, '7'), (99_999, '99999'), (123_456, '123k'), (3_400_000, '3.4M')],
)
def test_counts_fit_into_their_cells(count, text):
  assert confusion_matrix._short(count) == text


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('cat', 'cat'),
    ('  two\n words', 'two words'),
    ('exactly ten', 'exactly t…'),
    ('\u0433\u0440\u0443\u0437', '\u0433\u0440\u0443\u0437'),
    ('\u72d7\u72d7 x', '7'),
    ('panda \u718a', 'panda \N{WHITE SQUARE}'),
  ],
)
def test_legible_names(name, expected):
  assert plot_style.legible(name, 10, otherwise='7') == expected


def test_matplotlib_is_imported_only_to_draw():
  code = (
    'import sys; '
    'import engine.evaluation.metrics, engine.evaluation.results; '
    'import engine.plots.style, engine.run_dir.progress_csv; '
    'sys.exit("matplotlib" in sys.modules)'
  )
  root = pathlib.Path(confusion_matrix.__file__).parents[2]
  subprocess.run([sys.executable, '-c', code], cwd=root, check=True)
