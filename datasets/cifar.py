"""CIFAR-10 and CIFAR-100: 60,000 color images of 32 x 32, binary or pickled.

https://www.cs.toronto.edu/~kriz/cifar.html
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from datasets import pickled_arrays
from datasets.archive import Blob, file_blob, members
from datasets.download import Download
from datasets.example_features import (
  ExampleFeatures,
  encode_pixels,
  pixel_features,
)
from datasets.source_files import find, find_any, pair
from datasets.spec import DatasetSpec
from errors import UserError

CLASSES = (
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
)
_FINE_CLASSES = (
  'apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl '
  'boy bridge bus butterfly camel can castle caterpillar cattle chair '
  'chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur '
  'dolphin elephant flatfish forest fox girl hamster house kangaroo '
  'keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree '
  'motorcycle mountain mouse mushroom oak_tree orange orchid otter '
  'palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum '
  'rabbit raccoon ray road rocket rose sea seal shark shrew skunk '
  'skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper '
  'table tank telephone television tiger tractor train trout tulip turtle '
  'wardrobe whale willow_tree wolf woman worm'
)
_HOST = 'https://www.cs.toronto.edu/~kriz/'
_SIZE = 32
_PIXELS = 3 * _SIZE * _SIZE
# Twice the size of any batch.
_MAX_BYTES = 2 * 50_000 * (2 + _PIXELS)

Batch = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Form:
  """File format of one of the two data sets.

  Attributes:
    batches: split -> names of its files, which end in .bin if binary.
    labels: keys of the labels, in the order of a row's first bytes.
    tarballs: names of the archives, the binary one first.
    num_classes: number of values of each label, in the same order.
  """

  batches: Mapping[str, tuple[str, ...]]
  labels: tuple[str, ...]
  tarballs: tuple[str, ...]
  num_classes: tuple[int, ...]

  @property
  def files(self) -> tuple[str, ...]:
    """Names of all files, binary and pickled."""
    names = (name for batch in self.batches.values() for name in batch)
    return tuple(file for name in names for file in (f'{name}.bin', name))


_FORM_10 = Form(
  batches={
    'train': tuple(f'data_batch_{batch}' for batch in range(1, 6)),
    'test': ('test_batch',),
  },
  labels=('labels',),
  tarballs=('cifar-10-binary.tar.gz', 'cifar-10-python.tar.gz'),
  num_classes=(10,),
)
_FORM_100 = Form(
  batches={'train': ('train',), 'test': ('test',)},
  labels=('coarse_labels', 'fine_labels'),
  tarballs=('cifar-100-binary.tar.gz', 'cifar-100-python.tar.gz'),
  num_classes=(20, 100),
)


def parse_binary(data: bytes, num_labels: int = 1) -> Batch:
  """Parses rows of label and pixel bytes: ([N, 3072], [N, num_labels])."""
  row = num_labels + _PIXELS
  if not data or len(data) % row:
    raise ValueError(f'{len(data)} bytes are not rows of {row}')
  rows = np.frombuffer(data, np.uint8).reshape(-1, row)
  return rows[:, num_labels:], rows[:, :num_labels]


def parse_pickle(data: bytes, labels: tuple[str, ...] = ('labels',)) -> Batch:
  """Parses a pickled dict of arrays: ([N, 3072], [N, len(labels)]).

  Raises:
    Exception: of any kind if the bytes are not such a pickle; see
      pickled_arrays.load.
  """
  batch = pickled_arrays.load(data)
  images = batch['data']
  columns = np.stack([_column(batch[key]) for key in labels], axis=-1)
  if not isinstance(images, np.ndarray):
    raise ValueError(f'its data are a {type(images).__name__}, not an array')
  if images.dtype != np.uint8 or images.shape != (len(columns), _PIXELS):
    raise ValueError(
      f'its data are {images.dtype} {images.shape} for {len(columns)} labels'
    )
  return images, columns


def _column(values: Any) -> np.ndarray:
  """Returns an array, or a list of whole numbers, as an array."""
  if isinstance(values, np.ndarray):
    return values.astype(np.int64)
  if not isinstance(values, list) or any(type(v) is not int for v in values):
    raise ValueError('its labels are not whole numbers')
  return np.array(values, np.int64)


def _read_archive(path: pathlib.Path, form: Form) -> dict[str, bytes]:
  """Returns the batches' contents by file name."""
  found = ((pathlib.PurePath(name).name, blob) for name, blob in members(path))
  return _read_batches(path, {n: b for n, b in found if n in form.files})


