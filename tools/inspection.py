"""Reports the content and the defects of a data set: inspect_data.py."""

import collections
import dataclasses
import pathlib
import statistics
from collections.abc import Collection, Iterable, Iterator, Sequence

from datasets import dataset_factory, manifest
from datasets.dataset import Dataset
from datasets.process_pool import ProcessPool
from datasets.record_inspection import RecordInfo, inspect_record
from datasets.scan import scan
from engine import console
from engine.config.jobs import InspectJob
from errors import UserError
from nets import nets_factory
from tools import contact_sheet

LISTED = 20  # maximum number of bad records, and of duplicates, in a report


@dataclasses.dataclass
class Split:
  """Content of a split.

  Attributes:
    dataset: the split.
    classes: label -> number of usable records.
    kinds: image format and color mode -> number of usable records.
    widths: widths of all usable images, in pixels.
    heights: heights of all usable images, in pixels.
    bad: the records that cannot be used.
    names_by_digest: digest of an image's pixels -> names of its records.
    samples: records for the contact sheet, about as many of each class.
  """

  dataset: Dataset
  classes: collections.Counter[int] = dataclasses.field(
    default_factory=collections.Counter
  )
  kinds: collections.Counter[str] = dataclasses.field(
    default_factory=collections.Counter
  )
  widths: list[int] = dataclasses.field(default_factory=list)
  heights: list[int] = dataclasses.field(default_factory=list)
  bad: list[RecordInfo] = dataclasses.field(default_factory=list)
  names_by_digest: dict[bytes, list[str]] = dataclasses.field(
    default_factory=dict
  )
  samples: list[RecordInfo] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Report:
  """Content of all splits.

  Attributes:
    splits: split -> its content.
    duplicates: for each image that is in several splits, the name of its first
      record in each of them.
  """

  splits: dict[str, Split]
  duplicates: tuple[tuple[str, ...], ...]

  @property
  def exit_code(self) -> int:
    """1 if a record cannot be used, else 0."""
    return int(any(split.bad for split in self.splits.values()))


def inspect(job: InspectJob, explicit: Collection[str] = frozenset()) -> Report:
  """Reads every record and prints a report to stdout; draws --output.

  Args:
    job: options of inspect_data.py.
    explicit: the options set by flags; unused.

  Raises:
    UserError: for wrong input, or a folder without records.
  """
  del explicit
  if not job.dataset_dir:
    raise UserError('--dataset_dir is required: the folder of the records.')
  name = job.dataset_name or _name(job.dataset_dir)
  network = nets_factory.NETWORKS[job.model_name]
  if job.output:
    contact_sheet.check_path(job.output)
  pattern = job.file_pattern
  splits = {
    split: _inspect_split(
      dataset_factory.get_dataset(name, split, job.dataset_dir, pattern), job
    )
    for split in dataset_factory.splits(name, job.dataset_dir, pattern)
  }
  report = Report(splits, tuple(_duplicates(splits.values())))
  console.report('\n'.join(_lines(name, report)))
  if job.output:
    contact_sheet.draw(
      next(iter(splits.values())).dataset,
      {name: split.samples for name, split in splits.items()},
      job.preprocessing,
      job.image_size or network.image_size,
      job.output,
      job.plot_format,
    )
    console.report(f'contact sheet: {job.output}')
  return report


def _name(dataset_dir: str) -> str:
  """Returns the data set's name in dataset.json; UserError without one."""
  folder = pathlib.Path(dataset_dir)
  if not folder.is_dir():
    raise UserError(f'There is no folder {folder}.')
  description = manifest.read(folder)
  if description is None:
    raise UserError(
      f'{dataset_dir} has no dataset.json that names the data set: set '
      '--dataset_name.'
    )
  return description.name


def _inspect_split(dataset: Dataset, job: InspectJob) -> Split:
  """Reads all records of a split; shows a progress bar."""
  split = Split(dataset)
  samples: list[tuple[int, RecordInfo]] = []
  with (
    ProcessPool(inspect_record, job.num_processes, dataset.num_records) as pool,
    console.bar(dataset.num_records, unit=dataset.split) as bar,
  ):
    for record in scan(dataset, pool):
      _count(split, record)
      if _is_sample(split, record, len(samples), job.num_images):
        samples.append((split.classes[record.label or 0], record))
      bar.update()
  # The first of each class come before the second ones.
  samples.sort(key=lambda sample: sample[0])
  split.samples += [record for _, record in samples[: job.num_images]]
  return split


