"""Boxes go where the recipe takes what is in them."""

import io
import itertools
import warnings

import numpy as np
import pytest
from PIL import Image

from datasets.dataset import Dataset
from datasets.sight import Look, Sight
from engine import contact_sheet
from preprocessing.preprocessing_factory import PREPROCESSINGS

SIZE = 64


def sight(*boxes, width=120, height=90, kind='PNG'):
  """A black picture with its boxes filled white."""
  pixels = np.zeros((height, width, 3), np.uint8)
  for ymin, xmin, ymax, xmax in boxes:
    rows = slice(round(ymin * height), round(ymax * height))
    pixels[rows, round(xmin * width) : round(xmax * width)] = 255
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, kind)
  look = Look(f'{kind} RGB', width, height, b'')
  return Sight('', 0, 0, 0, file.getvalue(), boxes, look)


def extent(mask):
  """The first and last row and column in which there is something."""
  places = np.argwhere(mask)
  return np.array([places.min(0), places.max(0)])


@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('recipe', PREPROCESSINGS)
def test_outlines_follow_what_they_are_around(recipe, channels, is_training):
  shown = sight((0.35, 0.4, 0.6, 0.65)), sight((0.4, 0.3, 0.7, 0.6), kind='BMP')
  inputs = contact_sheet._inputs(shown, channels, recipe, SIZE, is_training)
  for image, outlines in inputs:
    assert image.shape == (SIZE, SIZE, channels)
    white = contact_sheet._is_white(image)
    # What a random crop shows may be all within a box, or all without.
    assert outlines.any() == white.any()
    if white.any():
      assert outlines.sum() < SIZE**2 / 3
      np.testing.assert_allclose(extent(outlines), extent(white), atol=2)
    if not is_training:
      # It is a frame: within it nothing is drawn.
      assert not outlines[tuple(np.argwhere(white).mean(0).astype(int))]


def test_pictures_without_boxes_and_with_boxes_of_no_use():
  shown = sight(), sight((0.0, 0.0, 0.0, 0.0)), sight((0.2, 0.2, 0.4, 0.4))
  odd = (float('nan'), -1.0, float('inf'), 2.0), (0.9, 0.8, 0.1, 0.2)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    inputs = contact_sheet._inputs(
      [*shown, Sight('', 0, 0, 0, shown[0].encoded, odd, shown[0].look)],
      3,
      'inception',
      SIZE,
      False,
    )
  none, corner, one, odd = (outlines.sum() for _, outlines in inputs)
  assert none == corner == 0
  assert odd > one > 0


def test_titles_and_pictures_have_places_of_their_own(tmp_path, monkeypatch):
  figures = []
  monkeypatch.setattr(
    contact_sheet.picture, 'save', lambda figure, path: figures.append(figure)
  )
  tall, wide = sight(width=60, height=120), sight(width=120, height=60)
  samples = {'train': [tall, wide] * 3, 'test': [wide]}
  dataset = Dataset('made', 'train', (), 7, 1, 3, ('one',))
  contact_sheet.draw(dataset, samples, 'inception', SIZE, tmp_path / 'x.png')
  (figure,) = figures
  figure.draw_without_rendering()
  boxes = [
    box.get_window_extent()
    for cell in figure.axes
    for box in (cell.title, *cell.images)
    if cell.images
  ]
  # A title's lowest pixel row may touch its own picture's first.
  boxes = [box.padded(-1) for box in boxes]
  assert len(boxes) == 2 * 3 * 7
  assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
  assert all(figure.bbox.contains(*box.max) for box in boxes)
  raw = [cell.title.get_text() for cell in figure.axes if cell.images][::3]
  assert [text.partition('\n')[2] for text in raw] == [
    *['train, 60 × 120', 'train, 120 × 60'] * 3,
    'test, 120 × 60',
  ]
