"""Data sets of TensorFlow Datasets, by 'tfds:' and their name there.

https://www.tensorflow.org/datasets, where that package is installed; it is no
dependency. Images keep the bytes that it stores.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from datasets import photo
from datasets.content import Content
from datasets.photo_folder import MAX_SHARDS, VALIDATION_FRACTION
from datasets.shards import file_stem
from datasets.spec import DatasetSpec
from errors import UserError

PREFIX = 'tfds:'
_SPLITS = ('train', 'validation', 'test')


@dataclasses.dataclass(frozen=True)
class Item:
  """An encoded image, its label, and its place in the set."""

  name: str
  data: bytes
  label: int


@dataclasses.dataclass(frozen=True)
class Items(Sequence):
  """A range of a split's images, read anew each time they are gone through.

  They need not fit into memory, as those of other sets do.
  """

  tfds: Any
  builder: Any
  split: str
  start: int
  end: int

  def __len__(self) -> int:
    return self.end - self.start

  def __getitem__(self, part: slice) -> 'Items':
    start, end, _ = part.indices(len(self))
    return dataclasses.replace(
      self, start=self.start + start, end=self.start + end
    )

  def __iter__(self) -> Iterator[Item]:
    examples = self.builder.as_dataset(
      split=f'{self.split}[{self.start}:{self.end}]',
      decoders={'image': self.tfds.decode.SkipDecoding()},
      shuffle_files=False,
    )
    for place, example in enumerate(self.tfds.as_numpy(examples), self.start):
      name = f'{self.builder.name}/{self.split}/{place}'
      yield Item(name, bytes(example['image']), int(example['label']))


def encode(item: Item) -> Content:
  """The content of an image under TF-Slim's keys.

  Raises:
    UnusableError: if it does not decode.
  """
  return photo.content(photo.check_bytes(item.data, item.name), item.label)


def spec(
  name: str, data_dir: pathlib.Path | None, fraction: float | None
) -> DatasetSpec:
  """The data set of that name, prepared if need be.

  Args:
    name: 'tfds:' and the name, which may hold a configuration and a version.
    data_dir: where it lies prepared; None: it is downloaded to its own place.
    fraction: the share of a set that is one split to take for validation.

  Raises:
    UserError: if the package is not installed, it has no such set, or the set
      is not one of images with a label.
  """
  tfds = _package(name)
  builder = _builder(tfds, name, data_dir)
  label = _label(builder, name)
  splits = _splits(tfds, builder, fraction)
  return DatasetSpec(
    name=name,
    num_classes=label.num_classes,
    channels=1 if builder.info.features['image'].shape[-1] == 1 else 3,
    class_names=tuple(label.names),
    splits=tuple(splits),
    evaluation_split='validation' if 'validation' in splits else 'test',
    file_pattern=f'{file_stem(name)}_{{split}}-{{shard}}.tfrecord',
    homepage=f'https://www.tensorflow.org/datasets/catalog/{builder.name}',
    read=lambda _: splits,
    encode=encode,
    max_shards=dict.fromkeys(splits, MAX_SHARDS),
  )


def _package(name: str) -> Any:
  try:
    return importlib.import_module('tensorflow_datasets')
  except ImportError as error:
    raise UserError(
      f'{name!r} needs the package tensorflow-datasets, which cannot be '
      f'imported ({error}): pip install tensorflow-datasets'
    ) from error


def _builder(tfds: Any, name: str, data_dir: pathlib.Path | None) -> Any:
  """Its builder, with the data in place; downloads unless told where it is."""
  try:
    builder = tfds.builder(
      name.removeprefix(PREFIX), data_dir=data_dir and str(data_dir)
    )
    if data_dir is None:
      builder.download_and_prepare()
    if not builder.info.splits:
      raise ValueError(f'it is not prepared in {data_dir}')
  # What goes wrong there has no common class: unknown names, licences, hosts.
  except Exception as error:
    raise UserError(f'Cannot have {name!r}: {error}') from error
  return builder


def _label(builder: Any, name: str) -> Any:
  """The label's description, once the set is one of labelled images."""
  features = dict(builder.info.features.items())
  label = features.get('label')
  if 'image' not in features or not hasattr(label, 'num_classes'):
    raise UserError(
      f'{name!r} has no image with one label each, but '
      f'{", ".join(sorted(features))}.'
    )
  return label


def _splits(
  tfds: Any, builder: Any, fraction: float | None
) -> dict[str, Items]:
  """Its splits; of a single one, the last part becomes the validation split.

  The package has shuffled it, so that any part is a fair one.
  """
  sizes = {
    split: builder.info.splits[split].num_examples
    for split in _SPLITS
    if split in builder.info.splits
  }
  if 'train' not in sizes:
    raise UserError(f'{builder.name!r} has no split train.')
  if len(sizes) > 1:
    if fraction is not None:
      raise UserError(
        f'{builder.name!r} has splits of its own ({", ".join(sizes)}): leave '
        '--validation_fraction out.'
      )
    return {s: Items(tfds, builder, s, 0, n) for s, n in sizes.items()}
  count = sizes['train']
  fraction = VALIDATION_FRACTION if fraction is None else fraction
  start = count - round(count * fraction)
  splits = {
    'train': Items(tfds, builder, 'train', 0, start),
    'validation': Items(tfds, builder, 'train', start, count),
  }
  return {split: items for split, items in splits.items() if len(items)}
