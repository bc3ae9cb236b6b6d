"""Converts real data and compares every record with the original files.

Usage: python scripts/check_round_trips.py FOLDER...

Checks those of the following that a FOLDER contains:
- mnist, fashion_mnist and cifar10, as scripts/fetch_real_data.sh writes them;
- imagenet_sample: validation/<synset>/*.JPEG of all 1000 synsets;
- flowers_slim_tfrecords: shards that TF-Slim's converter wrote.
Then checks photos of every unusual kind, which it creates.

download_and_convert_data.py converts the data. The checks use no code of the
project: they parse records byte by byte, decode pictures with Pillow, and read
the originals as their authors describe them.
"""

import csv
import gzip
import io
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
BATCH = 500  # checksums that are computed at the same time
FLOWERS = 'daisy', 'dandelion', 'roses', 'sunflowers', 'tulips'

# convert(name, source, target) -> the messages of the conversion.
Convert = Callable[[str, pathlib.Path, pathlib.Path], str]
Example = dict[str, list[Any]]


class MismatchError(Exception):
  """A record differs from its original."""


def expect(condition: bool, *message: object) -> None:
  """Raises MismatchError unless the condition holds."""
  if not condition:
    raise MismatchError(' '.join(map(str, message)))


# Records ---------------------------------------------------------------------


def read_records(path: pathlib.Path) -> Iterator[Example]:
  """Yields the examples of a TFRecord file, and checks lengths and checksums.

  https://www.tensorflow.org/tutorials/load_data/tfrecord
  """
  data, offset = path.read_bytes(), 0
  parts, checks = [], []
  while offset < len(data):
    length, check = struct.unpack_from('<QI', data, offset)
    end = offset + 12 + length
    expect(end + 4 <= len(data), path, 'ends inside the record at byte', offset)
    parts += [data[offset : offset + 8], data[offset + 12 : end]]
    checks += [check, *struct.unpack_from('<I', data, end)]
    offset = end + 4
  for start in range(0, len(parts), BATCH):
    batch = slice(start, start + BATCH)
    expect(
      _checksums(parts[batch]).tolist() == checks[batch], path, 'checksums'
    )
  yield from map(_example, parts[1::2])


def _crc_table() -> list[int]:
  """Returns the CRC-32C of every byte; 0x82F63B78: its polynomial, reversed."""
  table = []
  for byte in range(256):
    for _ in range(8):
      byte = byte >> 1 ^ 0x82F63B78 * (byte & 1)
    table.append(byte)
  return table


def _checksums(parts: list[bytes]) -> np.ndarray:
  """rotate(CRC-32C, 15 bits) + constant, of each part: uint32 [N]."""
  # Longest first, so that the parts that have ended come last.
  order = sorted(range(len(parts)), key=lambda n: -len(parts[n]))
  lengths = np.array([len(parts[n]) for n in order])
  table = np.array(_crc_table(), np.uint32)
  rows = np.zeros((lengths[0], len(parts)), np.uint8)
  for column, n in enumerate(order):
    rows[: lengths[column], column] = np.frombuffer(parts[n], np.uint8)
  crc = np.full(len(parts), 0xFFFFFFFF, np.uint32)
  ends = np.searchsorted(-lengths, -np.arange(lengths[0]))
  for row, end in zip(rows, ends, strict=True):
    crc[:end] = table[(crc[:end] ^ row[:end]) & 255] ^ crc[:end] >> 8
  crc ^= np.uint32(0xFFFFFFFF)
  masked = np.empty_like(crc)
  masked[order] = (crc >> 15 | crc << 17) + np.uint32(0xA282EAD8)
  return masked


def _example(data: bytes) -> Example:
  """Parses a tf.train.Example in wire format: key -> values."""
  ((_, features),) = _fields(data)
  example = {}
  for _, entry in _fields(features):
    pair = dict(_fields(entry))
    example[pair[1].decode()] = _values(pair[2])
  return example


def _values(feature: bytes) -> list[Any]:
  """Parses the bytes (kind 1), floats (2) or integers (3) of a feature."""
  ((kind, packed),) = _fields(feature)
  values = [value for _, value in _fields(packed)]
  if kind == 1:
    return values
  if kind == 2:
    return np.frombuffer(b''.join(values), '<f4').tolist()
  numbers = []
  for value in values:
    offset = 0
    while isinstance(value, bytes) and offset < len(value):
      number, offset = _varint(value, offset)
      numbers.append(number)
    numbers += [value] if isinstance(value, int) else []
  return numbers


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
  """Yields (number, value) of each field of a message."""
  offset = 0
  while offset < len(data):
    tag, offset = _varint(data, offset)
    if tag & 7 == 0:
      value, offset = _varint(data, offset)
    else:
      size, offset = (4, offset) if tag & 7 == 5 else _varint(data, offset)
      value, offset = data[offset : offset + size], offset + size
    yield tag >> 3, value


