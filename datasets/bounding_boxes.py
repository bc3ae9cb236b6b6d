"""Boxes around ImageNet's objects, from its annotations or TF-Slim's CSV file.

Annotations state boxes in pixels of a stated image size; the CSV file, one box
per line, as fractions of the image's sides.
"""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

from datasets import text_files
from datasets.archive import Blob, list_files
from errors import UserError

CSV_FILES = ('imagenet_2012_bounding_boxes.csv', 'bounding_boxes.csv')
FOLDERS = ('annotations', 'bounding_boxes', 'Annotation')
_MAX_XML = 1 << 20  # bytes; typical annotations have a thousand


@dataclasses.dataclass(frozen=True)
class Box:
  """A box with its sides as fractions of the image's width and height."""

  xmin: float
  ymin: float
  xmax: float
  ymax: float


# A photo's boxes, or the annotation file that contains them.
Source = tuple[Box, ...] | Blob


def find(source: pathlib.Path) -> Mapping[str, Source]:
  """Returns a photo's file name without suffix -> its boxes, if there are any.

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
  """Returns the boxes of a photo; from an annotation, those of its synset.

  Raises:
    ValueError: if an annotation cannot be read or parsed.
  """
  if not isinstance(source, Blob):
    return source or ()
  try:
    root = ElementTree.fromstring(source.read(_MAX_XML))
    return tuple(_parse(root, synset))
  except (OSError, ElementTree.ParseError, ValueError) as error:
    raise ValueError(f'{source.path}: {error}') from error


def _number(element: ElementTree.Element, path: str) -> float:
  """Parses the number under a path; ValueError if it is missing."""
  text = element.findtext(path)
  if text is None:
    raise ValueError(f'{path} is missing')
  return float(text)


def _parse(root: ElementTree.Element, synset: str) -> Iterator[Box]:
  """Yields the boxes of an annotation, converted from pixels to fractions."""
  width = _number(root, 'size/width')
  height = _number(root, 'size/height')
  for element in root.findall('object'):
    if element.findtext('name') != synset:
      continue
    x = [_number(element, f'bndbox/{key}') for key in ('xmin', 'xmax')]
    y = [_number(element, f'bndbox/{key}') for key in ('ymin', 'ymax')]
    if width > 0 and height > 0:
      yield from _box(x[0] / width, y[0] / height, x[1] / width, y[1] / height)


def _box(*sides: float) -> Iterator[Box]:
  """Yields the part of a box within the image, unless it is empty."""
  box = Box(*(min(max(side, 0.0), 1.0) for side in sides))
  if box.xmin < box.xmax and box.ymin < box.ymax:
    yield box


def _read_csv(path: pathlib.Path) -> dict[str, tuple[Box, ...]]:
  """Reads lines of file name, xmin, ymin, xmax, ymax, in fractions."""
  boxes: dict[str, tuple[Box, ...]] = {}
  try:
    lines = io.StringIO(text_files.read(path), newline='')
    reader = csv.reader(lines, strict=True)
    for name, *sides in reader:
      if len(sides) != 4:
        raise ValueError(f'line {reader.line_num} has {1 + len(sides)} fields')
      stem = pathlib.PurePosixPath(name).stem
      new = tuple(_box(*map(float, sides)))
      boxes[stem] = boxes.get(stem, ()) + new
    if not boxes:
      raise ValueError('it is empty')
  except UserError:
    raise
  except (ValueError, csv.Error) as error:
    raise UserError(
      f'Cannot read {path}: {error}. Each line must be: file name, xmin, ymin, '
      'xmax, ymax.'
    ) from error
  return boxes
