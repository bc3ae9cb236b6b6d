"""A contact sheet: images of a data set, as stored and as network inputs."""

from __future__ import annotations

import io
import itertools
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw

from datasets import photo
from datasets.dataset import Dataset
from datasets.record_inspection import RecordInfo
from engine.config.jobs import PNG
from engine.plots import style as plot_style
from errors import UserError
from preprocessing import preprocessing_factory
from tf_compat import tf

_COLUMNS = 3  # records side by side, with three panels each
# In inches: a panel, the text above a record, the gap between records.
_PANEL, _TEXT, _GAP = 1.6, 0.42, 0.22
_PANEL_GAP = 0.04
_TRIPLE = 3 * _PANEL + 2 * _PANEL_GAP
# Classes start on lines of their own if that makes at most so many more.
_MORE_LINES = 1.3
_SEED = 1
_GROUND = '#eeeeee'


def check_path(path: str) -> None:
  """Raises UserError unless a PNG file can be written to `path`."""
  folder = pathlib.Path(path).absolute().parent
  if not path.lower().endswith('.png') or not os.access(folder, os.W_OK):
    raise UserError(
      f'--output={path}: must be a .png file in an existing, writable folder.'
    )


def draw(
  dataset: Dataset,
  samples: Mapping[str, Sequence[RecordInfo]],
  preprocessing_name: str,
  image_size: int,
  path: str | os.PathLike[str],
  plot_format: str = PNG,
) -> None:
  """Draws each image as stored, as evaluation input and as training input.

  The images are in the order of their classes.

  Args:
    dataset: any split of the data set.
    samples: split -> records to draw; all can be used.
    preprocessing_name: name of the preprocessing, alone or with options.
    image_size: height and width of the preprocessing's output, in pixels.
    path: the PNG file to write.
    plot_format: also draw it in this format.
  """
  splits = [split for split, records in samples.items() for _ in records]
  records = [record for records in samples.values() for record in records]
  evaluation_inputs, training_inputs = (
    _inputs(
      records, dataset.channels, preprocessing_name, image_size, is_training
    )
    for is_training in (False, True)
  )
  labels = [record.label or 0 for record in records]
  figure, triples = _triples(_lines(labels))
  for index, (stored, evaluation, training) in triples.items():
    name = dataset.class_names[labels[index]]
    _show_stored(stored, records[index], name, splits[index])
    _show_input(evaluation, *evaluation_inputs[index], 'evaluation')
    _show_input(training, *training_inputs[index], 'training')
  plot_style.save(figure, path, plot_format)


def _lines(labels: Sequence[int]) -> list[list[int]]:
  """Returns the records in each line of the sheet, by class.

  A class starts on a line of its own, unless there are so few records of each
  that most places would stay empty.
  """
  order = sorted(range(len(labels)), key=lambda index: labels[index])
  groups = [
    [*group] for _, group in itertools.groupby(order, lambda i: labels[i])
  ]
  apart = [line for group in groups for line in _chunks(group)]
  together = _chunks(order)
  return apart if len(apart) <= _MORE_LINES * len(together) else together


def _chunks(indices: Sequence[int]) -> list[list[int]]:
  """Cuts a list into lines of _COLUMNS records."""
  return [
    [*indices[start : start + _COLUMNS]]
    for start in range(0, len(indices), _COLUMNS)
  ]


def _triples(
  lines: Sequence[Sequence[int]],
) -> tuple[Figure, dict[int, list[Axes]]]:
  """Returns a figure, and the three square panels of each record.

  The panels of a record stand on a gray ground, apart from those of others.

  Args:
    lines: the records in each line.
  """
  width = _GAP + _COLUMNS * (_TRIPLE + _GAP)
  pitch = _TEXT + _PANEL + _GAP
  height = _GAP + max(1, len(lines)) * pitch
  figure = Figure(figsize=(width, height))
  triples = {}
  for number, line in enumerate(lines):
    bottom = height - (number + 1) * pitch
    for column, index in enumerate(line):
      left = _GAP + column * (_TRIPLE + _GAP)
      _draw_ground(figure, left, bottom)
      triples[index] = [
        _panel(figure, left + place * (_PANEL + _PANEL_GAP), bottom)
        for place in range(3)
      ]
  return figure, triples


def _draw_ground(figure: Figure, left: float, bottom: float) -> None:
  """Draws the ground of a record's panels and text; places in inches."""
  margin = _GAP / 4
  width, height = figure.get_size_inches()
  figure.add_artist(
    Rectangle(
      ((left - margin) / width, (bottom - margin) / height),
      (_TRIPLE + 2 * margin) / width,
      (_PANEL + _TEXT + 2 * margin) / height,
      color=_GROUND,
      transform=figure.transFigure,
      zorder=-1,
    )
  )


