"""comparison.png from complete and incomplete results."""

import numpy as np
import pytest
from PIL import Image

from engine.run_dir import results_csv
from tools.comparison import plot


@pytest.mark.parametrize(
  'accuracies',
  [[[None]], [[0.5]], [[0.5, 0.5], [None, 0.1]], [[0.1 * n] for n in range(9)]],
)
def test_incomplete_results_are_drawn(make_rows, accuracies, tmp_path):
  path = tmp_path / 'plot.png'
  plot.draw(make_rows(*accuracies), 'a title', 'test', path)
  with Image.open(path) as image:
    assert image.width == 900


@pytest.fixture
def draw(make_rows, monkeypatch):
  """Draws rows with curves of two seeds; returns the figure."""

  def draw(*accuracies):
    rows = make_rows(*accuracies)
    curve = np.arange(3), np.array([0.1, 0.2, 0.3])
    runs = [curve, (curve[0], curve[1] + 0.2)]
    monkeypatch.setattr(plot, '_series', lambda row, read: iter(runs))
    figures = []
    monkeypatch.setattr(
      plot.plot_style, 'save', lambda figure, *_: figures.append(figure)
    )
    plot.draw(rows, 'a title', 'test', 'plot.png')
    return figures[0]

  return draw


def test_curves_are_those_of_the_split(tmp_path):
  for step, split, accuracy in (
    (10, 'test', 0.1), (20, 'test', 0.2), (20, 'train', 0.9),
  ):  # fmt: skip
    (tmp_path / 'eval').mkdir(exist_ok=True)
    results_csv.append(
      tmp_path / 'eval' / results_csv.FILE,
      time='2026-01-01T00:00:00+00:00',
      global_step=step,
      checkpoint='model.ckpt',
      split=split,
      count=10,
      metrics={'Accuracy': accuracy},
    )
  steps, accuracies = plot._accuracies(tmp_path, 'test')
  assert (steps.tolist(), accuracies.tolist()) == ([10, 20], [0.1, 0.2])


def test_there_is_one_legend_that_names_every_variant_once(draw):
  figure = draw([0.5, 0.7], [0.6, 0.6])
  assert [axes.get_legend() for axes in figure.axes] == [None] * 3
  (legend,) = figure.legends
  names = [text.get_text() for text in legend.get_texts()]
  assert names == [
    label.get_text() for label in figure.axes[0].get_yticklabels()
  ]


def test_error_bars_and_bands_are_standard_deviations(draw):
  first, second, _ = draw([0.5, 0.7], [0.6]).axes
  (bar, *_), *_ = (each[2] for each in first.containers)
  ends = bar.get_segments()[0][:, 0]
  np.testing.assert_allclose(ends, 0.6 + np.array([-1, 1]) * 0.02**0.5)
  band = second.collections[0].get_paths()[0].vertices[:, 1]
  assert band.min() == pytest.approx(0.2 - 0.02**0.5)
  assert band.max() == pytest.approx(0.4 + 0.02**0.5)
