"""CIFAR-10: 60,000 color images of 32 x 32, in its binary or Python form.

https://www.cs.toronto.edu/~kriz/cifar.html
"""

import io
import pathlib
import pickle
import tarfile
import zlib
from typing import Any, ClassVar

import numpy as np

from datasets.download import Download
from datasets.originals import find, find_any, pair
from datasets.records import encode_pixels
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
_HOST = 'https://www.cs.toronto.edu/~kriz/'
_BATCHES = {
  'train': tuple(f'data_batch_{batch}' for batch in range(1, 6)),
  'test': ('test_batch',),
}
_FILES = tuple(
  name
  for names in _BATCHES.values()
  for batch in names
  for name in (f'{batch}.bin', batch)
)
_TARBALLS = ('cifar-10-binary.tar.gz', 'cifar-10-python.tar.gz')
_SIZE = 32
_PIXELS = 3 * _SIZE * _SIZE

Batch = tuple[np.ndarray, np.ndarray]


def parse_binary(data: bytes) -> Batch:
  """Rows of a label byte and 3 x 1024 bytes -> ([N, 3072], [N])."""
  row = 1 + _PIXELS
  if not data or len(data) % row:
    raise ValueError(f'{len(data)} bytes are not rows of {row}')
  rows = np.frombuffer(data, np.uint8).reshape(-1, row)
  return rows[:, 1:], rows[:, 0]


def parse_pickle(data: bytes) -> Batch:
  """A pickled dict of data and labels -> ([N, 3072], [N])."""
  batch = _ArrayUnpickler(io.BytesIO(data), encoding='bytes').load()
  if not isinstance(batch, dict):
    raise ValueError(f'it holds a {type(batch).__name__}, not a dict')
  batch = {_text(key): value for key, value in batch.items()}
  images = np.asarray(batch['data'])
  labels = np.asarray(batch['labels'])
  if images.dtype != np.uint8 or images.shape != (len(labels), _PIXELS):
    raise ValueError(
      f'its data are {images.dtype} {images.shape} for {len(labels)} labels'
    )
  return images, labels


def _text(key: str | bytes) -> str:
  """Python 2 wrote the keys as bytes, Python 3 writes them as text."""
  return key.decode() if isinstance(key, bytes) else key


class _ArrayUnpickler(pickle.Unpickler):
  """Rebuilds plain containers and NumPy arrays, and calls nothing else.

  A pickle runs whatever function it names; these three are all it can name.
  """

  _ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
    # The flags that follow the type are of a form that NumPy deprecates.
    ('numpy', 'dtype'): lambda code, *_: np.dtype(code),
    ('numpy', 'ndarray'): np.ndarray,
    # How Python 3 spells bytes in the protocol of Python 2.
    ('_codecs', 'encode'): lambda text, _: text.encode('latin1'),
  }

  def find_class(self, module: str, name: str) -> Any:
    if name == '_reconstruct' and module.endswith('core.multiarray'):
      # numpy.core or numpy._core, as the version that wrote it has it.
      return np.empty(0).__reduce__()[0]
    if (module, name) not in self._ALLOWED:
      raise pickle.UnpicklingError(f'it asks for {module}.{name}')
    return self._ALLOWED[module, name]


def _read_tarball(path: pathlib.Path) -> dict[str, bytes]:
  """The batches' contents by file name; nothing is ever extracted to disk."""
  try:
    with tarfile.open(path) as tar:
      members = {pathlib.PurePath(member.name).name: member for member in tar}
      return {
        name: tar.extractfile(member).read()
        for name, member in members.items()
        if name in _FILES and member.isfile()
      }
  except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
    raise UserError(f'Cannot read {path} as a tarball: {error}.') from error


def _read_files(source: pathlib.Path) -> tuple[pathlib.Path, dict[str, bytes]]:
  """(Where the batches are, their contents): a folder's, else a tarball's."""
  if source.is_file():
    return source, _read_tarball(source)
  first = find_any(source, _FILES)
  if first is None:
    tarball = find(source, (*_FILES[:2], *_TARBALLS))
    return tarball, _read_tarball(tarball)
  paths = [first.with_name(name) for name in _FILES]
  files = {path.name: path.read_bytes() for path in paths if path.is_file()}
  return first.parent, files


def _items(
  where: pathlib.Path, files: dict[str, bytes], name: str
) -> list[tuple[np.ndarray, int]]:
  """The (pixels [32, 32, 3], label) of one batch."""
  binary = f'{name}.bin'
  if binary not in files and name not in files:
    raise UserError(
      f'No {binary} or {name} in {where}: the set is not whole. Fetch it again '
      f'from {_HOST}cifar.html.'
    )
  try:
    if binary in files:
      planes, labels = parse_binary(files[binary])
    else:
      planes, labels = parse_pickle(files[name])
  # Bytes that are no pickle make the unpickler raise almost anything.
  except Exception as error:
    raise UserError(
      f'Cannot read {name} in {where} as a batch of CIFAR-10: {error}.'
    ) from error
  images = planes.reshape(-1, 3, _SIZE, _SIZE).transpose(0, 2, 3, 1)
  return pair(images, labels, len(CLASSES), f'{name} in {where}')


def read(source: pathlib.Path) -> dict[str, list[tuple[np.ndarray, int]]]:
  """(Pixels [32, 32, 3], label) in the originals' order."""
  where, files = _read_files(source)
  return {
    split: [item for name in names for item in _items(where, files, name)]
    for split, names in _BATCHES.items()
  }


CIFAR10 = DatasetSpec(
  name='cifar10',
  num_classes=10,
  channels=3,
  class_names=CLASSES,
  splits=('train', 'test'),
  evaluation_split='test',
  file_pattern='cifar10_{split}.tfrecord',
  homepage=f'{_HOST}cifar.html',
  read=read,
  encode=encode_pixels,
  downloads=(
    Download(f'{_HOST}{_TARBALLS[0]}', 'c32a1d4ab5d03f1284b67883e8d87530'),
  ),
)