def _panel(figure: Figure, left: float, bottom: float) -> Axes:
  """Returns square Axes without ticks at a place in inches."""
  width, height = figure.get_size_inches()
  panel = figure.add_axes(
    (left / width, bottom / height, _PANEL / width, _PANEL / height)
  )
  panel.set_axis_off()
  # Images that are not square begin below their text.
  panel.set_anchor('NW')
  return panel


def _inputs(
  records: Sequence[RecordInfo],
  channels: int,
  name: str,
  size: int,
  is_training: bool,
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Preprocesses each image, and the outlines of its bounding boxes.

  The outlines are drawn as an image and preprocessed with the same seed, so
  that they stay around the objects whatever the preprocessing crops, flips or resizes.

  Returns:
    (float32 [size, size, channels], bool [size, size]) for each record.
  """
  with tf.Graph().as_default(), tf.device('/cpu:0'):
    preprocessing = preprocessing_factory.get_preprocessing(name, is_training)
    encoded = tf.placeholder(tf.string, [])
    index = tf.placeholder(tf.int64, [])
    seed = tf.stack([tf.constant(_SEED, tf.int64), index])
    image = preprocessing.from_encoded(encoded, size, size, channels, seed=seed)
    config = tf.ConfigProto(device_count={'GPU': 0})
    with tf.Session(config=config) as session:
      pairs = [
        [
          session.run(image, {encoded: data, index: number})
          for data in (record.encoded, _outlines(record, size))
        ]
        for number, record in enumerate(records)
      ]
  return [(pixels, _is_white(outlines)) for pixels, outlines in pairs]


def _outlines(record: RecordInfo, size: int) -> bytes:
  """Draws the boxes in white on black, and returns the image as PNG.

  The lines are about two pixels of the network's input wide.
  """
  with photo.open_image(record.encoded) as stored:
    width, height = stored.size
  image = Image.new('L', (width, height))
  line = max(1, round(2 * min(width, height) / size))
  for box in np.nan_to_num(np.clip(record.boxes, 0, 1)).reshape(-1, 2, 2):
    # From (ymin, xmin), (ymax, xmax) to (left, top), (right, bottom).
    corners = np.rint(np.sort(box, 0)[:, ::-1] * (width, height))
    first, last = corners[0], np.maximum(corners[1] - 1, corners[0])
    ImageDraw.Draw(image).rectangle(
      [*first, *last], outline='white', width=line
    )
  file = io.BytesIO()
  image.save(file, 'PNG')
  return file.getvalue()


def _is_white(image: np.ndarray) -> np.ndarray:
  """Returns a mask of the white pixels of a black and white network input.

  Args:
    image: float [H, W, C], in any range.

  Returns:
    bool [H, W].
  """
  light = image.max(-1)
  return light > (light.min() + light.max()) / 2


def _show_stored(
  panel: Axes, record: RecordInfo, class_name: str, split: str
) -> None:
  """Draws the stored image with its boxes, class and split."""
  with photo.open_image(record.encoded) as image:
    width, height = image.size
    panel.imshow(image.convert('RGB'))
  for ymin, xmin, ymax, xmax in record.boxes:
    corner = xmin * width, ymin * height
    sides = (xmax - xmin) * width, (ymax - ymin) * height
    panel.add_patch(
      Rectangle(
        corner, *sides, fill=False, color=plot_style.ORANGE, linewidth=1
      )
    )
  name = plot_style.legible(class_name, 40, str(record.label or 0))
  panel.annotate(
    name,
    (0, 1),
    xycoords='axes fraction',
    xytext=(0, 17),
    textcoords='offset points',
    fontsize=9,
    fontweight='bold',
    parse_math=False,
    annotation_clip=False,
  )
  _set_title(panel, f'{split}, {width} × {height}')


def _set_title(panel: Axes, text: str) -> None:
  """Writes a text above a panel, from its left edge."""
  panel.set_title(text, fontsize=7, pad=3, loc='left', parse_math=False)


def _show_input(
  panel: Axes, image: np.ndarray, outlines: np.ndarray, purpose: str
) -> None:
  """Draws a network input, scaled from its range, which the title states."""
  low, high = float(image.min()), float(image.max())
  pixels = (image - low) / max(high - low, 1e-6)
  pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy()
  pixels[outlines] = colors.to_rgb(plot_style.ORANGE)
  panel.imshow(pixels)
  _set_title(panel, f'{purpose}, {low:.1f} to {high:.1f}')