def _varint(data: bytes, offset: int) -> tuple[int, int]:
  """Parses a number of seven bits per byte; returns it and its end."""
  number = shift = 0
  while True:
    byte = data[offset]
    number |= (byte & 127) << shift
    offset, shift = offset + 1, shift + 7
    if byte < 128:
      return number, offset


def all_records(folder: pathlib.Path, pattern: str) -> list[Example]:
  """Returns the records of all files that match a pattern, in order."""
  paths = sorted(folder.glob(pattern))
  expect(bool(paths), 'no file', pattern, 'in', folder)
  return [example for path in paths for example in read_records(path)]


def only(example: Example, key: str) -> Any:
  """Returns the single value of image/<key>."""
  (value,) = example[f'image/{key}']
  return value


def pixels(example: Example) -> np.ndarray:
  """Decodes the image of a record, and checks its recorded size."""
  with Image.open(io.BytesIO(only(example, 'encoded'))) as image:
    size = only(example, 'width'), only(example, 'height')
    expect(image.size == size, 'size is', image.size, 'instead of', size)
    return np.asarray(image)


# Data sets -------------------------------------------------------------------


def check_mnist(source: pathlib.Path, work: pathlib.Path, convert: Convert):
  """Checks IDX files: a big-endian header, then all pixels or labels."""
  convert(source.name, source, work)
  total = 0
  for split, stem in (('train', 'train'), ('test', 't10k')):
    records = all_records(work, f'{source.name}_{split}.tfrecord')
    labels = [only(example, 'class/label') for example in records]
    for kind, values in {
      'images': np.stack([pixels(example) for example in records]),
      'labels': np.array(labels, np.uint8),
    }.items():
      (path,) = source.glob(f'{stem}-{kind}-idx{values.ndim}-ubyte*')
      content = path.read_bytes()
      if path.suffix == '.gz':
        content = gzip.decompress(content)
      header = struct.pack('>BBBB', 0, 0, 8, values.ndim)
      header += struct.pack(f'>{values.ndim}I', *values.shape)
      expect(content == header + values.tobytes(), path, 'differs')
    total += len(records)
  return total


def check_cifar10(source: pathlib.Path, work: pathlib.Path, convert: Convert):
  """Rebuilds the files from the records: rows of a label and 3 x 1024 bytes."""
  convert(source.name, source, work)
  batches = [f'data_batch_{number}.bin' for number in range(1, 6)]
  total = 0
  for split, names in (('train', batches), ('test', ['test_batch.bin'])):
    records = all_records(work, f'cifar10_{split}.tfrecord')
    rows = b''.join(
      bytes([only(example, 'class/label')])
      + pixels(example).transpose(2, 0, 1).tobytes()
      for example in records
    )
    originals = b''.join((source / name).read_bytes() for name in names)
    expect(rows == originals, 'the', split, 'files differ')
    total += len(records)
  return total


def check_imagenet(source: pathlib.Path, work: pathlib.Path, convert: Convert):
  """Checks that photos keep every byte; labels are 1 + index of the synset."""
  convert('imagenet', source, work)
  photos = {path.name: path for path in source.glob('validation/*/*.JPEG')}
  synsets = sorted({path.parent.name for path in photos.values()})
  records = all_records(work, 'validation-*-of-*')
  for example in records:
    path = photos.pop(only(example, 'filename').decode())
    expect(only(example, 'encoded') == path.read_bytes(), path, 'differs')
    expect(only(example, 'class/synset').decode() == path.parent.name, path)
    label = 1 + synsets.index(path.parent.name)
    expect(only(example, 'class/label') == label, path, 'lacks label', label)
    pixels(example)
  expect(not photos, len(photos), 'photos are in no record')
  return len(records)


