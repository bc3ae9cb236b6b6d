"""Data sets of TensorFlow Datasets, named 'tfds:' and their name there.

https://www.tensorflow.org/datasets. The package is an optional dependency.
Images keep the bytes that it stores.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from absl import logging

from datasets import photo
from datasets.example_features import ExampleFeatures
from datasets.photo_folder import MAX_SHARDS, VALIDATION_FRACTION
from datasets.shards import file_stem
from datasets.spec import DatasetSpec
from errors import UserError

PREFIX = 'tfds:'
_SPLITS = ('train', 'validation', 'test')


@dataclasses.dataclass(frozen=True)
class Item:
  """An encoded image, its label, and a name with its position in the split."""

  name: str
  data: bytes
  label: int


@dataclasses.dataclass(frozen=True)
class Items(Sequence):
  """A range of a split's images, read from disk during each iteration.

  They need not fit into memory.
  """

  tfds: Any
  builder: Any
  split: str
  start: int
  end: int

  def __len__(self) -> int:
    return self.end - self.start

  def __getitem__(self, part: Any) -> Any:
    """Returns a sub-range; no item is read alone."""
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
    for index, example in enumerate(self.tfds.as_numpy(examples), self.start):
      name = f'{self.builder.name}/{self.split}/{index}'
      yield Item(name, bytes(example['image']), int(example['label']))


def encode(item: Item) -> ExampleFeatures:
  """Returns the features of an image under TF-Slim's keys.

  Raises:
    UnusableError: if it does not decode.
  """
  return photo.features(photo.check_bytes(item.data, item.name), item.label)


def spec(
  name: str, data_dir: pathlib.Path | None, fraction: float | None
) -> DatasetSpec:
  """Returns the spec of a data set, which it downloads and prepares if needed.

  Args:
    name: 'tfds:' and the name, optionally with a configuration and version.
    data_dir: folder of the prepared data set; None downloads it to the
      package's default folder.
    fraction: fraction for validation if train is the only split; None for
      VALIDATION_FRACTION.

  Raises:
    UserError: if the package is not installed or does not have the data set, or
      if the data set does not consist of images with one label each.
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
  """Returns the builder of a prepared data set; downloads without data_dir."""
  try:
    builder = tfds.builder(
      name.removeprefix(PREFIX), data_dir=data_dir and str(data_dir)
    )
    if data_dir is None:
      builder.download_and_prepare()
    if not builder.info.splits:
      raise ValueError(f'it is not prepared in {data_dir}')
  # Errors of unknown names, licenses and hosts have no common base class.
  except Exception as error:
    raise UserError(f'Cannot load {name!r}: {error}') from error
  return builder


def _label(builder: Any, name: str) -> Any:
  """Returns the label's feature; raises if images do not have one label."""
  features = dict(builder.info.features.items())
  label = features.get('label')
  if 'image' not in features or not hasattr(label, 'num_classes'):
    raise UserError(
      f'{name!r} does not consist of images with one label each; it has '
      f'{", ".join(sorted(features))}.'
    )
  return label


def _is_labeled(items: Items) -> bool:
  """Whether the first image of a split has a label; warns if it has none."""
  label = next((item.label for item in items[:1]), 0)
  if label < 0:
    logging.warning(
      '%s: its split %s has no labels, and is left out.',
      items.builder.name,
      items.split,
    )
  return label >= 0


def _splits(
  tfds: Any, builder: Any, fraction: float | None
) -> dict[str, Items]:
  """Returns the splits; takes the end of a single split for validation.

  The package has shuffled the images, so any range is a random sample.
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
        f'{builder.name!r} has its own splits ({", ".join(sizes)}): omit '
        '--validation_fraction.'
      )
    splits = {s: Items(tfds, builder, s, 0, n) for s, n in sizes.items()}
    return {s: items for s, items in splits.items() if _is_labeled(items)}
  count = sizes['train']
  fraction = VALIDATION_FRACTION if fraction is None else fraction
  start = count - round(count * fraction)
  splits = {
    'train': Items(tfds, builder, 'train', 0, start),
    'validation': Items(tfds, builder, 'train', start, count),
  }
  return {split: items for split, items in splits.items() if len(items)}