def _is_sample(split: Split, record: RecordInfo, taken: int, most: int) -> bool:
  """Whether to draw a record that has just been counted, if there is room.

  Args:
    split: what was counted.
    record: the record.
    taken: number of samples so far.
    most: number of samples to draw.
  """
  if record.look is None or record.label is None:
    return False
  classes = split.dataset.num_classes
  is_needed = split.classes[record.label] <= -(-most // classes)
  return is_needed and (classes <= most or taken < most)


def _count(split: Split, record: RecordInfo) -> None:
  """Adds a record to the content of its split."""
  if record.look is None or record.label is None:
    # Without its image, which may be large.
    split.bad.append(dataclasses.replace(record, encoded=b''))
    return
  split.classes[record.label] += 1
  split.kinds[record.look.kind] += 1
  split.widths.append(record.look.width)
  split.heights.append(record.look.height)
  split.names_by_digest.setdefault(record.look.digest, []).append(record.name)


def _duplicates(splits: Iterable[Split]) -> Iterator[tuple[str, ...]]:
  """Yields the first record per split of each image in several splits."""
  first_records = collections.defaultdict(list)
  for split in splits:
    for digest, names in split.names_by_digest.items():
      first_records[digest].append(names[0])
  for names in first_records.values():
    if len(names) > 1:
      yield tuple(names)


def _lines(name: str, report: Report) -> Iterator[str]:
  """Yields the lines of the report."""
  first = next(iter(report.splits.values())).dataset
  yield f'{name}: {first.num_classes} classes, {first.channels} channels'
  for split in report.splits.values():
    yield from _split_lines(split)
  yield from _class_lines(report)
  count = len(report.duplicates)
  yield f'images in several splits: {count}'
  for names in report.duplicates[:LISTED]:
    yield f'  {" = ".join(names)}'
  yield from _unlisted(count)


def _split_lines(split: Split) -> Iterator[str]:
  """Yields a split's numbers, formats, sizes and bad records."""
  dataset = split.dataset
  good, bad = sum(split.classes.values()), len(split.bad)
  repeated = good - len(split.names_by_digest)
  yield (
    f'{dataset.split}: {good + bad} records in {len(dataset.files)} files, '
    f'{bad} of them cannot be used, {repeated} repeat an image of the split'
  )
  if good:
    kinds = ', '.join(f'{n} {kind}' for kind, n in split.kinds.most_common())
    yield f'  formats: {kinds}'
    yield f'  width {_range(split.widths)}, height {_range(split.heights)}'
  for record in split.bad[:LISTED]:
    yield f'  {record.name} {record.problem}'
  yield from _unlisted(bad)
  yield from _empty_classes(split)


def _empty_classes(split: Split) -> Iterator[str]:
  """Yields a line about the classes of which a split has no usable record."""
  names = enumerate(split.dataset.class_names)
  empty = [f'{n}:{name}' for n, name in names if not split.classes[n]]
  if empty:
    more = len(empty) - LISTED
    yield (
      f'  {len(empty)} classes without usable records: '
      f'{", ".join(empty[:LISTED])}{f" and {more} more" * (more > 0)}'
    )


def _range(values: Sequence[int]) -> str:
  """'14 to 20 (median 14)'."""
  median = statistics.median_low(values)
  return f'{min(values)} to {max(values)} (median {median})'


def _unlisted(count: int) -> Iterator[str]:
  """Yields '  and 3 more' if a list of LISTED lines is incomplete."""
  if count > LISTED:
    yield f'  and {count - LISTED} more'


def _class_lines(report: Report) -> Iterator[str]:
  """Yields a line for each class: its number of records in each split."""
  yield f'records of each class ({", ".join(report.splits)}):'
  first = next(iter(report.splits.values())).dataset
  for label, name in enumerate(first.class_names):
    counts = [str(split.classes[label]) for split in report.splits.values()]
    yield f'  {label}:{name}  {"  ".join(counts)}'