def check_flowers(source: pathlib.Path, work: pathlib.Path, convert: Convert):
  """Converts the photos of TF-Slim's shards from folders, and compares them."""
  photos = {}
  for number, example in enumerate(all_records(source, '*.tfrecord')):
    name = f'{FLOWERS[only(example, "class/label")]}/{number}.jpg'
    photos[name] = only(example, 'encoded')
    path = work / 'photos' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(photos[name])
  classes = sorted({name.partition('/')[0] for name in photos})
  convert('my_flowers', work / 'photos', work / 'records')
  records = all_records(work / 'records', 'my_flowers_*.tfrecord')
  for example in records:
    name = only(example, 'filename').decode()
    expect(only(example, 'encoded') == photos.pop(name), name, 'differs')
    label = classes.index(name.partition('/')[0])
    expect(only(example, 'class/label') == label, name, 'lacks label', label)
    pixels(example)
  expect(not photos, len(photos), 'photos are in no record')
  return len(records)


# Unusual photos --------------------------------------------------------------

JPEG_ERROR = 10  # of 255, at the quality with which the converter encodes


def _scene() -> np.ndarray:
  """Returns an asymmetric smooth image [10, 24, 3] of 240 colors."""
  across, down = np.meshgrid(np.linspace(0, 240, 24), np.linspace(0, 120, 10))
  return np.stack([across, down, 255 - across], -1).astype(np.uint8)


def _indexed(scene: np.ndarray) -> Image.Image:
  """Returns the scene as an image whose palette is all of its pixels."""
  indices = np.arange(scene.size // 3, dtype=np.uint8)
  image = Image.fromarray(indices.reshape(scene.shape[:2]), 'P')
  image.putpalette(scene.tobytes())
  return image


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
  """Encodes an image in a format of Pillow."""
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def _png_of_16_bits(values: np.ndarray) -> bytes:
  """Encodes 16-bit values [H, W, 3] as PNG, which Pillow cannot do."""

  def chunk(name: bytes, data: bytes) -> bytes:
    check = struct.pack('>I', zlib.crc32(name + data))
    return struct.pack('>I', len(data)) + name + data + check

  height, width = values.shape[:2]
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
  header = struct.pack('>IIBBBBB', width, height, 16, 2, 0, 0, 0)
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header)
    + chunk(b'IDAT', zlib.compress(rows))
    + chunk(b'IEND', b'')
  )


# EXIF orientation -> function by which a viewer turns the photo upright.
TURNS = {
  2: lambda a: a[:, ::-1],
  3: lambda a: a[::-1, ::-1],
  4: lambda a: a[::-1],
  5: lambda a: a.transpose(1, 0, 2),
  6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
  7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
  8: lambda a: a.transpose(1, 0, 2)[::-1],
}


def odd_photos() -> dict[str, tuple[bytes, np.ndarray, str]]:
  """Returns file name -> (bytes, expected pixels [H, W, 3], expected note)."""
  scene = _scene()
  image, indexed = Image.fromarray(scene), _indexed(scene)
  black = np.zeros(scene.shape[:2], np.uint8)
  cmyk = Image.fromarray(np.dstack([255 - scene, black]), 'CMYK')
  alpha = np.arange(black.size).reshape(black.shape)
  on_white = (alpha[..., None] * scene + (255 - alpha[..., None]) * 255.0) / 255
  rgba = np.dstack([scene, alpha]).astype(np.uint8)
  color16 = scene.astype(np.uint16) * 256 + 99
  gray16 = Image.fromarray(color16[..., 0])
  animation = {'save_all': True, 'append_images': [indexed.rotate(180)]}
  jpeg = {'kind': 'JPEG', 'quality': 98, 'subsampling': 0}
  photos = {
    'png.jpg': (_file(image, 'PNG'), scene, 'PNG named as JPEG'),
    'jpeg.png': (_file(image, **jpeg), scene, 'JPEG named as PNG'),
    'cmyk.jpg': (_file(cmyk, **jpeg), scene, 'CMYK converted to RGB'),
    'color16.png': (
      _png_of_16_bits(color16),
      scene,
      'reduced from 16 to 8 bits',
    ),
    'gray16.png': (
      _file(gray16, 'PNG'),
      scene[..., [0] * 3],
      'reduced from 16 to 8 bits',
    ),
    'moving.gif': (
      _file(indexed, 'GIF', **animation),
      scene,
      'first frame of GIF',
    ),
    'still.gif': (_file(indexed, 'GIF'), scene, 'GIF converted to PNG'),
    'alpha.png': (
      _file(Image.fromarray(rgba, 'RGBA'), 'PNG'),
      on_white,
      'transparent, composited on white',
    ),
    'a.bmp': (_file(image, 'BMP'), scene, 'BMP converted to PNG'),
    'a.tiff': (_file(image, 'TIFF'), scene, 'TIFF converted to PNG'),
    'a.webp': (
      _file(image, 'WEBP', lossless=True),
      scene,
      'WEBP converted to JPEG',
    ),
  }
  for orientation, turn in TURNS.items():
    exif = Image.Exif()
    exif[0x0112] = orientation
    for ending, options in ('jpg', jpeg), ('png', {'kind': 'PNG'}):
      data = _file(image, exif=exif.tobytes(), **options)
      name = f'{orientation}.{ending}'
      photos[name] = data, turn(scene), 'rotated as EXIF specifies'
  return photos


