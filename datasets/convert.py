"""From originals to TFRecord: shards, labels.txt, and dataset.json last."""

import csv
import dataclasses
import io
import itertools
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tqdm

from datasets import manifest as manifests
from datasets import photo_folder, tfds
from datasets.content import Content
from datasets.dataset_factory import DATASETS
from datasets.download import fetch
from datasets.manifest import Manifest, Shard
from datasets.shards import find_shards, shard_names
from datasets.spec import DatasetSpec
from datasets.staging import REJECTED, Done, Staging
from datasets.workers import Rejected, Workers
from errors import UserError
from files import write_text
from registry import unknown
from tf_compat import tf

_DOWNLOADS = '.originals'


@dataclasses.dataclass(frozen=True)
class Options:
  """How to convert.

  Attributes:
    validation_fraction: of the photos of each class that become the validation
      split, where the originals have no splits of their own.
    seed: of that choice, and of the order of a folder's photos.
    max_rejected_fraction: stop when more of the originals are unusable.
    num_processes: how many convert at once; one a processor if None.
    resume: go on with a conversion that was stopped.
  """

  validation_fraction: float | None = None
  seed: int = 0
  max_rejected_fraction: float = 0.05
  num_processes: int | None = None
  resume: bool = False


@dataclasses.dataclass(frozen=True)
class Summary:
  """What a conversion made.

  Attributes:
    name: the data set's.
    dataset_dir: where it is.
    num_classes: how many labels it has.
    channels: 1 or 3.
    splits: split -> records.
    rejected: how many originals could not be used.
    notes: what was found or done -> with how many of the originals.
    already_complete: whether the set was there, and nothing was done.
  """

  name: str
  dataset_dir: str
  num_classes: int
  channels: int
  splits: Mapping[str, int]
  rejected: int = 0
  notes: Mapping[str, int] = dataclasses.field(default_factory=dict)
  already_complete: bool = False


def convert(
  name: str,
  dataset_dir: str,
  source_dir: str | None = None,
  options: Options | None = None,
) -> Summary:
  """Makes the record files of a data set; does nothing if they are complete.

  Args:
    name: a name in the table of data sets, 'tfds:' and a name of TensorFlow
      Datasets, or any other name for a folder of photos.
    dataset_dir: the folder for the records, made if need be.
    source_dir: the folder (or the archive) of the originals; None: those that
      come with a package, or else a download.
    options: how to convert.

  Raises:
    UserError: if the name is unknown, the originals are not there, damaged or
      too often unusable, the download fails, or the folder cannot be written or
      holds another set.
  """
  options = options or Options()
  folder = pathlib.Path(dataset_dir).expanduser()
  staging = Staging(folder)
  try:
    staging.finish()
    if _is_complete(name, source_dir, folder):
      staging.discard()
      return _summary(folder, already_complete=True)
    spec = _spec(name, source_dir, options)
    make_folder(folder)
    originals = _originals(spec, source_dir, folder / _DOWNLOADS)
    done = _convert(spec, originals, staging, options)
  except (OSError, tf.errors.OpError) as error:
    raise UserError(f'Cannot convert {name!r} into {folder}: {error}') from (
      error
    )
  finally:
    staging.discard_if_empty()
  shutil.rmtree(folder / _DOWNLOADS, ignore_errors=True)
  return _summary(folder, done)


def make_folder(folder: pathlib.Path) -> None:
  """Makes the folder for the records.

  Raises:
    UserError: if that is not possible.
  """
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f'Cannot make --dataset_dir={folder}: {error.strerror}.'
    ) from error


def _is_complete(
  name: str, source_dir: str | None, folder: pathlib.Path
) -> bool:
  """Whether the set is here already, whole.

  Raises:
    UserError: if another set is here, or one of other photos.
  """
  manifest = manifests.read(folder)
  if manifest is None:
    return False
  if manifest.name != name:
    raise UserError(
      f'{folder} holds the data set {manifest.name!r} already: name another '
      f'--dataset_dir for {name!r}.'
    )
  if not manifest.is_whole(folder):
    return False
  _check_same_photos(manifest, source_dir, folder)
  return True


