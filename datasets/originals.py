"""Original files where people keep them, and what is wrong with them."""

import pathlib
from collections.abc import Sequence

import numpy as np

from errors import UserError


def find(folder: pathlib.Path, names: Sequence[str]) -> pathlib.Path:
  """The first of `names` in `folder`, or in a folder directly below it.

  Raises:
    UserError: if there is none, listing the names that would do.
  """
  path = find_any(folder, names)
  if path is None:
    raise UserError(
      f'No {" or ".join(names)} in {folder}. Name the folder of the originals '
      'with --source_dir.'
    )
  return path


def find_any(folder: pathlib.Path, names: Sequence[str]) -> pathlib.Path | None:
  """As `find`, with None where there is none."""
  if not folder.is_dir():
    raise UserError(
      f'{folder} is not a folder. Name the folder of the originals with '
      '--source_dir.'
    )
  below = sorted(path for path in folder.iterdir() if path.is_dir())
  candidates = (place / name for place in [folder, *below] for name in names)
  return next((path for path in candidates if path.is_file()), None)


def pair(
  images: np.ndarray, labels: np.ndarray, num_classes: int, where: object
) -> list[tuple[np.ndarray, int]]:
  """Images [N, H, W(, 3)] and labels [N] as pairs, once they belong together.

  Raises:
    UserError: if there are not as many of each, or a label is out of range.
  """
  if labels.shape != images.shape[:1] or images.ndim < 3:
    raise UserError(
      f'{where}: images of shape {images.shape} and labels of shape '
      f'{labels.shape} do not belong together.'
    )
  wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
  if wrong.size:
    raise UserError(
      f'{where}: image {wrong[0]} has the label {labels[wrong[0]]}; the '
      f'classes are 0 to {num_classes - 1}.'
    )
  return list(zip(images, labels.tolist(), strict=True))
