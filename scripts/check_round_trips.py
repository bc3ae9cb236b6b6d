"""Converts real data and compares every record with the original files.

  python scripts/check_round_trips.py FOLDER...

takes what it knows among the folders that lie in each FOLDER:
- mnist, fashion_mnist and cifar10, as scripts/fetch_real_data.sh leaves them;
- imagenet_sample: validation/<synset>/*.JPEG of all 1000 synsets;
- flowers_slim_tfrecords: shards that TF-Slim's converter wrote;
and a folder of photos of every odd kind, which it makes.

download_and_convert_data.py converts. Nothing here is of the project: records
are taken apart byte by byte, pictures by Pillow, and the originals are read as
their authors describe them.
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
AT_ONCE = 500  # lengths and records of which the checksums are computed
FLOWERS = 'daisy', 'dandelion', 'roses', 'sunflowers', 'tulips'

# convert(name, source, target) -> what the conversion said.
Convert = Callable[[str, pathlib.Path, pathlib.Path], str]
Example = dict[str, list[Any]]


class MismatchError(Exception):
  """A record is not what the original is."""


def expect(same: bool, *where: object) -> None:
  """Raises MismatchError unless it is so."""
  if not same:
    raise MismatchError(' '.join(map(str, where)))


# Records ---------------------------------------------------------------------


def read_records(path: pathlib.Path) -> Iterator[Example]:
  """The examples of a TFRecord file, its four checksums and lengths checked.

  https://www.tensorflow.org/tutorials/load_data/tfrecord
  """
  data, place = path.read_bytes(), 0
  parts, checks = [], []
  while place < len(data):
    length, check = struct.unpack_from('<QI', data, place)
    end = place + 12 + length
    expect(end + 4 <= len(data), path, 'ends within its record at byte', place)
    parts += [data[place : place + 8], data[place + 12 : end]]
    checks += [check, *struct.unpack_from('<I', data, end)]
    place = end + 4
  for start in range(0, len(parts), AT_ONCE):
    some = slice(start, start + AT_ONCE)
    expect(_checksums(parts[some]).tolist() == checks[some], path, 'checksums')
  yield from map(_example, parts[1::2])


def _crc_table() -> list[int]:
  """CRC-32C of every byte: 0x82F63B78 is Castagnoli's polynomial, reversed."""
  table = []
  for byte in range(256):
    for _ in range(8):
      byte = byte >> 1 ^ 0x82F63B78 * (byte & 1)
    table.append(byte)
  return table


def _checksums(parts: list[bytes]) -> np.ndarray:
  """rotate(CRC-32C, 15 bits) + a constant of each, side by side: uint32 [N]."""
  # The longest first, so that those which have ended are the last ones.
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
  """Key -> values of a tf.train.Example in protocol buffers' wire format."""
  ((_, features),) = _fields(data)
  found = {}
  for _, entry in _fields(features):
    pair = dict(_fields(entry))
    found[pair[1].decode()] = _values(pair[2])
  return found


def _values(feature: bytes) -> list[Any]:
  """The bytes (kind 1), floats (2) or whole numbers (3) of a feature."""
  ((kind, packed),) = _fields(feature)
  values = [value for _, value in _fields(packed)]
  if kind == 1:
    return values
  if kind == 2:
    return np.frombuffer(b''.join(values), '<f4').tolist()
  found = []
  for value in values:
    place = 0
    while isinstance(value, bytes) and place < len(value):
      number, place = _varint(value, place)
      found.append(number)
    found += [value] if isinstance(value, int) else []
  return found


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
  """(Number, value) of each field of a message."""
  place = 0
  while place < len(data):
    tag, place = _varint(data, place)
    if tag & 7 == 0:
      value, place = _varint(data, place)
    else:
      size, place = (4, place) if tag & 7 == 5 else _varint(data, place)
      value, place = data[place : place + size], place + size
    yield tag >> 3, value


def _varint(data: bytes, place: int) -> tuple[int, int]:
  """(A number of seven bits a byte, where it ends)."""
  number = shift = 0
  while True:
    byte = data[place]
    number |= (byte & 127) << shift
    place, shift = place + 1, shift + 7
    if byte < 128:
      return number, place


def all_records(folder: pathlib.Path, pattern: str) -> list[Example]:
  """The records of all files of that name, in order."""
  paths = sorted(folder.glob(pattern))
  expect(bool(paths), 'no', pattern, 'in', folder)
  return [example for path in paths for example in read_records(path)]


