"""MNIST and Fashion-MNIST: 70,000 grayscale images of 28 x 28, in IDX files.

http://yann.lecun.com/exdb/mnist/
https://github.com/zalandoresearch/fashion-mnist
"""

import gzip
import io
import math
import pathlib
import struct
import zlib
from collections.abc import Mapping

import numpy as np

from datasets.archive import Blob, file_blob, members
from datasets.download import Download
from datasets.example_features import encode_pixels
from datasets.source_files import OWN_NAME, find, pair
from datasets.spec import DatasetSpec
from errors import UserError

NUMERALS = (
  'zero',
  'one',
  'two',
  'three',
  'four',
  'five',
  'six',
  'seven',
  'eight',
  'nine',
)
_FASHION = (
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
)
_STEMS = {'train': 'train', 'test': 't10k'}
_UNSIGNED_BYTES = 0x08  # the only type of value in these files
_MAX_BYTES = 1 << 30  # twenty times the largest; guards against bombs


def read_idx(path: pathlib.Path, blob: Blob | None = None) -> np.ndarray:
  """Reads an IDX file of unsigned bytes, plain or gzipped, in its shape.

  Args:
    path: path of the file; in an archive, that of the archive and its name.
    blob: its content in an archive.

  Raises:
    UserError: if it is another kind of file, damaged or truncated.
  """
  is_packed = path.suffix == '.gz'
  try:
    stored = io.BytesIO((blob or file_blob(path)).read(_MAX_BYTES))
    file = gzip.GzipFile(fileobj=stored) if is_packed else stored
    data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
      raise OSError(f'it contains more than {_MAX_BYTES:,} bytes')
    zero, kind, rank = struct.unpack_from('>HBB', data)
    if zero or kind != _UNSIGNED_BYTES:
      raise struct.error(f'it begins with {data[:4].hex()}')
    shape = struct.unpack_from(f'>{rank}I', data, 4)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * rank)
    if values.size == math.prod(shape):
      return values.reshape(shape)
  # NumPy raises ValueError for more dimensions than it has.
  except (OSError, EOFError, ValueError, zlib.error, struct.error) as error:
    raise UserError(f'Cannot read {path} as an IDX file: {error}.') from error
  raise UserError(
    f'{path} is truncated or damaged: its header states {math.prod(shape)} '
    f'bytes, but it contains {values.size}.'
  )


def read(source: pathlib.Path) -> dict[str, list[tuple[np.ndarray, int]]]:
  """Returns split -> (pixels [28, 28], label) in the order of the originals."""
  archived = {
    pathlib.PurePosixPath(name).name: blob
    for name, blob in (members(source) if source.is_file() else ())
  }
  splits = {}
  for split, stem in _STEMS.items():
    images = _read(source, archived, f'{stem}-images', 3)
    labels = _read(source, archived, f'{stem}-labels', 1)
    where = f'the {stem} files in {source}'
    splits[split] = pair(images, labels, len(NUMERALS), where)
  return splits


def _read(
  source: pathlib.Path, archived: Mapping[str, Blob], stem: str, rank: int
) -> np.ndarray:
  """Reads the file of a stem such as 'train-images', in any spelling."""
  spellings = (f'{stem}-idx{rank}-ubyte', f'{stem}.idx{rank}-ubyte')
  names = [name + end for name in spellings for end in ('', '.gz')]
  if not archived:
    return read_idx(find(source, names))
  for name in names:
    if name in archived:
      return read_idx(source / name, archived[name])
  raise UserError(f'No {" or ".join(names)} in {source}. {OWN_NAME}')


def _spec(
  name: str, class_names: tuple[str, ...], host: str, sums: dict[str, str]
) -> DatasetSpec:
  """Returns the spec of a data set in MNIST's format."""
  return DatasetSpec(
    name=name,
    num_classes=10,
    channels=1,
    class_names=class_names,
    splits=('train', 'test'),
    evaluation_split='test',
    file_pattern=f'{name}_{{split}}.tfrecord',
    homepage=host,
    read=read,
    encode=encode_pixels,
    downloads=tuple(
      Download(f'{host}{stem}-ubyte.gz', md5) for stem, md5 in sums.items()
    ),
  )


MNIST = _spec(
  'mnist',
  NUMERALS,
  'https://storage.googleapis.com/cvdf-datasets/mnist/',
  {
    'train-images-idx3': 'f68b3c2dcbeaaa9fbdd348bbdeb89873',
    'train-labels-idx1': 'd53e105ee54ea40749a09fcbcd1e9432',
    't10k-images-idx3': '9fb629c4189551a2d022fa330f9573f3',
    't10k-labels-idx1': 'ec29112dd5afa0611ce80d1b7f02629c',
  },
)
# From the authors' repository: their storage bucket does not support https.
FASHION_MNIST = _spec(
  'fashion_mnist',
  _FASHION,
  'https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/'
  'data/fashion/',
  {
    'train-images-idx3': '8d4fb7e6c68d591d4c3dfef9ec88bf0d',
    'train-labels-idx1': '25c81989df183df01b3e8a0aad5dffbe',
    't10k-images-idx3': 'bef4ecab320f06d8554ea6380940ec79',
    't10k-labels-idx1': 'bb300cfdad3c16e7a12a480ee83cd310',
  },
)
