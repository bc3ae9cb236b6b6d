"""Conversion of originals: shards, labels.txt and, last, dataset.json."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import itertools
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tqdm
from absl import logging

from datasets import manifest as manifests
from datasets import photo, photo_folder, tfds
from datasets.dataset_factory import DATASETS
from datasets.download import fetch
from datasets.example_features import ExampleFeatures
from datasets.manifest import Manifest, Shard
from datasets.process_pool import ProcessPool, Rejection
from datasets.shards import find_shards, shard_names
from datasets.source_files import OWN_NAME
from datasets.spec import DatasetSpec
from datasets.staging import REJECTED, ShardReport, Staging
from errors import UserError
from files import write_text
from registry import unknown

_DOWNLOADS = '.originals'


@dataclasses.dataclass(frozen=True)
class Options(photo_folder.Options):
  """Options of a conversion, beside those for a folder of photos.

  Attributes:
    max_rejected_fraction: stop when a larger fraction of the originals cannot
      be used.
    max_megapixels: size of the largest photo that can be used.
    num_processes: number of worker processes; one per processor if None.
    resume: continue a conversion that was interrupted.
  """

  max_rejected_fraction: float = 0.05
  max_megapixels: int = photo.MEGAPIXELS
  num_processes: int | None = None
  resume: bool = False


@dataclasses.dataclass(frozen=True)
class Summary:
  """Result of a conversion.

  Attributes:
    name: the data set's name.
    dataset_dir: folder of the records.
    num_classes: number of labels.
    channels: 1 or 3.
    splits: split -> number of records.
    rejected: number of originals that could not be used.
    notes: remark on an original or its conversion -> number of originals.
    empty_classes: names of the classes without records; not known of a data set
      that was complete.
    already_complete: True if the data set was complete before the call.
  """

  name: str
  dataset_dir: str
  num_classes: int
  channels: int
  splits: Mapping[str, int]
  rejected: int = 0
  notes: Mapping[str, int] = dataclasses.field(default_factory=dict)
  empty_classes: tuple[str, ...] = ()
  already_complete: bool = False


def convert(
  name: str,
  dataset_dir: str,
  source_dir: str | None = None,
  options: Options | None = None,
) -> Summary:
  """Writes the record files of a data set; does nothing if they are complete.

  Args:
    name: a name in the table of data sets, 'tfds:' and a name of TensorFlow
      Datasets, or any other name for a folder of photos.
    dataset_dir: folder for the records, created if necessary.
    source_dir: folder or archive of the originals; None uses those of an
      installed package, or downloads them.
    options: options of the conversion.

  Raises:
    UserError: if the name is unknown, the originals are missing or damaged, too
      many of them cannot be used, the download fails, or the folder cannot be
      written or contains another data set.
  """
  options = options or Options()
  folder = pathlib.Path(dataset_dir)
  staging = Staging(folder, f'max_megapixels={options.max_megapixels}')
  try:
    staging.finish()
    if _is_complete(name, source_dir, folder):
      staging.discard()
      return _summary(folder, already_complete=True)
    spec = _spec(name, source_dir, options)
    make_folder(folder)
    originals = _originals(spec, source_dir, folder / _DOWNLOADS)
    reports = _convert(spec, originals, staging, options)
    empty = _without(spec, _recorded(reports))
  except OSError as error:
    raise UserError(f'Cannot convert {name!r} into {folder}: {error}') from (
      error
    )
  finally:
    staging.discard_if_empty()
  shutil.rmtree(folder / _DOWNLOADS, ignore_errors=True)
  return dataclasses.replace(_summary(folder, reports), empty_classes=empty)


def make_folder(folder: pathlib.Path) -> None:
  """Creates the folder for the records.

  Raises:
    UserError: if it cannot be created.
  """
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f'Cannot create --dataset_dir={folder}: {error.strerror}.'
    ) from error


def _is_complete(
  name: str, source_dir: str | None, folder: pathlib.Path
) -> bool:
  """Whether the folder contains the complete data set already.

  Raises:
    UserError: if it contains another data set, or one of other photos.
  """
  manifest = manifests.read(folder)
  if manifest is None:
    return False
  if manifest.name != name:
    raise UserError(
      f'{folder} already contains the data set {manifest.name!r}: choose '
      f'another --dataset_dir for {name!r}.'
    )
  if not manifest.is_intact(folder):
    return False
  _check_same_photos(manifest, source_dir, folder)
  return True


def _check_same_photos(
  manifest: Manifest, source_dir: str | None, folder: pathlib.Path
) -> None:
  """Raises UserError if a user's data set was made of other photos."""
  if manifest.name in DATASETS or manifest.name.startswith(tfds.PREFIX):
    return
  source = pathlib.Path(source_dir or '').resolve()
  # The records do not need photos that were deleted or moved since.
  if source_dir and source.exists() and manifest.source != str(source):
    raise UserError(
      f'{folder} already contains {manifest.name!r} made of {manifest.source}: '
      f'choose another --dataset_dir, or remove it to convert {source} instead.'
    )