def check_odd_photos(_: None, work: pathlib.Path, convert: Convert) -> int:
  """Checks that unusual photos are converted and damaged ones rejected."""
  odd, plain = odd_photos(), _file(Image.fromarray(_scene()), 'JPEG')
  bad = {'cut.jpg': plain[:-40], 'page.jpg': b'<html>', 'empty.png': b''}
  files = {f'odd/{name}': odd[name][0] for name in odd}
  files |= {f'odd/{name}': data for name, data in bad.items()}
  files |= {f'plain/{number}.jpg': plain for number in range(40)}
  for name, data in files.items():
    path = work / 'photos' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  messages = convert('odd', work / 'photos', work / 'records')
  records = all_records(work / 'records', 'odd_*.tfrecord')
  for example in records:
    name = only(example, 'filename').decode()
    original = files.pop(name)
    if name.startswith('plain/'):
      expect(only(example, 'encoded') == original, name, 'differs')
    else:
      _check_odd_photo(example, name, *odd[name.removeprefix('odd/')][1:])
  with (work / 'records' / 'rejected.csv').open(newline='') as file:
    rejected = {row['path'] for row in csv.DictReader(file)}
  expect(rejected == set(files), rejected, 'rejected instead of', set(files))
  expect(len(rejected) == len(bad), rejected)
  for _, _, note in odd.values():
    expect(f'of the originals: {note}\n' in messages, 'no message:', note)
  return len(records)


def _check_odd_photo(
  example: Example, name: str, expected: np.ndarray, note: str
) -> None:
  """Checks the pixels of a record, exactly or within the loss of its format."""
  actual = pixels(example)
  actual = actual if actual.ndim == 3 else np.dstack([actual] * 3)
  lossy = only(example, 'format') == b'jpg'
  expect(actual.shape == expected.shape, name, actual.shape, expected.shape)
  difference = np.abs(actual - expected.astype(float)).max()
  limit = JPEG_ERROR if lossy else 1 if 'alpha' in name else 0
  expect(difference <= limit, name, f'({note})', 'differs by', difference)


CHECKS = {
  'mnist': check_mnist,
  'fashion_mnist': check_mnist,
  'cifar10': check_cifar10,
  'imagenet_sample': check_imagenet,
  'flowers_slim_tfrecords': check_flowers,
}


def by_program(name: str, source: pathlib.Path, target: pathlib.Path) -> str:
  """Converts with download_and_convert_data.py; returns its messages."""
  command = [sys.executable, str(ROOT / 'download_and_convert_data.py')]
  flags = {'dataset_name': name, 'source_dir': source, 'dataset_dir': target}
  command += [f'--{flag}={value}' for flag, value in flags.items()]
  process = subprocess.run(command, stderr=subprocess.PIPE, text=True)
  expect(process.returncode == 0, process.stderr)
  return process.stderr


def main(folders: list[str]) -> None:
  """Checks all data sets in some folders, until the first difference."""
  paths = [pathlib.Path(folder, name) for folder in folders for name in CHECKS]
  checks = [(path, CHECKS[path.name]) for path in paths if path.is_dir()]
  if not checks:
    sys.exit(
      f'usage: {sys.argv[0]} FOLDER..., which contain some of '
      f'{", ".join(CHECKS)}'
    )
  for path, check in [*checks, (None, check_odd_photos)]:
    name = path.name if path else 'unusual photos'
    with tempfile.TemporaryDirectory(prefix='round_trip_') as work:
      try:
        count = check(path, pathlib.Path(work), by_program)
      except MismatchError as error:
        sys.exit(f'{name}: {error}')
    print(f'{name}: all {count:,} images are equal', flush=True)


if __name__ == '__main__':
  main(sys.argv[1:])
