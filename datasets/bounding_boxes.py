"""Boxes around ImageNet's objects, from its annotations or TF-Slim's CSV file.

Both have one box a line or element: as pixels of a size that is given, or as
shares of the image's sides.
"""

import csv
import dataclasses
import pathlib
from collections.abc import Mapping
from xml.etree import ElementTree

from datasets.tree import Blob, list_files
from errors import UserError

CSV_FILES = ('imagenet_2012_bounding_boxes.csv', 'bounding_boxes.csv')
FOLDERS = ('annotations', 'bounding_boxes', 'Annotation')
_MOST_XML = 1 << 20  # bytes; usual ones have a thousand


@dataclasses.dataclass(frozen=True)
class Box:
  """One box: its sides as shares of the image's width and height."""

  xmin: float
  ymin: float
  xmax: float
  ymax: float


# A photo's boxes, or the annotation that tells of them.
Source = tuple[Box, ...] | Blob


def find(source: pathlib.Path) -> Mapping[str, Source]:
  """Photo's file name without ending -> its boxes, where the originals have any.

  Raises:
    UserError: if the CSV file is damaged.
  """
  for name in CSV_FILES:
    if (source / name).is_file():
      return _read_csv(source / name)
  for name in FOLDERS:
    if (source / name).is_dir():
      files = list_files(source / name)
      return {
        pathlib.PurePosixPath(path).stem: blob
        for path, blob in files.items()
        if path.endswith('.xml')
      }
  return {}


def read(source: Source | None, synset: str) -> tuple[Box, ...]:
  """The boxes of a photo; of an annotation those of its own synset.

  Raises:
    ValueError: if an annotation cannot be understood.
  """
  if not isinstance(source, Blob):
    return source or ()
  if source.size > _MOST_XML:
    raise ValueError(f'{source.path} has {source.size} bytes')
  try:
    root = ElementTree.fromstring(source.read())
    return tuple(_parse(root, synset))
  except (ElementTree.ParseError, AttributeError, TypeError) as error:
    raise ValueError(f'{source.path}: {error}') from error


def _parse(root: ElementTree.Element, synset: str):
  """The boxes of an annotation, its numbers being pixels."""
  width = float(root.find('size/width').text)
  height = float(root.find('size/height').text)
  for thing in root.findall('object'):
    if thing.findtext('name') != synset:
      continue
    x = [float(thing.find(f'bndbox/{k}').text) for k in ('xmin', 'xmax')]
    y = [float(thing.find(f'bndbox/{k}').text) for k in ('ymin', 'ymax')]
    if width > 0 and height > 0:
      yield from _box(x[0] / width, y[0] / height, x[1] / width, y[1] / height)


def _box(*sides: float):
  """A box within the image; none if nothing is left of it."""
  box = Box(*(min(max(side, 0.0), 1.0) for side in sides))
  if box.xmin < box.xmax and box.ymin < box.ymax:
    yield box


def _read_csv(path: pathlib.Path) -> dict[str, tuple[Box, ...]]:
  """Lines of file name, xmin, ymin, xmax, ymax, in shares."""
  boxes: dict[str, tuple[Box, ...]] = {}
  try:
    with path.open(newline='', encoding='utf-8') as file:
      for name, *sides in csv.reader(file, strict=True):
        stem = pathlib.PurePosixPath(name).stem
        found = tuple(_box(*map(float, sides)))
        boxes[stem] = boxes.get(stem, ()) + found
  except (OSError, ValueError, TypeError, csv.Error) as error:
    raise UserError(
      f'Cannot read {path}: {error}. Its lines are expected to be: file name, '
      'xmin, ymin, xmax, ymax.'
    ) from error
  return boxes