def _summary(
  folder: pathlib.Path,
  reports: Sequence[ShardReport] = (),
  already_complete: bool = False,
) -> Summary:
  """Returns the summary of a complete folder."""
  manifest = manifests.read(folder)
  if manifest is None:
    raise UserError(f'{folder} has no dataset.json: convert again.')
  notes: dict[str, int] = {}
  for report in reports:
    for note, count in report.notes.items():
      notes[note] = notes.get(note, 0) + count
  return Summary(
    name=manifest.name,
    dataset_dir=str(folder),
    num_classes=manifest.num_classes,
    channels=manifest.channels,
    splits=manifest.num_records(),
    rejected=sum(len(report.rejected) for report in reports),
    notes=dict(sorted(notes.items())),
    already_complete=already_complete,
  )


def _spec(name: str, source_dir: str | None, options: Options) -> DatasetSpec:
  """Returns the table's spec, or one for TensorFlow Datasets or a folder.

  Raises:
    UserError: if the arguments are wrong or contradict each other.
  """
  source = pathlib.Path(source_dir) if source_dir else None
  if source and not source.exists():
    raise UserError(f'--source_dir={source_dir} does not exist.')
  if source and not source.is_dir() and not source.is_file():
    raise UserError(
      f'--source_dir={source_dir} is neither a folder nor a file.'
    )
  if name.startswith(tfds.PREFIX):
    return tfds.spec(name, source, options.validation_fraction)
  if name in DATASETS:
    _check_table_entry(DATASETS[name], source, options)
    return DATASETS[name]
  if not source:
    raise UserError(
      f'{unknown("data set", name, DATASETS)} Any other name needs '
      '--source_dir, a folder of photos.'
    )
  return photo_folder.spec(name, source, options)


def _check_table_entry(
  spec: DatasetSpec, source: pathlib.Path | None, options: Options
) -> None:
  """Raises UserError for options that a data set of the table does not take."""
  if options.validation_fraction is not None:
    raise UserError(
      f'{spec.name!r} has its own splits: omit --validation_fraction.'
    )
  if source and spec.embedded:
    raise UserError(
      f'{spec.name!r} comes with an installed package: omit --source_dir. '
      f'{OWN_NAME}'
    )
  if not source and not spec.embedded and not spec.downloads:
    raise UserError(
      f'{spec.name!r} cannot be downloaded freely: get it from {spec.homepage} '
      'and pass its folder with --source_dir.'
    )


def _originals(
  spec: DatasetSpec, source_dir: str | None, downloads: pathlib.Path
) -> pathlib.Path | None:
  """Returns the path of the originals; None if a package contains them.

  Downloads them if necessary. Complete and partial downloads stay until the
  conversion is complete, for the next attempt.
  """
  if source_dir:
    return pathlib.Path(source_dir)
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
  """A planned shard: its split, file name and items."""

  split: str
  shard: str
  items: Sequence[Any]


