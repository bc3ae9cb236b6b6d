"""A sheet of a data set's pictures, raw and as a network is given them."""

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

from datasets.dataset import Dataset
from datasets.sight import Sight
from engine import picture
from errors import UserError
from preprocessing import preprocessing_factory
from tf_compat import tf

_GROUPS = 3  # pictures side by side
_CELL = 1.6  # inches
_TITLE = 0.27  # inches, of two lines
_SEED = 1


def check_path(path: str) -> None:
  """Raises UserError where no PNG can be written."""
  folder = pathlib.Path(path).expanduser().absolute().parent
  if not path.lower().endswith('.png') or not os.access(folder, os.W_OK):
    raise UserError(
      f'--output={path}: name a .png file in a folder that is there and can be '
      'written into.'
    )


def draw(
  dataset: Dataset,
  samples: Mapping[str, Sequence[Sight]],
  preprocessing_name: str,
  image_size: int,
  path: str | os.PathLike,
) -> None:
  """Writes the sheet: each picture raw, for evaluation, and for training.

  Args:
    dataset: any split of the set.
    samples: split -> the pictures.
    preprocessing_name: the recipe.
    image_size: height and width of its output, in pixels.
    path: of the PNG file.
  """
  splits = [split for split, sights in samples.items() for _ in sights]
  sights = [sight for sights in samples.values() for sight in sights]
  inputs = [
    _inputs(
      sights, dataset.channels, preprocessing_name, image_size, is_training
    )
    for is_training in (False, True)
  ]
  cells = _cells(max(1, -(-len(sights) // _GROUPS)))
  for place, sight in enumerate(sights):
    row, group = divmod(place, _GROUPS)
    raw, evaluation, training = cells[row, 3 * group : 3 * group + 3]
    _show_raw(raw, sight, dataset.class_names, splits[place])
    _show_input(evaluation, *inputs[0][place], 'evaluation')
    _show_input(training, *inputs[1][place], 'training')
  picture.save(cells[0, 0].figure, path)


def _cells(rows: int) -> np.ndarray:
  """Square places for pictures [rows, 3 groups], room for titles above."""
  height = rows * (_CELL + _TITLE)
  figure = Figure(figsize=(3 * _GROUPS * _CELL, height))
  cells = figure.subplots(rows, 3 * _GROUPS, squeeze=False)
  for cell in cells.flat:
    cell.set_axis_off()
  figure.subplots_adjust(
    left=0,
    right=1,
    bottom=0,
    top=1 - _TITLE / height,
    wspace=0.03,
    hspace=_TITLE / _CELL,
  )
  return cells


def _inputs(
  sights: Sequence[Sight],
  channels: int,
  name: str,
  size: int,
  is_training: bool,
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Of each picture what the recipe makes of it, and of its boxes.

  The boxes' outlines are a picture that goes the same way, with the same seed:
  whatever the recipe does to places, they are where the objects are.

  Returns:
    (float32 [size, size, channels], bool [size, size]) for each.
  """
  with tf.Graph().as_default(), tf.device('/cpu:0'):
    recipe = preprocessing_factory.get_preprocessing(name, is_training)
    encoded = tf.placeholder(tf.string, [])
    place = tf.placeholder(tf.int64, [])
    seed = tf.stack([tf.constant(_SEED, tf.int64), place])
    image = recipe.from_encoded(encoded, size, size, channels, seed=seed)
    config = tf.ConfigProto(device_count={'GPU': 0})
    with tf.Session(config=config) as session:
      made = [
        [
          session.run(image, {encoded: data, place: number})
          for data in (sight.encoded, _outlines(sight, size))
        ]
        for number, sight in enumerate(sights)
      ]
  return [(picture, _is_white(outlines)) for picture, outlines in made]


def _outlines(sight: Sight, size: int) -> bytes:
  """A PNG of the boxes, white on black, about two pixels of the input wide."""
  width, height = sight.look.width, sight.look.height
  image = Image.new('L', (width, height))
  line = max(1, round(2 * min(width, height) / size))
  for box in np.nan_to_num(np.clip(sight.boxes, 0, 1)).reshape(-1, 2, 2):
    # Of (ymin, xmin), (ymax, xmax).
    corners = np.rint(np.sort(box, 0)[:, ::-1] * (width, height))
    first, last = corners[0], np.maximum(corners[1] - 1, corners[0])
    ImageDraw.Draw(image).rectangle(
      [*first, *last], outline='white', width=line
    )
  file = io.BytesIO()
  image.save(file, 'PNG')
  return file.getvalue()


def _is_white(image: np.ndarray) -> np.ndarray:
  """Where an input [H, W, C] of a black and white picture is of the white."""
  light = image.max(-1)
  return light > (light.min() + light.max()) / 2


def _show_raw(
  cell: Axes, sight: Sight, class_names: Sequence[str], split: str
) -> None:
  """The picture as it is stored, with its boxes, its class and its split."""
  with Image.open(io.BytesIO(sight.encoded)) as image:
    cell.imshow(image.convert('RGB'))
  width, height = sight.look.width, sight.look.height
  for ymin, xmin, ymax, xmax in sight.boxes:
    corner = xmin * width, ymin * height
    sides = (xmax - xmin) * width, (ymax - ymin) * height
    cell.add_patch(
      Rectangle(corner, *sides, fill=False, color=picture.ORANGE, linewidth=1)
    )
  name = picture.legible(class_names[sight.label], 18, str(sight.label))
  cell.set_title(f'{name}\n{split}, {width} × {height}', fontsize=6, pad=2)


def _show_input(
  cell: Axes, image: np.ndarray, outlines: np.ndarray, purpose: str
) -> None:
  """A network's input; its range, which the title tells, fills the scale."""
  low, high = float(image.min()), float(image.max())
  shown = (image - low) / max(high - low, 1e-6)
  shown = np.broadcast_to(shown, (*shown.shape[:2], 3)).copy()
  shown[outlines] = colors.to_rgb(picture.ORANGE)
  cell.imshow(shown)
  cell.set_title(f'{purpose}\n{low:.1f} to {high:.1f}', fontsize=6, pad=2)
