"""A contact sheet: images of a data set, as stored and as network inputs."""

from __future__ import annotations

import io
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
from engine.plots import style as plot_style
from errors import UserError
from preprocessing import preprocessing_factory
from tf_compat import tf

_COLUMNS = 3  # records side by side, with three panels each
_PANEL = 1.6  # inches
_TITLE = 0.27  # inches, for two lines
_SEED = 1


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
) -> None:
  """Draws each image as stored, as evaluation input and as training input.

  Args:
    dataset: any split of the data set.
    samples: split -> records to draw; all can be used.
    preprocessing_name: name of the preprocessing, alone or with options.
    image_size: height and width of the preprocessing's output, in pixels.
    path: the PNG file to write.
  """
  splits = [split for split, records in samples.items() for _ in records]
  records = [record for records in samples.values() for record in records]
  evaluation_inputs, training_inputs = (
    _inputs(
      records, dataset.channels, preprocessing_name, image_size, is_training
    )
    for is_training in (False, True)
  )
  figure, panels = _panels(max(1, -(-len(records) // _COLUMNS)))
  for index, record in enumerate(records):
    row, column = divmod(index, _COLUMNS)
    stored, evaluation, training = panels[row, 3 * column : 3 * column + 3]
    _show_stored(stored, record, dataset.class_names, splits[index])
    _show_input(evaluation, *evaluation_inputs[index], 'evaluation')
    _show_input(training, *training_inputs[index], 'training')
  plot_style.save(figure, path)


def _panels(rows: int) -> tuple[Figure, np.ndarray]:
  """Returns a figure of square Axes, [rows, 3 * _COLUMNS], room for titles."""
  height = rows * (_PANEL + _TITLE)
  figure = Figure(figsize=(3 * _COLUMNS * _PANEL, height))
  panels = figure.subplots(rows, 3 * _COLUMNS, squeeze=False)
  for panel in figure.axes:
    panel.set_axis_off()
  figure.subplots_adjust(
    left=0,
    right=1,
    bottom=0,
    top=1 - _TITLE / height,
    wspace=0.03,
    hspace=_TITLE / _PANEL,
  )
  return figure, panels


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
  panel: Axes, record: RecordInfo, class_names: Sequence[str], split: str
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
  label = record.label or 0
  name = plot_style.legible(class_names[label], 18, str(label))
  panel.set_title(f'{name}\n{split}, {width} × {height}', fontsize=6, pad=2)


def _show_input(
  panel: Axes, image: np.ndarray, outlines: np.ndarray, purpose: str
) -> None:
  """Draws a network input, scaled from its range, which the title states."""
  low, high = float(image.min()), float(image.max())
  pixels = (image - low) / max(high - low, 1e-6)
  pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy()
  pixels[outlines] = colors.to_rgb(plot_style.ORANGE)
  panel.imshow(pixels)
  panel.set_title(f'{purpose}\n{low:.1f} to {high:.1f}', fontsize=6, pad=2)