def _convert(
  spec: DatasetSpec,
  originals: pathlib.Path | None,
  staging: Staging,
  options: Options,
) -> list[ShardReport]:
  """Converts originals to shards, labels.txt and, last, dataset.json."""
  splits = spec.read(originals)
  labels = _labels(splits)
  if spec.folders:
    folders = [name for name, label in spec.folders.items() if label in labels]
    photo_folder.check_folders(
      spec.name, originals, folders, spec.folders, options.keep_empty_classes
    )
  parts = [
    part
    for split, items in splits.items()
    for part in _plan(spec, split, items)
  ]
  shards = {part.shard for part in parts}
  _check_leftovers(spec, staging.target, shards)
  staging.open(shards, options.resume)
  rejections = _Rejections(
    path=staging.target / REJECTED,
    total=sum(map(len, splits.values())),
    max_fraction=options.max_rejected_fraction,
  )
  reports = _write(spec, parts, staging, rejections, options)
  emptied = _without(spec, _recorded(reports), labels)
  if emptied and not options.keep_empty_classes:
    rejections.refuse_empty(emptied)
  _warn_of_emptied(spec, parts, reports)
  staging.publish(
    _manifest(spec, parts, reports), spec.class_names, rejections.as_csv()
  )
  return reports


def _write(
  spec: DatasetSpec,
  parts: Sequence[_Part],
  staging: Staging,
  rejections: _Rejections,
  options: Options,
) -> list[ShardReport]:
  """Writes the missing shards; returns the report of each shard."""
  total, reports = sum(len(part.items) for part in parts), []
  encode = functools.partial(
    photo.encode_within, options.max_megapixels, spec.encode
  )
  with (
    ProcessPool(encode, options.num_processes, total) as pool,
    tqdm.tqdm(desc=spec.name, total=total, unit='', disable=None) as progress,
  ):
    finished = [staging.find(part.shard, part.items) for part in parts]
    # One stream over all shards: no process idles at the end of a shard.
    missing = itertools.chain.from_iterable(
      part.items
      for part, report in zip(parts, finished, strict=True)
      if report is None
    )
    results = _count(pool.encode(missing), rejections, progress)
    for part, report in zip(parts, finished, strict=True):
      if report is None:
        own = itertools.islice(results, len(part.items))
        report = staging.write(part.shard, part.items, own)
      else:
        progress.update(len(part.items))
        rejections.add(report.rejected)
      reports.append(report)
  return reports


def _labels(splits: Mapping[str, Iterable[Any]]) -> set[int]:
  """Returns the labels of the photos; nothing for other originals."""
  return {
    item.label
    for items in splits.values()
    if isinstance(items, list)
    for item in items
    if isinstance(item, photo.Photo)
  }


def _recorded(reports: Iterable[ShardReport]) -> set[int]:
  """Returns the labels that records have."""
  return {int(label) for report in reports for label in report.labels}


def _without(
  spec: DatasetSpec, recorded: set[int], labels: Iterable[int] | None = None
) -> tuple[str, ...]:
  """Returns the names of the classes, among `labels`, without a record."""
  labels = (
    range(spec.first_label, spec.num_classes) if labels is None else labels
  )
  return tuple(
    spec.class_names[label] for label in sorted({*labels} - recorded)
  )


def _warn_of_emptied(
  spec: DatasetSpec, parts: Sequence[_Part], reports: Sequence[ShardReport]
) -> None:
  """Warns of classes that have photos in a split, of which none can be used."""
  planned: dict[str, set[int]] = {}
  recorded: dict[str, set[int]] = {}
  for part, report in zip(parts, reports, strict=True):
    labels = _labels({part.split: part.items})
    planned.setdefault(part.split, set()).update(labels)
    recorded.setdefault(part.split, set()).update(_recorded([report]))
  for split, labels in planned.items():
    if lost := _without(spec, recorded[split], labels):
      logging.warning(
        'Classes without a usable %s photo: %s. Replace the photos that '
        'rejected.csv names, or convert again with another --seed',
        split,
        photo_folder.some(lost),
      )


