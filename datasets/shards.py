"""The record files of a set: which splits are there, and which are missing."""

import pathlib
import re
from collections.abc import Sequence

from absl import logging

from errors import UserError

# How TF-Slim's converters and ours name the files of any set: one a split, or
# shards after an underscore (flowers) or a hyphen (folders of photos).
PATTERNS = (
  '{name}_{split}.tfrecord',
  '{name}_{split}-{shard}.tfrecord',
  '{name}_{split}_{shard}.tfrecord',
)


def file_stem(name: str) -> str:
  """A data set's name as files are named: 'tfds:mnist' -> 'tfds_mnist'."""
  return re.sub('[:/]', '_', name)


def shard_names(pattern: str, split: str, shards: int) -> list[str]:
  """'{split}-{shard}', 'train', 2 -> train-00000-of-00002 and -00001-of-."""
  return [
    pattern.format(split=split, shard=f'{shard:05d}-of-{shards:05d}')
    for shard in range(shards)
  ]


def find_shards(
  folder: pathlib.Path, patterns: Sequence[str]
) -> dict[str, list[pathlib.Path]]:
  """Split -> its record files in order, for the splits that are there.

  Raises:
    UserError: if a split's files come from several conversions.
  """
  found: dict[str, list[tuple[int, pathlib.Path]]] = {}
  for path in sorted(folder.iterdir()):
    for regex in map(_regex, patterns):
      if match := regex.fullmatch(path.name):
        shards = int(match.groupdict().get('shards') or 1)
        found.setdefault(match['split'], []).append((shards, path))
        break
  for split, files in found.items():
    _check_one_conversion(folder, split, files)
  return {split: [path for _, path in files] for split, files in found.items()}


def warn_of_missing(split: str, files: Sequence[pathlib.Path]) -> None:
  """Says how many shards of -of-N are not there; they are done without."""
  match = re.search(r'-of-(\d+)', files[0].name)
  missing = int(match[1]) - len(files) if match else 0
  if missing > 0:
    logging.warning(
      '%s: %d of %s shards of split %r are missing; using the %d that are '
      'there.',
      files[0].parent,
      missing,
      int(match[1]),
      split,
      len(files),
    )


def _regex(pattern: str) -> re.Pattern[str]:
  """'{split}-{shard}' as a regular expression with those groups."""
  text = re.escape(pattern)
  text = text.replace(re.escape('{split}'), '(?P<split>[A-Za-z0-9]+)')
  shard = r'\d{5}-of-(?P<shards>\d{5})'
  return re.compile(text.replace(re.escape('{shard}'), shard))


def _check_one_conversion(
  folder: pathlib.Path, split: str, files: list[tuple[int, pathlib.Path]]
) -> None:
  """Refuses train-…-of-00002 beside train-…-of-00005: records would repeat."""
  shapes = {re.sub(r'\d{5}-of-', '', path.name): path for _, path in files}
  if len(shapes) > 1:
    names = ' and '.join(path.name for path in list(shapes.values())[:2])
    raise UserError(
      f'{folder} holds split {split!r} from several conversions: {names}. '
      'Move away all but one.'
    )
