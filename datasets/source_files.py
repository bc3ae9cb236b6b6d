"""Searches for original files, and checks that images and labels match."""

import pathlib
from collections.abc import Sequence

import numpy as np

from errors import UserError

# The way out for photos in other folders than those of the data set.
OWN_NAME = (
  'Another --dataset_name converts photos in folders as a data set of your own.'
)


def find(folder: pathlib.Path, names: Sequence[str]) -> pathlib.Path:
  """Returns the first of `names` in `folder` or its direct subfolders.

  Raises:
    UserError: if none exists.
  """
  path = find_any(folder, names)
  if path is None:
    raise UserError(
      f'No {" or ".join(names)} in {folder}. Pass the folder of the originals '
      f'with --source_dir. {OWN_NAME}'
    )
  return path


def find_any(folder: pathlib.Path, names: Sequence[str]) -> pathlib.Path | None:
  """Returns what `find` does, or None if none of the files exists.

  Raises:
    UserError: if `folder` has none of them, and several subfolders do.
  """
  if not folder.is_dir():
    raise UserError(
      f'{folder} is not a folder. Pass the folder of the originals with '
      f'--source_dir. {OWN_NAME}'
    )
  subfolders = sorted(path for path in folder.iterdir() if path.is_dir())
  found = [
    path
    for parent in [folder, *subfolders]
    if (path := _first_file(parent, names))
  ]
  if len(found) > 1 and found[0].parent != folder:
    raise UserError(
      f'{found[0].name} is in several folders of {folder}, '
      f'{found[0].parent.name} and {found[1].parent.name}: pass one of them '
      'with --source_dir.'
    )
  return found[0] if found else None


def _first_file(
  folder: pathlib.Path, names: Sequence[str]
) -> pathlib.Path | None:
  paths = map(folder.joinpath, names)
  return next(filter(pathlib.Path.is_file, paths), None)


def pair(
  images: np.ndarray, labels: np.ndarray, num_classes: int, where: object
) -> list[tuple[np.ndarray, int]]:
  """Returns pairs of images [N, H, W(, 3)] and labels [N].

  Raises:
    UserError: if their numbers differ, or a label is out of range.
  """
  if labels.shape != images.shape[:1] or images.ndim < 3:
    raise UserError(
      f'{where}: images of shape {images.shape} and labels of shape '
      f'{labels.shape} do not match.'
    )
  wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
  if wrong.size:
    raise UserError(
      f'{where}: image {wrong[0]} has the label {labels[wrong[0]]}; the '
      f'classes are 0 to {num_classes - 1}.'
    )
  return list(zip(images, labels.tolist(), strict=True))