def only(example: Example, key: str) -> Any:
  """The one value of image/<key>."""
  (value,) = example[f'image/{key}']
  return value


def pixels(example: Example) -> np.ndarray:
  """The picture of a record as Pillow decodes it, its stated size checked."""
  with Image.open(io.BytesIO(only(example, 'encoded'))) as image:
    size = only(example, 'width'), only(example, 'height')
    expect(image.size == size, image.size, 'is not', size)
    return np.asarray(image)


# Data sets -------------------------------------------------------------------


def check_mnist(source: pathlib.Path, work: pathlib.Path, convert: Convert):
  """IDX files: big-endian header, then all pixels or labels."""
  convert(source.name, source, work)
  total = 0
  for split, stem in (('train', 'train'), ('test', 't10k')):
    records = all_records(work, f'{source.name}_{split}.tfrecord')
    labels = [only(example, 'class/label') for example in records]
    for kind, found in {
      'images': np.stack([pixels(example) for example in records]),
      'labels': np.array(labels, np.uint8),
    }.items():
      (path,) = source.glob(f'{stem}-{kind}-idx{found.ndim}-ubyte*')
      content = path.read_bytes()
      if path.suffix == '.gz':
        content = gzip.decompress(content)
      header = struct.pack('>BBBB', 0, 0, 8, found.ndim)
      header += struct.pack(f'>{found.ndim}I', *found.shape)
      expect(content == header + found.tobytes(), path, 'differs')
    total += len(records)
  return total


def check_cifar10(source: pathlib.Path, work: pathlib.Path, convert: Convert):
  """Rows of a label byte and 3 x 1024 bytes: the files are made again."""
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
  """Photos keep every byte; a label is 1 + the place of the sorted synset."""
  convert('imagenet', source, work)
  photos = {path.name: path for path in source.glob('validation/*/*.JPEG')}
  synsets = sorted({path.parent.name for path in photos.values()})
  records = all_records(work, 'validation-*-of-*')
  for example in records:
    path = photos.pop(only(example, 'filename').decode())
    expect(only(example, 'encoded') == path.read_bytes(), path, 'differs')
    expect(only(example, 'class/synset').decode() == path.parent.name, path)
    label = 1 + synsets.index(path.parent.name)
    expect(only(example, 'class/label') == label, path, 'is not', label)
    pixels(example)
  expect(not photos, len(photos), 'photos are in no record')
  return len(records)


def check_flowers(source: pathlib.Path, work: pathlib.Path, convert: Convert):
  """TF-Slim's shards, taken apart into folders of photos, come back."""
  photos = {}
  for place, example in enumerate(all_records(source, '*.tfrecord')):
    name = f'{FLOWERS[only(example, "class/label")]}/{place}.jpg'
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
    expect(only(example, 'class/label') == label, name, 'is not', label)
    pixels(example)
  expect(not photos, len(photos), 'photos are in no record')
  return len(records)


# Odd photos ------------------------------------------------------------------

JPEG_ERROR = 10  # of 255, at the quality with which odd photos are encoded anew


def _scene() -> np.ndarray:
  """A smooth picture [10, 24, 3] of 240 colors, unlike itself when turned."""
  across, down = np.meshgrid(np.linspace(0, 240, 24), np.linspace(0, 120, 10))
  return np.stack([across, down, 255 - across], -1).astype(np.uint8)


