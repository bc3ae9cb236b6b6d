"""Panels of a contact sheet; boxes stay around their objects."""

import dataclasses
import io
import itertools
import warnings

import numpy as np
import pytest
from PIL import Image

from datasets.dataset import Dataset
from datasets.record_inspection import Look, RecordInfo
from preprocessing.preprocessing_factory import PREPROCESSINGS
from tools import contact_sheet

SIZE = 64


def record(*boxes, width=120, height=90, kind='PNG'):
  """A record of a black image with white boxes."""
  pixels = np.zeros((height, width, 3), np.uint8)
  for ymin, xmin, ymax, xmax in boxes:
    rows = slice(round(ymin * height), round(ymax * height))
    pixels[rows, round(xmin * width) : round(xmax * width)] = 255
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, kind)
  look = Look(f'{kind} RGB', width, height, b'')
  return RecordInfo('', 0, 0, 0, file.getvalue(), boxes, look)


def extent(mask):
  """The first and the last row and column with a True."""
  indices = np.argwhere(mask)
  return np.array([indices.min(0), indices.max(0)])


@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('preprocessing', PREPROCESSINGS)
def test_outlines_stay_around_their_objects(
  preprocessing, channels, is_training
):
  records = (
    record((0.35, 0.4, 0.6, 0.65)),
    record((0.4, 0.3, 0.7, 0.6), kind='BMP'),
  )
  inputs = contact_sheet._inputs(
    records, channels, preprocessing, SIZE, is_training
  )
  for image, outlines in inputs:
    assert image.shape == (SIZE, SIZE, channels)
    white = contact_sheet._is_white(image)
    # A random crop may lie inside of a box, or outside of all.
    assert outlines.any() == white.any()
    if white.any():
      assert outlines.sum() < SIZE**2 / 3
      np.testing.assert_allclose(extent(outlines), extent(white), atol=2)
    if not is_training:
      # Outlines are not filled.
      assert not outlines[tuple(np.argwhere(white).mean(0).astype(int))]


def test_images_without_boxes_and_with_invalid_boxes():
  records = record(), record((0.0, 0.0, 0.0, 0.0)), record((0.2, 0.2, 0.4, 0.4))
  odd = (float('nan'), -1.0, float('inf'), 2.0), (0.9, 0.8, 0.1, 0.2)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    inputs = contact_sheet._inputs(
      [*records, dataclasses.replace(records[0], boxes=odd)],
      3,
      'inception',
      SIZE,
      False,
    )
  none, corner, one, odd = (outlines.sum() for _, outlines in inputs)
  assert none == corner == 0
  assert odd > one > 0


def test_titles_and_images_do_not_overlap(tmp_path, monkeypatch):
  figures = []
  monkeypatch.setattr(
    contact_sheet.plot_style,
    'save',
    lambda figure, path, plot_format: figures.append(figure),
  )
  tall, wide = record(width=60, height=120), record(width=120, height=60)
  samples = {'train': [tall, wide] * 3, 'test': [wide]}
  dataset = Dataset('two_shapes', 'train', (), 7, 1, 3, ('one',))
  contact_sheet.draw(dataset, samples, 'inception', SIZE, tmp_path / 'x.png')
  (figure,) = figures
  figure.draw_without_rendering()
  boxes = [
    box.get_window_extent()
    for cell in figure.axes
    for box in (cell._left_title, *cell.texts, *cell.images)
    if cell.images
  ]
  # A title's lowest row of pixels may touch the first row of its own image.
  boxes = [box.padded(-1) for box in boxes]
  assert len(boxes) == 2 * 3 * 7 + 7
  assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
  assert all(figure.bbox.contains(*box.max) for box in boxes)
  stored = [cell.get_title('left') for cell in figure.axes if cell.images]
  assert stored[::3] == [
    *['train, 60 × 120', 'train, 120 × 60'] * 3,
    'test, 120 × 60',
  ]


@pytest.mark.parametrize(
  ('labels', 'lines'),
  [
    ([], []),
    ([1, 0, 1, 0, 0, 0], [[1, 3, 4], [5, 0, 2]]),
    ([3, 2, 1, 0], [[3, 2, 1], [0]]),
  ],
)
def test_the_sheet_is_in_the_order_of_classes(labels, lines):
  assert contact_sheet._lines(labels) == lines


def test_classes_of_many_records_start_their_own_lines():
  labels = [0] * 8 + [1] * 8
  assert contact_sheet._lines(labels) == [
    [0, 1, 2], [3, 4, 5], [6, 7], [8, 9, 10], [11, 12, 13], [14, 15],
  ]  # fmt: skip


def test_records_stand_apart_from_one_another():
  figure, triples = contact_sheet._triples([[0, 1]])
  (_, _, last), (first, _, _) = triples[0], triples[1]
  width = figure.get_size_inches()[0]
  gap = (first.get_position().x0 - last.get_position().x1) * width
  inner = triples[0][1].get_position().x0 - triples[0][0].get_position().x1
  assert gap > 4 * inner * width
