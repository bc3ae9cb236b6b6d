"""Damaged originals of every form: an error, never a crash or a hang."""

import gzip
import io
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from original_files import (
  cifar100_files,
  cifar_files,
  idx_bytes,
  made,
  photo_bytes,
  write_tarball,
)
from PIL import Image

from datasets import archive, photo
from datasets.cifar import parse_binary, parse_pickle
from datasets.example_features import UnusableError
from datasets.mnist import read_idx
from errors import UserError

FEW = settings(
  max_examples=60,
  deadline=5000,  # milliseconds: what takes longer hangs
  derandomize=True,
  database=None,
  suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def attempt(call, expected):
  """Returns (result of the call, None) or (None, message of its error)."""
  try:
    return call(), None
  except expected as error:
    return None, str(error)


@st.composite
def damaged(draw, originals):
  """Draws an original that is truncated or has wrong or additional bytes."""
  data = bytearray(draw(st.sampled_from(originals)))
  for _ in range(draw(st.integers(1, 4))):
    # As often in the headers as anywhere.
    most = draw(st.sampled_from([100, len(data)]))
    place = draw(st.integers(0, min(len(data), most) - 1))
    end = draw(st.sampled_from(['byte', 'bit', 'huge', 'cut', 'more', 'magic']))
    if end == 'byte':
      data[place] = draw(st.integers(0, 255))
    elif end == 'bit':
      data[place] ^= 1 << draw(st.integers(0, 7))
    elif end == 'huge':
      data[place : place + 4] = b'\xff\xff\xff\x7f'
    elif end == 'cut':
      del data[draw(st.integers(1, len(data))) :]
    elif end == 'more':
      data[place:place] = draw(st.binary(min_size=1, max_size=20))
    else:
      data[:4] = draw(st.binary(min_size=4, max_size=4))
    if not data:
      break
  return bytes(data)


def pictures():
  scene = Image.fromarray(made(24, 32, 3))
  kinds = [
    ('JPEG', {}),
    ('JPEG', {'progressive': True}),
    (
      'JPEG',
      {
        'exif': b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0'
      },
    ),
    ('PNG', {}),
    ('GIF', {'save_all': True, 'append_images': [scene.rotate(90)]}),
    ('BMP', {}),
    ('WEBP', {}),
    ('TIFF', {'compression': 'tiff_lzw'}),
  ]
  found = [photo_bytes('JPEG', 'CMYK')]
  for kind, options in kinds:
    file = io.BytesIO()
    scene.save(file, kind, **options)
    found.append(file.getvalue())
  return found


@pytest.fixture(scope='module')
def decode():
  """Yields the reader's decoder: bytes -> [H, W, 3], or an error."""
  from preprocessing.decoding import decode
  from tf_compat import tf

  with tf.Graph().as_default(), tf.Session() as session:
    data = tf.placeholder(tf.string, [])
    image = decode(data, 3)
    yield lambda encoded: session.run(image, {data: encoded})


@FEW
@given(data=damaged(pictures()))
def test_the_reader_decodes_what_passes_the_check(decode, data):
  picture, error = attempt(
    lambda: photo.check_bytes(data, 'a.jpg'), UnusableError
  )
  if picture is None:
    assert error
    assert '\n' not in error
    return
  assert decode(picture.data).shape == (picture.height, picture.width, 3)


@pytest.mark.parametrize('kind', ['PNG', 'JPEG'])
def test_no_byte_of_a_photo_escapes_the_check(decode, kind):
  data = photo_bytes(kind, size=(20, 16))
  changed = [data[:end] for end in range(len(data))]
  for place in range(len(data)):
    changed.append(bytearray(data))
    changed[-1][place] ^= 1
  for one in map(bytes, changed):
    picture, _ = attempt(
      lambda one=one: photo.check_bytes(one, 'a'), UnusableError
    )
    if picture:
      decode(picture.data)


@FEW
@given(data=damaged(pictures()[:4]))
def test_decoding_at_an_eighth_finds_the_same_damage(data):
  """Decoding a JPEG at an eighth of its size checks all compressed data."""

  def fails(small):
    try:
      image = Image.open(io.BytesIO(data), formats=['JPEG'])
      if small:
        image.draft(None, (1, 1))
      image.load()
    except Exception:
      return True
    return False

  assert fails(small=True) == fails(small=False)


def to_file(folder, data, name='original'):
  path = pathlib.Path(folder, name)
  path.write_bytes(data)
  return path


@FEW
@given(
  data=damaged([idx_bytes(made(4, 5, 6)), gzip.compress(idx_bytes(made(9)))]),
  name=st.sampled_from(['idx', 'idx.gz']),
)
def test_idx_files_are_complete_or_an_error(data, name):
  with tempfile.TemporaryDirectory() as folder:
    path = to_file(folder, data, name)
    array, error = attempt(lambda: read_idx(path), UserError)
  if array is None:
    assert name in error
    return
  plain = gzip.decompress(data) if name.endswith('.gz') else data
  # Nothing but the header and these values was in the file.
  assert plain.endswith(array.tobytes())
  assert len(plain) == 4 + 4 * array.ndim + array.size


@FEW
@given(data=damaged([cifar_files('binary')['test_batch.bin']]))
def test_cifar_rows_are_complete_or_an_error(data):
  batch, _ = attempt(lambda: parse_binary(data), ValueError)
  if batch is None:
    assert not data or len(data) % 3073
    return
  planes, labels = batch
  rows = np.concatenate([labels, planes], axis=1)
  assert rows.tobytes() == data


PICKLES = [
  cifar_files('python')['test_batch'],
  cifar_files('python2')['test_batch'],
]


@FEW
@given(data=damaged(PICKLES))
def test_pickles_are_batches_or_an_error(data):
  # The converter names the file for any error; the process must survive.
  batch, _ = attempt(lambda: parse_pickle(data), Exception)
  if batch is None:
    return
  planes, labels = batch
  assert planes.dtype == np.uint8
  assert planes.shape == (len(labels), 3072)


def archives():
  files = {**cifar100_files('binary'), 'a/1.jpg': photo_bytes()}
  found = []
  with tempfile.TemporaryDirectory() as folder:
    for compression in ('', 'gz', 'bz2', 'xz'):
      path = pathlib.Path(folder, 'archive')
      write_tarball(path, files, compression)
      found.append(path.read_bytes())
  return found


@FEW
@given(data=damaged(archives()))
def test_archives_stay_within_themselves_or_are_refused(data):
  with tempfile.TemporaryDirectory() as folder:
    path = to_file(folder, data, 'in.tar')
    files, error = attempt(lambda: archive.list_files(path), UserError)
    if files is None:
      assert 'in.tar' in error
      return
    for blob in files.values():
      assert len(blob.read()) == blob.size
    assert [p.name for p in pathlib.Path(folder).iterdir()] == ['in.tar']
