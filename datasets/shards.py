"""Names of record files, and a search for the files of a data set."""

import pathlib
import re
from collections.abc import Sequence

from absl import logging

from errors import UserError

# File names of TF-Slim's converters and ours: one file per split, or shards
# after an underscore (flowers) or a hyphen (folders of photos).
PATTERNS = (
  '{name}_{split}.tfrecord',
  '{name}_{split}-{shard}.tfrecord',
  '{name}_{split}_{shard}.tfrecord',
)


def file_stem(name: str) -> str:
  """Returns a data set's name for file names: 'tfds:mnist' -> 'tfds_mnist'."""
  return re.sub('[:/]', '_', name)


def shard_names(pattern: str, split: str, shards: int) -> list[str]:
  """Returns file names: '{split}-{shard}', train, 1 -> train-00000-of-00001."""
  return [
    pattern.format(split=split, shard=f'{shard:05d}-of-{shards:05d}')
    for shard in range(shards)
  ]


def find_shards(
  folder: pathlib.Path, patterns: Sequence[str]
) -> dict[str, list[pathlib.Path]]:
  """Returns split -> sorted record files, for the splits in the folder.

  Raises:
    UserError: if a split's files come from several conversions.
  """
  splits: dict[str, list[tuple[int, pathlib.Path]]] = {}
  for path in sorted(folder.iterdir()):
    for regex in map(_regex, patterns):
      if match := regex.fullmatch(path.name):
        shards = int(match.groupdict().get('shards') or 1)
        splits.setdefault(match['split'], []).append((shards, path))
        break
  for split, files in splits.items():
    _check_one_conversion(folder, split, files)
  return {split: [path for _, path in files] for split, files in splits.items()}


def warn_of_missing(split: str, files: Sequence[pathlib.Path]) -> None:
  """Warns of missing shards, judged by the -of-N in the file names."""
  match = re.search(r'-of-(\d+)', files[0].name)
  total = int(match[1]) if match else len(files)
  missing = total - len(files)
  if missing > 0:
    logging.warning(
      '%s: %d of %s shards of split %r are missing; using the other %d.',
      files[0].parent,
      missing,
      total,
      split,
      len(files),
    )


def _regex(pattern: str) -> re.Pattern[str]:
  """Returns '{split}-{shard}' as a regular expression with groups."""
  text = re.escape(pattern)
  text = text.replace(re.escape('{split}'), '(?P<split>[A-Za-z0-9]+)')
  shard = r'\d{5}-of-(?P<shards>\d{5})'
  return re.compile(text.replace(re.escape('{shard}'), shard))


def _check_one_conversion(
  folder: pathlib.Path, split: str, files: list[tuple[int, pathlib.Path]]
) -> None:
  """Raises UserError for train-…-of-00002 with train-…-of-00005."""
  patterns = {re.sub(r'\d{5}-of-', '', path.name): path for _, path in files}
  if len(patterns) > 1:
    names = ' and '.join(path.name for path in list(patterns.values())[:2])
    raise UserError(
      f'{folder} contains split {split!r} from several conversions: {names}. '
      'Move away all but one.'
    )
