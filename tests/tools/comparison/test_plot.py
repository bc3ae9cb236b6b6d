"""comparison.png from complete and incomplete results."""

import pytest
from PIL import Image

from tools.comparison import plot


@pytest.mark.parametrize(
  'accuracies',
  [[[None]], [[0.5]], [[0.5, 0.5], [None, 0.1]], [[0.1 * n] for n in range(9)]],
)
def test_incomplete_results_are_drawn(make_rows, accuracies, tmp_path):
  path = tmp_path / 'plot.png'
  plot.draw(make_rows(*accuracies), 'a title', path)
  with Image.open(path) as image:
    assert image.width == 900
