"""Finds the image files that --images names."""

from __future__ import annotations

import csv
import os
import pathlib
from collections.abc import Iterable, Sequence

from datasets import archive, photo, text_files
from errors import UserError
from options import expand_path

LISTS = '.csv', '.tsv', '.txt'
# First words of a list that is no photo's path.
_HEADINGS = 'path', 'file', 'filename', 'image', 'photo', 'id', 'image_id'


def find(images: str) -> list[pathlib.Path]:
  """Returns the files that --images names, and those in its folders and lists.

  Args:
    images: files, folders and lists of files, separated by commas. A list has a
      path in each line, of .csv and .tsv in the first column, relative to the
      list's folder.

  Raises:
    UserError: if it names no image, or one that does not exist.
  """
  # A path with commas, or a list of paths.
  path = _path(images)
  parts = [path] if os.path.exists(path) else map(_path, images.split(','))
  paths = [file for part in parts for file in _files_in(part)]
  if not paths:
    raise UserError(
      f'--images={images} names no image: give files, or a folder of '
      f'{", ".join(photo.SUFFIXES)}.'
    )
  return paths


def _path(text: str) -> pathlib.Path:
  """Returns the path in one part of a list."""
  return pathlib.Path(expand_path(text.strip()))


def _files_in(path: pathlib.Path) -> Iterable[pathlib.Path]:
  """Returns the file itself, the files of a list, or a folder's images."""
  if os.path.isdir(path):
    paths = map(path.joinpath, archive.list_files(path))
    photos = (p for p in paths if p.suffix.lower() in photo.SUFFIXES)
    # Opening a pipe would wait for its writer; a link that leads nowhere fails.
    return sorted(p for p in photos if p.is_file() or not p.exists())
  if not os.path.isfile(path):
    raise UserError(
      f'There is no image {path}: --images takes files, separated by commas, '
      f'a folder of them, or a list ({", ".join(LISTS)}).'
    )
  if path.suffix.lower() in LISTS:
    return _listed(path)
  return [path]


def _listed(source: pathlib.Path) -> list[pathlib.Path]:
  """Returns the files in the first column of a list."""
  lines = text_files.lines(text_files.read(source))
  kind = source.suffix.lower()
  if kind == '.txt':
    rows = [[line] for line in lines if line.strip()]
  else:
    delimiter = '\t' if kind == '.tsv' else _delimiter(lines)
    rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
  if rows and rows[0][0].strip().lower() in _HEADINGS:
    del rows[0]
  return [source.parent / expand_path(row[0].strip()) for row in rows]


def _delimiter(lines: Sequence[str]) -> str:
  """Returns what delimits the columns of a .csv, of which some use ; or tabs."""
  first = next((line for line in lines if line.strip()), '')
  return max(',;\t|', key=first.count)
