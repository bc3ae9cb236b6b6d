"""What predictions are written to: a table, files, links."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import numpy as np
import tabulate

import files
from engine import console
from errors import UserError


@dataclasses.dataclass(frozen=True)
class Prediction:
  """The best classes of an image.

  Attributes:
    file: the image's path, as it was named.
    labels: classes, best first.
    names: their names.
    probabilities: their probabilities.
    features: float [D], what the classifier takes; empty if not asked for.
  """

  file: str
  labels: tuple[int, ...]
  names: tuple[str, ...]
  probabilities: tuple[float, ...]
  features: np.ndarray

  def row(self) -> dict[str, Any]:
    """Returns file, label_1, name_1, probability_1, label_2, …."""
    row: dict[str, Any] = {'file': self.file}
    ranked = zip(self.labels, self.names, self.probabilities, strict=True)
    for rank, (label, name, share) in enumerate(ranked, start=1):
      row[f'label_{rank}'] = label
      row[f'name_{rank}'] = name
      row[f'probability_{rank}'] = round(share, 6)
    return row


Write = Callable[[Prediction], None]


@contextmanager
def writer(output: str | None) -> Iterator[Write]:
  """Yields the function that writes a prediction, by the file's ending.

  The file appears only if the body succeeds.

  Args:
    output: a path accepted by `check`, or None for a table on stdout.
  """
  if output is None:
    with _table() as write:
      yield write
    return
  write_to = _WRITERS[pathlib.Path(output).suffix.lower()]
  with files.replacing_text(output) as file, write_to(file) as write:
    yield write


@contextmanager
def collector(embeddings: str | None) -> Iterator[Write]:
  """Yields the function that collects features, and writes them at the end.

  Args:
    embeddings: an .npz file for `files` [N] and `features` [N, D]; None for
      none.
  """
  if embeddings is None:
    yield lambda prediction: None
    return
  names, features = [], []

  def write(prediction: Prediction) -> None:
    names.append(prediction.file)
    features.append(prediction.features)

  yield write
  with files.replacing(embeddings) as path:
    vectors = np.stack(features) if features else np.empty((0, 0), 'float32')
    np.savez(path, files=np.array(names, dtype=str), features=vectors)


@contextmanager
def linker(folder: str | None) -> Iterator[Write]:
  """Yields the function that links an image into a folder of its best class.

  Args:
    folder: the folder of these, which appears at the end; None for no links.
  """
  if folder is None:
    yield lambda prediction: None
    return
  target = pathlib.Path(folder).absolute()
  target.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(
    prefix=f'.{target.name}.', dir=target.parent
  ) as name:
    links = pathlib.Path(name, 'links')
    links.mkdir()
    yield _Linker(links).link
    with suppress(FileNotFoundError):
      target.rmdir()  # It is empty.
    links.rename(target)


def check(output: str | None, embeddings: str | None) -> None:
  """Raises UserError unless the endings of the files are known."""
  if output and pathlib.Path(output).suffix.lower() not in _WRITERS:
    raise UserError(
      f'--output={output}: its ending is one of {", ".join(_WRITERS)}.'
    )
  if embeddings and pathlib.Path(embeddings).suffix.lower() != '.npz':
    raise UserError(f'--embeddings={embeddings}: its ending is .npz.')


def check_empty(sort_into: str) -> None:
  """Raises UserError unless links can be sorted into a folder of their own."""
  folder = pathlib.Path(sort_into)
  if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
    raise UserError(
      f'--sort_into={folder} exists and is not an empty folder: delete it, or '
      'choose another one.'
    )


class _Linker:
  """Links images into folders of their best classes.

  Args:
    folder: the folder of these.
  """

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self._linked: set[tuple[pathlib.Path, pathlib.Path]] = set()
    # Path of a link -> the number of the last image of its name.
    self._numbers: dict[pathlib.Path, int] = {}

  def link(self, prediction: Prediction) -> None:
    """Links an image; one that is linked there already is left out."""
    source = pathlib.Path(prediction.file).absolute()
    name = prediction.names[0].replace(os.sep, '_')
    target = first = self._folder / name / source.name
    # A list may name an image in another way than a folder does.
    linked = target.parent, pathlib.Path(os.path.realpath(source))
    if linked in self._linked:
      return
    self._linked.add(linked)
    target.parent.mkdir(parents=True, exist_ok=True)
    number = self._numbers.get(first, 0)
    # Another image may have the name with a number.
    while number == 0 or os.path.lexists(target):
      number += 1
      if number > 1:
        target = first.with_name(f'{source.stem}-{number}{source.suffix}')
    self._numbers[first] = number
    target.symlink_to(source)


@contextmanager
def _table() -> Iterator[Write]:
  """Yields the function that adds a row; prints the table at the end."""
  rows: list[list[str]] = []

  def write(prediction: Prediction) -> None:
    ranked = zip(prediction.names, prediction.probabilities, strict=True)
    rows.append([prediction.file, *(f'{n} {share:.3f}' for n, share in ranked)])

  yield write
  if rows:
    headings = ['file', *map(str, range(1, len(rows[0])))]
    console.report(tabulate.tabulate(rows, headings))


@contextmanager
def _csv(file: IO[str]) -> Iterator[Write]:
  """Yields the function that writes a line, the first after a heading."""
  writer = csv.DictWriter(file, ['file'], lineterminator='\n')
  has_heading = False

  def write(prediction: Prediction) -> None:
    nonlocal has_heading
    row = prediction.row()
    if not has_heading:
      writer.fieldnames = list(row)
      writer.writeheader()
      has_heading = True
    writer.writerow(row)

  yield write
  if not has_heading:
    writer.writeheader()


@contextmanager
def _json(file: IO[str]) -> Iterator[Write]:
  """Yields the function that writes an element of a list."""
  separator = '[\n'

  def write(prediction: Prediction) -> None:
    nonlocal separator
    file.write(separator + json.dumps(prediction.row()))
    separator = ',\n'

  yield write
  file.write('[]\n' if separator == '[\n' else '\n]\n')


@contextmanager
def _jsonl(file: IO[str]) -> Iterator[Write]:
  """Yields the function that writes an object in a line."""
  yield lambda prediction: print(json.dumps(prediction.row()), file=file)


_WRITERS = {'.csv': _csv, '.json': _json, '.jsonl': _jsonl}