def _check_same_photos(
  manifest: Manifest, source_dir: str | None, folder: pathlib.Path
) -> None:
  """Refuses other photos than those that a set of one's own is made of."""
  if manifest.name in DATASETS or manifest.name.startswith(tfds.PREFIX):
    return
  source = pathlib.Path(source_dir or '').expanduser().resolve()
  # Photos that are gone, or have been moved, are done without.
  if source_dir and source.exists() and manifest.source != str(source):
    raise UserError(
      f'{folder} holds {manifest.name!r} made of {manifest.source} already: '
      f'name another --dataset_dir, or remove it to convert {source} instead.'
    )


def _summary(
  folder: pathlib.Path,
  done: Iterable[Done] = (),
  already_complete: bool = False,
) -> Summary:
  """What is in the folder, and how it came there."""
  manifest = manifests.read(folder)
  notes: dict[str, int] = {}
  for note, count in (pair for shard in done for pair in shard.notes.items()):
    notes[note] = notes.get(note, 0) + count
  return Summary(
    name=manifest.name,
    dataset_dir=str(folder),
    num_classes=manifest.num_classes,
    channels=manifest.channels,
    splits=manifest.num_records(),
    rejected=sum(len(shard.rejected) for shard in done),
    notes=dict(sorted(notes.items())),
    already_complete=already_complete,
  )


def _spec(name: str, source_dir: str | None, options: Options) -> DatasetSpec:
  """The table's entry, or one made for TensorFlow Datasets or for a folder.

  Raises:
    UserError: for what can be refused before anything is read.
  """
  source = pathlib.Path(source_dir).expanduser() if source_dir else None
  if source and not source.exists():
    raise UserError(f'--source_dir={source_dir} does not exist.')
  if name.startswith(tfds.PREFIX):
    return tfds.spec(name, source, options.validation_fraction)
  if name in DATASETS:
    _check_table_entry(DATASETS[name], source, options)
    return DATASETS[name]
  if not source:
    raise UserError(
      f'{unknown("data set", name, DATASETS)} A set of any other name is made '
      'of a folder of photos, which --source_dir names.'
    )
  return photo_folder.spec(
    name, source, options.validation_fraction, options.seed
  )


def _check_table_entry(
  spec: DatasetSpec, source: pathlib.Path | None, options: Options
) -> None:
  """Refuses what does not go with a set of the table."""
  if options.validation_fraction is not None:
    raise UserError(
      f'{spec.name!r} has splits of its own: leave --validation_fraction out.'
    )
  if source and spec.embedded:
    raise UserError(
      f'{spec.name!r} comes with an installed package: leave --source_dir out.'
    )
  if not source and not spec.embedded and not spec.downloads:
    raise UserError(
      f'{spec.name!r} cannot be downloaded freely: get it from {spec.homepage} '
      'and name its folder with --source_dir.'
    )


def _originals(
  spec: DatasetSpec, source_dir: str | None, downloads: pathlib.Path
) -> pathlib.Path | None:
  """Where the originals are, fetched if need be; None if a package has them.

  Downloads, also beginnings of them, stay until the set is complete, for the
  next attempt.
  """
  if source_dir:
    return pathlib.Path(source_dir).expanduser()
  if spec.embedded:
    return None
  downloads.mkdir(exist_ok=True)
  try:
    for download in spec.downloads:
      fetch(download, downloads)
  finally:
    if not any(downloads.iterdir()):
      downloads.rmdir()
  return downloads


@dataclasses.dataclass(frozen=True)
class _Part:
  """A shard to be, and which items of its split it is made of."""

  split: str
  shard: str
  items: Sequence[Any]


def _convert(
  spec: DatasetSpec,
  originals: pathlib.Path | None,
  staging: Staging,
  options: Options,
) -> list[Done]:
  """Originals -> shards, labels.txt and, as the mark that all is there, json."""
  splits = spec.read(originals)
  parts = [
    part
    for split, items in splits.items()
    for part in _plan(spec, split, items)
  ]
  shards = {part.shard for part in parts}
  _check_leftovers(spec, staging.target, shards)
  staging.open(shards, options.resume)
  rejections = _Rejections(
    listed=staging.target / REJECTED,
    total=sum(map(len, splits.values())),
    most=options.max_rejected_fraction,
  )
  done = _write(spec, parts, staging, rejections, options.num_processes)
  staging.publish(
    _manifest(spec, parts, done), spec.class_names, rejections.as_csv()
  )
  return done


