"""Names of record files, and a search for the files of a data set."""

import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

from absl import logging

from errors import UserError

# File names of TF-Slim's converters and ours: one file per split, or shards
# after an underscore (flowers) or a hyphen (folders of photos).
PATTERNS = (
  '{name}_{split}.tfrecord',
  '{name}_{split}-{shard}.tfrecord',
  '{name}_{split}_{shard}.tfrecord',
)
# How people spell the splits.
SPLITS = {
  'train': 'train',
  'training': 'train',
  'validation': 'validation',
  'valid': 'validation',
  'val': 'validation',
  'test': 'test',
  'testing': 'test',
}
# In --file_pattern, as in TF-Slim, %s stands for the split, * for any text.
_SPLIT = '%s'
_WILDCARDS = {re.escape('*'): '.*', re.escape('?'): '.'}


def file_stem(name: str) -> str:
  """Returns a data set's name for file names: 'tfds:mnist' -> 'tfds_mnist'."""
  return re.sub('[:/]', '_', name)


def shard_names(pattern: str, split: str, shards: int) -> list[str]:
  """Returns file names: '{split}-{shard}', train, 1 -> train-00000-of-00001."""
  return [
    pattern.format(split=split, shard=f'{shard:05d}-of-{shards:05d}')
    for shard in range(shards)
  ]


def split_of(name: str) -> str | None:
  """Returns the split for a name such as Train, val or testing, or None."""
  return SPLITS.get(name.lower())


def spelling(split: str, names: Iterable[str]) -> str:
  """Returns the name among `names` that means this split; itself if none."""
  same = [n for n in names if split_of(n) and split_of(n) == split_of(split)]
  return split if split in names or len(same) != 1 else same[0]


def check_pattern(pattern: str) -> None:
  """Raises UserError unless a --file_pattern can name the files of splits."""
  if pattern.count(_SPLIT) != 1 or '/' in pattern:
    raise UserError(
      f'--file_pattern={pattern}: must be the name of a file in --dataset_dir '
      "with %s once, in the place of the split, such as '%s-*' or "
      "'birds_%s.tfrecord'."
    )


def suggest_pattern(folder: pathlib.Path) -> tuple[str, str] | None:
  """Returns the first file named like records, and its --file_pattern."""
  words = '|'.join(sorted(SPLITS, key=len, reverse=True))
  split = re.compile(rf'(?<![^\W_])({words})(?![^\W_])', re.IGNORECASE)
  for path in sorted(folder.iterdir()):
    name = path.name
    is_record = 'tfrecord' in name or _total(name)
    if is_record and split.search(name) and path.is_file():
      pattern = split.sub(_SPLIT, name, count=1)
      return name, re.sub(r'\d+(-of-\d+)?', '*', pattern)
  return None


def find_shards(
  folder: pathlib.Path, patterns: Sequence[str]
) -> dict[str, list[pathlib.Path]]:
  """Returns split -> sorted record files, for the splits in the folder.

  Args:
    folder: the folder of the files.
    patterns: names with {split} and {shard}, or a --file_pattern with %s; the
      files may also end in .gz.

  Raises:
    UserError: if a split's files come from several conversions.
  """
  regexes = {pattern: _regex(pattern) for pattern in patterns}
  splits: dict[str, dict[pathlib.Path, object]] = {}
  for path in sorted(folder.iterdir()):
    for pattern, regex in regexes.items():
      match = regex.fullmatch(path.name)
      if match and not path.name.startswith('.') and not path.is_dir():
        series = pattern, match['gz'], _total(path.name)
        splits.setdefault(match['split'], {})[path] = series
        break
  for split, files in splits.items():
    _check_one_conversion(folder, split, files)
  return {split: list(files) for split, files in splits.items()}


def warn_of_missing(split: str, files: Sequence[pathlib.Path]) -> None:
  """Warns of missing shards, judged by the -of-N in the file names."""
  total = _total(files[0].name) or len(files)
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


def _total(name: str) -> int | None:
  """Returns N of a file name with 00000-of-0000N, or None."""
  match = re.search(r'\d-of-(\d{1,9})', name)
  return int(match[1]) if match else None


def _regex(pattern: str) -> re.Pattern[str]:
  """Returns '{split}-{shard}' or '%s-*' as a regular expression with groups."""
  text = re.escape(pattern)
  split = _SPLIT if _SPLIT in pattern else '{split}'
  if split == _SPLIT:
    for wildcard, meaning in _WILDCARDS.items():
      text = text.replace(wildcard, meaning)
  text = text.replace(re.escape(split), '(?P<split>[A-Za-z0-9]+)')
  text = text.replace(re.escape('{shard}'), r'\d{5}-of-\d{5}')
  return re.compile(rf'{text}(?P<gz>(\.gz)?)')


def _check_one_conversion(
  folder: pathlib.Path, split: str, files: Mapping[pathlib.Path, object]
) -> None:
  """Raises UserError for train-…-of-00002 with train-…-of-00005."""
  first_of_series = {series: path.name for path, series in files.items()}
  if len(first_of_series) > 1:
    names = ' and '.join(list(first_of_series.values())[:2])
    raise UserError(
      f'{folder} contains split {split!r} from several conversions: {names}. '
      'Move away all but one.'
    )
