"""Odd photos: unchanged ones decode as in Pillow, others are converted."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from original_files import made
from PIL import Image

from datasets import photo, strict_image_check
from datasets.example_features import UnusableError


def scene(mode='RGB', size=(24, 16)):
  """Returns a smooth picture that a JPEG of high quality preserves."""
  ramp = Image.linear_gradient('L').resize(size)
  image = Image.merge('RGB', [ramp, ramp.rotate(180), ramp.point(lambda v: 90)])
  return image.convert(mode)


def encoded(image, kind, **options):
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def png16(channels):
  """Returns a handmade 16-bit PNG [8, 8, channels] and its high bytes."""
  rows = (made(8, 8 * channels).astype(int) * 128 + 127).astype('>u2')
  raw = b''.join(b'\0' + row.tobytes() for row in rows)
  kind = {1: 0, 3: 2}[channels]

  def chunk(name, data):
    return (
      struct.pack('>I', len(data))
      + name
      + data
      + struct.pack('>I', zlib.crc32(name + data))
    )

  header = struct.pack('>IIBBBBB', 8, 8, 16, kind, 0, 0, 0)
  data = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header)
  data += chunk(b'IDAT', zlib.compress(raw)) + chunk(b'IEND', b'')
  return data, (rows >> 8).astype(np.uint8).reshape(8, 8, channels)


def decoded(tf, data):
  """Returns pixels [H, W, 3] as the reader decodes them."""
  from preprocessing.decoding import decode

  with tf.Session() as session:
    return session.run(decode(tf.constant(data), 3))


def turned(image, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  return {'image': image, 'exif': exif.tobytes()}


def rgba():
  image = scene().convert('RGBA')
  image.putalpha(Image.linear_gradient('L').resize(image.size))
  return image


KEPT = {
  'color jpeg': encoded(scene(), 'JPEG'),
  'gray jpeg': encoded(scene('L'), 'JPEG'),
  'progressive jpeg': encoded(scene(), 'JPEG', progressive=True),
  'exif without a turn': encoded(scene(), 'JPEG', exif=Image.Exif().tobytes()),
  'damaged exif': encoded(scene(), 'JPEG', exif=b'Exif\0\0nonsense'),
  'jpeg before a film': encoded(scene(), 'JPEG') + b'film \xff\xda',
  'color png': encoded(scene(), 'PNG'),
  'gray png': encoded(scene('L'), 'PNG'),
  'palette png': encoded(scene('P'), 'PNG'),
  'black and white png': encoded(scene('1'), 'PNG'),
  'opaque png': encoded(scene('RGBA'), 'PNG'),
  'opaque gray png': encoded(scene('LA'), 'PNG'),
}


@pytest.mark.parametrize('name', KEPT)
def test_usual_photos_keep_their_bytes_and_decode_alike(name, graph):
  from tf_compat import tf

  data = KEPT[name]
  picture = photo.check_bytes(data, 'a')
  assert picture.data == data
  assert picture.notes == ()
  assert (picture.width, picture.height) == (24, 16)
  expected = np.asarray(Image.open(io.BytesIO(data)).convert('RGB'), int)
  # Two decoders of a JPEG may round differently.
  limit = 3 if picture.format == 'JPEG' else 0
  assert np.abs(decoded(tf, picture.data) - expected).max() <= limit


def test_the_end_of_a_thumbnail_is_not_that_of_the_photo():
  noise = Image.fromarray(made(16, 20, 3))
  data = encoded(noise, 'JPEG', comment=b'\xff\xda thumbnail \xff\xd9')
  assert data.count(b'\xff\xd9') == 2
  assert photo.check_bytes(data, 'a').data == data
  with pytest.raises(UnusableError, match='decode: JPEG without an end'):
    photo.check_bytes(data[:-1] + b'\0', 'a')


def damaged(data, rng):
  """Returns a copy with bytes that are changed, missing, or inserted."""
  data = bytearray(data)
  at = int(rng.integers(2, len(data)))
  kind = rng.integers(5)
  if kind == 0:
    data[at] = rng.integers(256)
  elif kind == 1:
    del data[at:]
  elif kind == 2:
    del data[at : at + int(rng.integers(1, 20))]
  elif kind == 3:
    data[at:at] = b'\xff' + rng.choice(
      [b'\xd9', b'\xda', b'\xd0', b'\xc4', b'\xff']
    )
  else:
    headers = [at for at in range(len(data)) if data[at] == 0xFF]
    data[min(int(rng.choice(headers)) + 3, len(data) - 1)] ^= 1
  return bytes(data)


JPEGS = {
  'color': encoded(Image.fromarray(made(40, 48, 3)), 'JPEG'),
  'gray': encoded(Image.fromarray(made(40, 48)), 'JPEG'),
  'progressive': KEPT['progressive jpeg'],
  'restarted': encoded(scene(), 'JPEG', restart_marker_blocks=1),
  'twice': KEPT['color jpeg'] * 2,
}


@pytest.mark.parametrize('name', JPEGS)
def test_a_damaged_jpeg_seems_ordinary_only_if_tensorflow_tells(name, graph):
  from preprocessing.preprocessing_factory import get_preprocessing
  from tf_compat import tf

  data = tf.placeholder(tf.string, [])
  image = get_preprocessing('inception').from_encoded(data, 8, 8, 3)
  rng = np.random.default_rng(0)
  outcomes = set()
  with tf.Session() as session:
    for variant in [
      JPEGS[name],
      *(damaged(JPEGS[name], rng) for _ in range(150)),
    ]:
      if not photo.is_ordinary(variant):
        continue
      try:
        session.run(image, {data: variant})
      except tf.errors.InvalidArgumentError:
        with pytest.raises(UnusableError):
          photo.check_bytes(variant, 'a.jpg')
        outcomes.add('refused')
      else:
        assert photo.check_bytes(variant, 'a.jpg').data == variant
        outcomes.add('decoded')
  assert outcomes == {'decoded', 'refused'}


def frames():
  other = scene().rotate(90)
  return {'save_all': True, 'append_images': [other, scene()], 'duration': 50}


TURNED = encoded(**turned(scene(), 6), kind='JPEG')
WEBP = encoded(scene(), 'WEBP')
PNG16, PIXELS16 = png16(3)
GRAY16, GRAY_PIXELS16 = png16(1)
WHITE = Image.new('RGBA', rgba().size, 'white')
ODD = {
  'cmyk': (
    encoded(scene('CMYK'), 'JPEG'),
    scene(),
    'JPEG',
    ('CMYK converted to RGB',),
  ),
  'turned jpeg': (
    TURNED,
    Image.open(io.BytesIO(TURNED)).transpose(Image.Transpose.ROTATE_270),
    'JPEG',
    ('rotated as EXIF specifies',),
  ),
  'mirrored png': (
    encoded(**turned(scene(), 2), kind='PNG'),
    scene().transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    'PNG',
    ('rotated as EXIF specifies',),
  ),
  '16-bit color': (PNG16, PIXELS16, 'PNG', ('reduced from 16 to 8 bits',)),
  '16-bit gray': (GRAY16, GRAY_PIXELS16, 'PNG', ('reduced from 16 to 8 bits',)),
  'animation': (
    encoded(scene('P'), 'GIF', **frames()),
    scene('P'),
    'PNG',
    ('first frame of GIF', 'GIF converted to PNG'),
  ),
  'still gif': (
    encoded(scene('P'), 'GIF'),
    scene('P'),
    'PNG',
    ('GIF converted to PNG',),
  ),
  'alpha': (
    encoded(rgba(), 'PNG'),
    Image.alpha_composite(WHITE, rgba()),
    'PNG',
    ('transparent, composited on white',),
  ),
  'bmp': (encoded(scene(), 'BMP'), scene(), 'PNG', ('BMP converted to PNG',)),
  'tiff': (
    encoded(scene(), 'TIFF'),
    scene(),
    'PNG',
    ('TIFF converted to PNG',),
  ),
  'webp': (
    WEBP,
    Image.open(io.BytesIO(WEBP)),
    'JPEG',
    ('WEBP converted to JPEG',),
  ),
}


@pytest.mark.parametrize('name', ODD)
def test_odd_photos_are_converted_to_the_intended_pixels_with_notes(
  name, graph
):
  from tf_compat import tf

  data, expected, kind, notes = ODD[name]
  if isinstance(expected, Image.Image):
    expected = np.asarray(expected.convert('RGB'))
  expected = np.broadcast_to(expected, (*expected.shape[:2], 3))
  picture = photo.check_bytes(data, 'a')
  assert picture.format == kind
  assert picture.notes == notes
  assert (picture.height, picture.width) == expected.shape[:2]
  found = decoded(tf, picture.data).astype(int)
  limit = 8 if kind == 'JPEG' else 0
  assert np.abs(found - expected).max() <= limit


@pytest.mark.parametrize('name', [*KEPT, *ODD])
def test_any_photo_becomes_a_jpeg_on_request(name):
  data = KEPT.get(name) or ODD[name][0]
  picture = photo.check_bytes(data, 'a', jpeg_only=True)
  image = Image.open(io.BytesIO(picture.data))
  assert (image.format, image.size) == ('JPEG', (picture.width, picture.height))
  assert image.mode in ('RGB', 'L')


@pytest.mark.parametrize('name', [*KEPT, *ODD])
def test_only_bytes_that_are_kept_are_ordinary(name):
  is_ordinary = photo.is_ordinary(KEPT.get(name) or ODD[name][0])
  assert is_ordinary == (name in KEPT and 'png' not in name)


def test_a_wrong_suffix_is_noted():
  picture = photo.check_bytes(encoded(scene(), 'PNG'), 'cat/1.JPG')
  assert picture.notes == ('PNG named as JPEG',)
  assert not photo.check_bytes(encoded(scene(), 'JPEG'), 'cat/1.jpeg').notes


def huge():
  """Returns a PNG of a hundred bytes that claims to have a gigapixel."""
  data, _ = png16(1)
  header = struct.pack('>IIBBBBB', 40000, 40000, 8, 0, 0, 0, 0)
  crc = struct.pack('>I', zlib.crc32(b'IHDR' + header))
  return data[:16] + header + crc + data[33:]


@pytest.mark.parametrize(
  ('data', 'reason'),
  [
    (b'', 'is empty'),
    (
      b'<html>',
      'is not an image in a known format: it begins with 3c 68 74 6d 6c 3e',
    ),
    (b'%!PS-Adobe-3.0 EPSF-3.0', 'is not an image in a known format'),
    (encoded(scene(), 'JPEG')[:-30], 'does not decode: .*truncated'),
    (encoded(scene(), 'PNG')[:-30], 'does not decode'),
    (
      huge(),
      'has 40000 x 40000 pixels, more than --max_megapixels=300',
    ),
    (encoded(scene('F'), 'TIFF'), r'has 32-bit pixels of unknown range \(F\)'),
  ],
)
def test_unusable_photos_are_refused_with_the_reason(data, reason):
  with pytest.raises(UnusableError, match=f'^{reason}'):
    photo.check_bytes(data, 'a.jpg')


def test_a_missing_photo_is_refused():
  gone = photo.Photo('a.jpg', photo.Blob('no/such.jpg'), 0)
  with pytest.raises(UnusableError, match='cannot be read: No such file'):
    photo.encode(gone)


@pytest.mark.parametrize('path', ['/dev/zero', 'pipe.jpg', 'link.jpg'])
def test_devices_and_pipes_are_refused_and_not_read(tmp_path, path):
  os.mkfifo(tmp_path / 'pipe.jpg')
  (tmp_path / 'link.jpg').symlink_to('/dev/zero')
  endless = photo.Photo('a.jpg', photo.Blob(str(tmp_path / path)), 0)
  with pytest.raises(
    UnusableError, match=r'^cannot be read: it is a device or pipe, not a file$'
  ):
    photo.encode(endless)


def test_a_file_larger_than_any_photo_is_not_read(tmp_path):
  path = tmp_path / 'a.bmp'
  path.touch()
  os.truncate(path, 1 << 40)
  item = photo.Photo('a.bmp', photo.Blob(str(path)), 0)
  with pytest.raises(UnusableError, match=r'^cannot be read: it has 1,099,511'):
    photo.encode(item)


def large(kind, width, height, **options):
  """Returns an image of a few KB."""
  return encoded(Image.new('1', (width, height)).convert('L'), kind, **options)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_photos_of_100_megapixels_are_accepted(kind):
  data = large(kind, 12_000, 9_000)
  picture = photo.check_bytes(data, 'a')
  assert picture.data == data
  assert (picture.width, picture.height) == (12_000, 9_000)


@pytest.mark.parametrize(('megapixels', 'accepted'), [(1, False), (2, True)])
def test_a_flag_bounds_the_megapixels(megapixels, accepted):
  def check(item):
    return photo.check_bytes(item, 'a')

  data = large('JPEG', 1000, 1001)
  if accepted:
    assert photo.encode_within(megapixels, check, data).data == data
  else:
    with pytest.raises(UnusableError, match=r'than --max_megapixels=1$'):
      photo.encode_within(megapixels, check, data)
  assert photo.check_bytes(data, 'a').data == data


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF', 'turned'])
@pytest.mark.parametrize('jpeg_only', [True, False])
def test_photos_too_large_for_tensorflow_are_reduced(
  monkeypatch, kind, jpeg_only
):
  """As if it decoded 300 bytes of a JPEG, or pixels of a PNG, at most."""
  monkeypatch.setattr(strict_image_check, '_TOO_LARGE', 301)
  if kind == 'turned':
    data = encoded(**turned(scene(), 6), kind='JPEG')
  else:
    data = encoded(scene(), kind)
  picture = photo.check_bytes(data, 'a', jpeg_only)
  assert 'reduced to 1/2 of its width and height' in picture.notes
  image = Image.open(io.BytesIO(picture.data))
  size = (8, 12) if kind == 'turned' else (12, 8)
  assert image.size == size == (picture.width, picture.height)
  expected = scene().reduce(2)
  if kind == 'turned':
    expected = expected.transpose(Image.Transpose.ROTATE_270)
  off = np.asarray(image.convert('RGB'), int) - np.asarray(expected, int)
  assert np.abs(off).max() <= 24


def test_a_reduced_photo_is_within_what_tensorflow_decodes():
  for target, sides in (('JPEG', (20_000, 15_000)), ('PNG', (30_000, 20_001))):
    factor = photo._factor(target, *sides, 3)
    assert factor == 2
    half = [-(-side // factor) for side in sides]
    assert not strict_image_check.is_too_large(target, *half, 3)
    assert strict_image_check.is_too_large(target, *sides, 3)


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P'])
def test_transparent_photos_are_composited_alike_in_strips(monkeypatch, mode):
  image = scene().convert('RGBA')
  image.putalpha(Image.linear_gradient('L').resize(image.size))
  data = encoded(image.convert(mode), 'PNG')
  color = Image.open(io.BytesIO(data)).convert('RGBA')
  white = Image.new('RGBA', color.size, 'white')
  expected = Image.alpha_composite(white, color).convert('RGB')
  for pixels in (1, 5 * color.width, 10**6):
    monkeypatch.setattr(photo, '_STRIP', pixels)
    picture = photo.check_bytes(data, 'a.png')
    assert picture.notes == ('transparent, composited on white',)
    image = Image.open(io.BytesIO(picture.data))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