def _write(
  spec: DatasetSpec,
  parts: Sequence[_Part],
  staging: Staging,
  rejections: '_Rejections',
  num_processes: int | None,
) -> list[Done]:
  """The shards that are not there yet, and what came of each part."""
  total, done = sum(len(part.items) for part in parts), []
  with (
    Workers(spec.encode, num_processes, total) as workers,
    tqdm.tqdm(desc=spec.name, total=total, unit='', disable=None) as progress,
  ):
    known = [staging.find(part.shard, part.items) for part in parts]
    # In one go over all shards: no process waits at the end of each.
    missing = itertools.chain.from_iterable(
      part.items
      for part, shard in zip(parts, known, strict=True)
      if shard is None
    )
    results = _watched(workers.encode(missing), rejections, progress)
    for part, shard in zip(parts, known, strict=True):
      if shard is None:
        own = itertools.islice(results, len(part.items))
        shard = staging.write(part.shard, part.items, own)
      else:
        progress.update(len(part.items))
        rejections.add(shard.rejected)
      done.append(shard)
  return done


def _plan(
  spec: DatasetSpec, split: str, items: Sequence[Any]
) -> Iterator[_Part]:
  """The shards of a split, of equal size, give or take a record."""
  records, shards = len(items), num_shards(spec, split, len(items))
  for place, name in enumerate(shard_names(spec.file_pattern, split, shards)):
    start, end = place * records // shards, (place + 1) * records // shards
    yield _Part(split, name, items[start:end])


def num_shards(spec: DatasetSpec, split: str, records: int) -> int:
  """min(the whole set's shards, records // records_per_shard), at least 1."""
  most = spec.max_shards.get(split, 1)
  return min(most, max(1, records // spec.records_per_shard))


def _check_leftovers(
  spec: DatasetSpec, folder: pathlib.Path, names: set[str]
) -> None:
  """Refuses to mix with records that this conversion would not replace."""
  for files in find_shards(folder, [spec.file_pattern]).values():
    others = [path for path in files if path.name not in names]
    if others:
      raise UserError(
        f'{folder} holds records of another conversion, such as '
        f'{others[0].name}: move them away, or name another --dataset_dir.'
      )


class _Rejections:
  """The originals that cannot be used, of which there may be only so many."""

  def __init__(self, listed: pathlib.Path, total: int, most: float):
    self._listed = listed
    self._total = total
    self._most = most
    self._rows: list[tuple[str, str]] = []

  def add(self, rows: Iterable[tuple[str, str]]) -> None:
    """Takes more of them.

    Raises:
      UserError: if there are too many, once they are listed.
    """
    self._rows.extend(rows)
    if len(self._rows) <= self._most * self._total:
      return
    write_text(self._listed, self.as_csv())
    name, reason = self._rows[0]
    raise UserError(
      f'{len(self._rows)} of {self._total} originals cannot be used, more than '
      f'--max_rejected_fraction={self._most:g}: {name} {reason}. {self._listed} '
      'lists those found so far: mend or remove them, or allow more, and go on '
      'with --resume.'
    )

  def as_csv(self) -> str:
    """The lines of rejected.csv; empty if there are none."""
    if not self._rows:
      return ''
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['path', 'reason'])
    writer.writerows(self._rows)
    return text.getvalue()


def _watched(
  results: Iterable[Content | Rejected],
  rejections: _Rejections,
  progress: tqdm.tqdm,
) -> Iterator[Content | Rejected]:
  """The results as they pass, counted."""
  for result in results:
    progress.update()
    if isinstance(result, Rejected):
      rejections.add([(result.name, result.reason)])
    yield result


def _manifest(
  spec: DatasetSpec, parts: Sequence[_Part], done: Sequence[Done]
) -> Manifest:
  """What dataset.json says of the set."""
  splits: dict[str, dict[str, Shard]] = {}
  for part, shard in zip(parts, done, strict=True):
    splits.setdefault(part.split, {})[part.shard] = Shard(
      shard.records, shard.bytes
    )
  return Manifest(
    spec.name,
    spec.num_classes,
    spec.channels,
    splits,
    source=spec.homepage,
    complete=True,
  )