def _indexed(scene: np.ndarray) -> Image.Image:
  """The scene as a palette of its pixels in their order."""
  places = np.arange(scene.size // 3, dtype=np.uint8)
  image = Image.fromarray(places.reshape(scene.shape[:2]), 'P')
  image.putpalette(scene.tobytes())
  return image


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def _png_of_16_bits(values: np.ndarray) -> bytes:
  """A PNG of values [H, W, 3] of 16 bits, which Pillow cannot write."""

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


# What a viewer does to a photo of each EXIF orientation.
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
  """File name -> (bytes, what is meant [H, W, 3], what is to be said)."""
  scene = _scene()
  image, indexed = Image.fromarray(scene), _indexed(scene)
  none = np.zeros(scene.shape[:2], np.uint8)
  ink = Image.fromarray(np.dstack([255 - scene, none]), 'CMYK')
  alpha = np.arange(none.size).reshape(none.shape)
  seen = (alpha[..., None] * scene + (255 - alpha[..., None]) * 255.0) / 255
  through = np.dstack([scene, alpha]).astype(np.uint8)
  wide = scene.astype(np.uint16) * 256 + 99
  gray = Image.fromarray(wide[..., 0])
  moving = {'save_all': True, 'append_images': [indexed.rotate(180)]}
  jpeg = {'kind': 'JPEG', 'quality': 98, 'subsampling': 0}
  made = {
    'png.jpg': (_file(image, 'PNG'), scene, 'PNG named as JPEG'),
    'jpeg.png': (_file(image, **jpeg), scene, 'JPEG named as PNG'),
    'cmyk.jpg': (_file(ink, **jpeg), scene, 'CMYK made RGB'),
    'color16.png': (_png_of_16_bits(wide), scene, '16 bits made 8'),
    'gray16.png': (_file(gray, 'PNG'), scene[..., [0] * 3], '16 bits made 8'),
    'moving.gif': (
      _file(indexed, 'GIF', **moving),
      scene,
      'first frame of GIF',
    ),
    'still.gif': (_file(indexed, 'GIF'), scene, 'GIF made PNG'),
    'alpha.png': (
      _file(Image.fromarray(through, 'RGBA'), 'PNG'),
      seen,
      'transparent, laid on white',
    ),
    'a.bmp': (_file(image, 'BMP'), scene, 'BMP made PNG'),
    'a.tiff': (_file(image, 'TIFF'), scene, 'TIFF made PNG'),
    'a.webp': (_file(image, 'WEBP', lossless=True), scene, 'WEBP made JPEG'),
  }
  for orientation, turn in TURNS.items():
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name, how in ('jpg', jpeg), ('png', {'kind': 'PNG'}):
      data = _file(image, exif=exif.tobytes(), **how)
      made[f'{orientation}.{name}'] = data, turn(scene), 'turned as EXIF says'
  return made


def check_odd_photos(_: None, work: pathlib.Path, convert: Convert) -> int:
  """Photos of every odd kind become what is meant; others are rejected."""
  odd, plain = odd_photos(), _file(Image.fromarray(_scene()), 'JPEG')
  bad = {'cut.jpg': plain[:-40], 'page.jpg': b'<html>', 'empty.png': b''}
  files = {f'odd/{name}': odd[name][0] for name in odd}
  files |= {f'odd/{name}': data for name, data in bad.items()}
  files |= {f'plain/{number}.jpg': plain for number in range(40)}
  for name, data in files.items():
    path = work / 'photos' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  said = convert('odd', work / 'photos', work / 'records')
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
  expect(rejected == set(files), 'rejected:', rejected, 'missing:', set(files))
  expect(len(rejected) == len(bad), rejected)
  for _, _, note in odd.values():
    expect(f'of the originals: {note}\n' in said, 'nothing was said of', note)
  return len(records)


def _check_odd_photo(
  example: Example, name: str, meant: np.ndarray, note: str
) -> None:
  """The decoded record is what is meant, whatever was done to it."""
  found = pixels(example)
  found = found if found.ndim == 3 else np.dstack([found] * 3)
  lossy = only(example, 'format') == b'jpg'
  expect(found.shape == meant.shape, name, found.shape, meant.shape)
  difference = np.abs(found - meant.astype(float)).max()
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
  """Converts as anybody would."""
  command = [sys.executable, str(ROOT / 'download_and_convert_data.py')]
  flags = {'dataset_name': name, 'source_dir': source, 'dataset_dir': target}
  command += [f'--{flag}={value}' for flag, value in flags.items()]
  ended = subprocess.run(command, stderr=subprocess.PIPE, text=True)
  expect(ended.returncode == 0, ended.stderr)
  return ended.stderr


def main(folders: list[str]) -> None:
  """Checks what is there; the first difference ends it."""
  places = [pathlib.Path(folder, name) for folder in folders for name in CHECKS]
  todo = [(place, CHECKS[place.name]) for place in places if place.is_dir()]
  if not todo:
    sys.exit(
      f'usage: {sys.argv[0]} FOLDER..., with some of {", ".join(CHECKS)}'
    )
  for place, check in [*todo, (None, check_odd_photos)]:
    name = place.name if place else 'odd photos'
    with tempfile.TemporaryDirectory(prefix='round_trip_') as work:
      try:
        count = check(place, pathlib.Path(work), by_program)
      except MismatchError as error:
        sys.exit(f'{name}: {error}')
    print(f'{name}: all {count:,} images came back', flush=True)


if __name__ == '__main__':
  main(sys.argv[1:])