def _plan(
  spec: DatasetSpec, split: str, items: Sequence[Any]
) -> Iterator[_Part]:
  """Yields the shards of a split, whose sizes differ by one record at most."""
  records, shards = len(items), num_shards(spec, split, len(items))
  for index, name in enumerate(shard_names(spec.file_pattern, split, shards)):
    start, end = index * records // shards, (index + 1) * records // shards
    yield _Part(split, name, items[start:end])


def num_shards(spec: DatasetSpec, split: str, records: int) -> int:
  """min(spec.max_shards, records // spec.records_per_shard), at least 1."""
  max_shards = spec.max_shards.get(split, 1)
  return min(max_shards, max(1, records // spec.records_per_shard))


def _check_leftovers(
  spec: DatasetSpec, folder: pathlib.Path, names: set[str]
) -> None:
  """Raises UserError if the folder has records that would not be replaced."""
  for files in find_shards(folder, [spec.file_pattern]).values():
    others = [path for path in files if path.name not in names]
    if others:
      raise UserError(
        f'{folder} contains records of another conversion, such as '
        f'{others[0].name}: move them away, or choose another --dataset_dir.'
      )


class _Rejections:
  """The originals that cannot be used, and a limit to their number.

  Args:
    path: CSV file that lists them if there are too many.
    total: number of all originals.
    max_fraction: largest accepted fraction of rejected originals.
  """

  def __init__(self, path: pathlib.Path, total: int, max_fraction: float):
    self._path = path
    self._total = total
    self._max_fraction = max_fraction
    self._rows: list[tuple[str, str]] = []

  def add(self, rows: Iterable[tuple[str, str]]) -> None:
    """Adds (name, reason) rows.

    Raises:
      UserError: if there are too many; writes the list first.
    """
    self._rows.extend(rows)
    if len(self._rows) <= self._max_fraction * self._total:
      return
    self._write()
    name, reason = self._rows[0]
    raise UserError(
      f'{len(self._rows)} of {self._total} originals cannot be used, more than '
      f'--max_rejected_fraction={self._max_fraction:g}: {name} {reason}. '
      f'{self._path} lists those found so far: repair or remove them, or allow '
      'more, and continue with --resume.'
    )

  def refuse_empty(self, classes: Sequence[str]) -> None:
    """Raises UserError for classes of which no original can be used."""
    self._write()
    raise UserError(
      f'No original can be used of {photo_folder.some(classes)}: see '
      f'{self._path}. Repair the originals or remove their folders, or keep the '
      'classes without records by --keep_empty_classes, and continue with '
      '--resume.'
    )

  def _write(self) -> None:
    write_text(self._path, self.as_csv())

  def as_csv(self) -> str:
    """Returns the content of rejected.csv; empty if nothing was rejected."""
    if not self._rows:
      return ''
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['path', 'reason'])
    writer.writerows(self._rows)
    return text.getvalue()


def _count(
  results: Iterable[ExampleFeatures | Rejection],
  rejections: _Rejections,
  progress: tqdm.tqdm,
) -> Iterator[ExampleFeatures | Rejection]:
  """Yields the results; advances `progress`, and adds to `rejections`."""
  for result in results:
    progress.update()
    if isinstance(result, Rejection):
      rejections.add([(result.name, result.reason)])
    yield result


def _manifest(
  spec: DatasetSpec, parts: Sequence[_Part], reports: Sequence[ShardReport]
) -> Manifest:
  """Returns the content of dataset.json."""
  splits: dict[str, dict[str, Shard]] = {}
  for part, report in zip(parts, reports, strict=True):
    splits.setdefault(part.split, {})[part.shard] = Shard(
      report.records, report.bytes
    )
  return Manifest(
    spec.name,
    spec.num_classes,
    spec.channels,
    splits,
    source=spec.homepage,
    complete=True,
  )