def _read_batches(
  where: pathlib.Path, blobs: Mapping[str, Blob]
) -> dict[str, bytes]:
  """Returns the contents by file name; raises UserError for an error."""
  try:
    return {name: blob.read(_MAX_BYTES) for name, blob in blobs.items()}
  except OSError as error:
    raise UserError(f'Cannot read {where}: {error}.') from error


def _read_files(
  source: pathlib.Path, form: Form
) -> tuple[pathlib.Path, dict[str, bytes]]:
  """Returns (folder or archive, contents of its batches by file name)."""
  if source.is_file():
    return source, _read_archive(source, form)
  first = find_any(source, form.files)
  if first is None:
    tarball = find(source, (*form.files[:2], *form.tarballs))
    return tarball, _read_archive(tarball, form)
  paths = [first.with_name(name) for name in form.files]
  files = {path.name: file_blob(path) for path in paths if path.is_file()}
  return first.parent, _read_batches(first.parent, files)


def _batch(
  where: pathlib.Path, files: dict[str, bytes], name: str, form: Form
) -> tuple[np.ndarray, np.ndarray]:
  """Returns images [N, 32, 32, 3] and labels [N, len(form.labels)]."""
  binary = f'{name}.bin'
  if binary not in files and name not in files:
    raise UserError(
      f'No {binary} or {name} in {where}: the data set is incomplete. Download '
      f'it again from {_HOST}cifar.html.'
    )
  try:
    if binary in files:
      planes, labels = parse_binary(files[binary], len(form.labels))
    else:
      planes, labels = parse_pickle(files[name], form.labels)
  # Bytes that are not a pickle make the unpickler raise almost anything.
  except Exception as error:
    raise UserError(
      f'Cannot read {name} in {where} as a batch of CIFAR: {error}.'
    ) from error
  return planes.reshape(-1, 3, _SIZE, _SIZE).transpose(0, 2, 3, 1), labels


def _items(
  where: pathlib.Path, files: dict[str, bytes], name: str, form: Form
) -> list[tuple[Any, ...]]:
  """Returns (pixels [32, 32, 3], label) or (…, coarse label, fine label)."""
  images, labels = _batch(where, files, name, form)
  columns = [
    [label for _, label in pair(images, column, count, f'{name} in {where}')]
    for column, count in zip(labels.T, form.num_classes, strict=True)
  ]
  return list(zip(images, *columns, strict=True))


def read(source: pathlib.Path, form: Form) -> dict[str, list[tuple[Any, ...]]]:
  """Returns the images of each split in the order of the originals."""
  where, files = _read_files(source, form)
  return {
    split: [item for name in names for item in _items(where, files, name, form)]
    for split, names in form.batches.items()
  }


def encode_fine(item: tuple[np.ndarray, int, int]) -> ExampleFeatures:
  """Returns the features of a CIFAR-100 image; the fine label is the class.

  The coarse label has TensorFlow Datasets' name: TF-Slim has no CIFAR-100.
  """
  pixels, coarse, fine = item
  return ExampleFeatures(
    pixel_features(pixels, fine, class__coarse_label=coarse)
  )


def _spec(
  name: str, form: Form, class_names: tuple[str, ...], md5: str, encode: Any
) -> DatasetSpec:
  """Returns the spec of one of the two data sets."""
  return DatasetSpec(
    name=name,
    num_classes=len(class_names),
    channels=3,
    class_names=class_names,
    splits=('train', 'test'),
    evaluation_split='test',
    file_pattern=f'{name}_{{split}}.tfrecord',
    homepage=f'{_HOST}cifar.html',
    read=functools.partial(read, form=form),
    encode=encode,
    downloads=(Download(f'{_HOST}{form.tarballs[0]}', md5),),
  )


CIFAR10 = _spec(
  'cifar10',
  _FORM_10,
  CLASSES,
  'c32a1d4ab5d03f1284b67883e8d87530',
  encode_pixels,
)
CIFAR100 = _spec(
  'cifar100',
  _FORM_100,
  tuple(_FINE_CLASSES.split()),
  '03b5dce01913d631647c71ecec9e9cb8',
  encode_fine,
)
