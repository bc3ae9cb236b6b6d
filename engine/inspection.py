"""What inspect_data.py does: the truth about a set of records."""

import collections
import dataclasses
import pathlib
import statistics
from collections.abc import Collection, Iterable, Iterator

from datasets import dataset_factory, manifest
from datasets.dataset import Dataset
from datasets.sight import Sight, look
from datasets.survey import survey
from datasets.workers import Workers
from engine import console, contact_sheet
from engine.job import InspectJob
from errors import UserError
from nets import nets_factory

LISTED = 20  # bad records and duplicates that are printed, of each kind


@dataclasses.dataclass
class Split:
  """What was seen of a split.

  Attributes:
    dataset: the split.
    classes: label -> how many records that can be used.
    kinds: format and colors -> how many.
    widths: of all images, in pixels.
    heights: of all images, in pixels.
    bad: the records that cannot be used.
    places: digest of an image -> its records' names.
    samples: some records, evenly drawn.
  """

  dataset: Dataset
  classes: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  kinds: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  widths: list[int] = dataclasses.field(default_factory=list)
  heights: list[int] = dataclasses.field(default_factory=list)
  bad: list[Sight] = dataclasses.field(default_factory=list)
  places: dict[bytes, list[str]] = dataclasses.field(default_factory=dict)
  samples: list[Sight] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Report:
  """All splits, and the images that several of them hold.

  Attributes:
    splits: split -> what was seen of it.
    duplicates: of each picture that is in several splits, the name of the
      first record in each.
  """

  splits: dict[str, Split]
  duplicates: tuple[tuple[str, ...], ...]

  @property
  def exit_code(self) -> int:
    """1 if some record cannot be used."""
    return int(any(split.bad for split in self.splits.values()))


def inspect(job: InspectJob, given: Collection[str] = frozenset()) -> Report:
  """Looks at every record, and says what is there.

  Raises:
    UserError: for wrong input, or a folder without records.
  """
  del given
  if not job.dataset_dir:
    raise UserError('--dataset_dir is required: the folder of the records.')
  name = job.dataset_name or _name(job.dataset_dir)
  network = nets_factory.NETWORKS[job.model_name]
  if job.output:
    contact_sheet.check_path(job.output)
  splits = {
    split: _look(dataset_factory.get_dataset(name, split, job.dataset_dir), job)
    for split in dataset_factory.splits(name, job.dataset_dir)
  }
  report = Report(splits, tuple(_duplicates(splits.values())))
  for line in _lines(name, report):
    console.say(line)
  if job.output:
    contact_sheet.draw(
      next(iter(splits.values())).dataset,
      {name: split.samples for name, split in splits.items()},
      job.preprocessing_name or network.preprocessing,
      job.image_size or network.image_size,
      job.output,
    )
    console.say(f'contact sheet: {job.output}')
  return report


def _name(dataset_dir: str) -> str:
  """The set's name, as its dataset.json has it."""
  folder = pathlib.Path(dataset_dir).expanduser()
  if not folder.is_dir():
    raise UserError(f'There is no folder {folder}.')
  found = manifest.read(folder)
  if found is None:
    raise UserError(
      f'{dataset_dir} has no dataset.json that would name the set: say '
      '--dataset_name.'
    )
  return found.name


def _look(dataset: Dataset, job: InspectJob) -> Split:
  """Everything about one split."""
  split = Split(dataset)
  step = max(1, dataset.num_records // job.num_images)
  with (
    Workers(look, job.num_processes, dataset.num_records) as workers,
    console.bar(dataset.num_records, unit=dataset.split) as bar,
  ):
    for place, sight in enumerate(survey(dataset, workers)):
      _count(split, sight)
      wanted = place % step == 0 and len(split.samples) < job.num_images
      if wanted and sight.look:
        split.samples.append(sight)
      bar.update()
  return split


def _count(split: Split, sight: Sight) -> None:
  """Adds a record to what was seen."""
  if sight.look is None:
    split.bad.append(dataclasses.replace(sight, encoded=b''))
    return
  split.classes[sight.label] += 1
  split.kinds[sight.look.kind] += 1
  split.widths.append(sight.look.width)
  split.heights.append(sight.look.height)
  split.places.setdefault(sight.look.digest, []).append(sight.name)


def _duplicates(splits: Iterable[Split]) -> Iterator[tuple[str, ...]]:
  """Of each picture that several splits hold, the first record in each."""
  held = collections.defaultdict(list)
  for split in splits:
    for digest, names in split.places.items():
      held[digest].append(names[0])
  for names in held.values():
    if len(names) > 1:
      yield tuple(names)


def _lines(name: str, report: Report) -> Iterator[str]:
  """The report as text."""
  first = next(iter(report.splits.values())).dataset
  yield f'{name}: {first.num_classes} classes, {first.channels} channels'
  for split in report.splits.values():
    yield from _split_lines(split)
  yield from _class_lines(report)
  count = len(report.duplicates)
  yield f'pictures that several splits hold: {count}'
  for names in report.duplicates[:LISTED]:
    yield f'  {" = ".join(names)}'
  yield from _more(count)


def _split_lines(split: Split) -> Iterator[str]:
  """A split's records, sizes, formats and what is bad."""
  dataset = split.dataset
  good, bad = sum(split.classes.values()), len(split.bad)
  again = good - len(split.places)
  yield (
    f'{dataset.split}: {good + bad} records in {len(dataset.files)} files, '
    f'{bad} of them cannot be used, {again} repeat a picture of the split'
  )
  if good:
    kinds = ', '.join(f'{n} {kind}' for kind, n in split.kinds.most_common())
    yield f'  formats: {kinds}'
    yield f'  width {_range(split.widths)}, height {_range(split.heights)}'
  for sight in split.bad[:LISTED]:
    yield f'  {sight.name} {sight.problem}'
  yield from _more(bad)


def _range(values: list[int]) -> str:
  """The least, the middle and the greatest."""
  middle = statistics.median_low(values)
  return f'{min(values)} to {max(values)} (median {middle})'


def _more(count: int) -> Iterator[str]:
  if count > LISTED:
    yield f'  and {count - LISTED} more'


def _class_lines(report: Report) -> Iterator[str]:
  """A table: each class with its records in each split."""
  yield f'records of each class ({", ".join(report.splits)}):'
  first = next(iter(report.splits.values())).dataset
  for label, name in enumerate(first.class_names):
    counts = [str(split.classes[label]) for split in report.splits.values()]
    yield f'  {label}:{name}  {"  ".join(counts)}'
