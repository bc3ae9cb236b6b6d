"""Damaged bytes of all kinds: named or left out, never a crash, hang or lie.

What is undamaged by its checksums may still differ from what was written: only
there may reading give other pixels, and only of a JPEG, which has none.
"""

import contextlib
import io
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets import bad_records, reader, record_files
from datasets.dataset import Dataset
from datasets.records import count_records
from preprocessing import decoding
from preprocessing.preprocessing_factory import get_preprocessing
from tf_compat import tf

SIZE = 12
PIXELS = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
# Errors of a reader; the last comes from an error that quotes bytes.
REFUSALS = (tf.errors.OpError, UnicodeDecodeError)


def fuzz(examples: int):
  """Returns settings for the same examples in every run, without deadline."""
  return settings(
    max_examples=examples,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
  )


def encode(form: str) -> bytes:
  file = io.BytesIO()
  Image.fromarray(PIXELS).save(file, form)
  return file.getvalue()


IMAGES = {form: encode(form) for form in ('PNG', 'JPEG', 'GIF', 'BMP')}


def serialize(encoded: bytes, label: int) -> bytes:
  features = {
    'image/encoded': {'bytes_list': {'value': [encoded]}},
    'image/class/label': {'int64_list': {'value': [label]}},
  }
  message = tf.train.Example(features={'feature': features})
  return message.SerializeToString(deterministic=True)


def frame(data: bytes, length: int | None = None) -> bytes:
  """Returns a record with correct checksums, even of a wrong length."""
  header = struct.pack('<Q', len(data) if length is None else length)
  check = record_files.checksum
  return header + check(header) + data + check(data)


RECORDS = [serialize(IMAGES[form], n) for n, form in enumerate(('PNG', 'JPEG'))]
WHOLE = b''.join(map(frame, [*RECORDS, RECORDS[0]]))


@st.composite
def damaged(draw, data: bytes) -> bytes:
  """Draws truncated bytes, or some with a flipped bit or overwritten part."""
  place = draw(st.integers(0, len(data) - 1))
  kind = draw(st.sampled_from(['cut', 'bit', 'magic', 'huge', 'overwrite']))
  if kind == 'cut':
    return data[:place]
  if kind == 'bit':
    bit = 1 << draw(st.integers(0, 7))
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
  new = draw(st.binary(min_size=1, max_size=12))
  if kind == 'magic':
    place = 0
  elif kind == 'huge':
    new = b'\xff\xff\xff\x7f'
  return (data[:place] + new + data[place + len(new) :])[: len(data)]


class Pipelines:
  """Graphs, built once, that read the same file repeatedly."""

  def __init__(self, path):
    self.path = path
    self.dataset = Dataset(
      'made', 'test', (str(path),), 3, 10, 3, tuple('0123456789')
    )
    with tf.Graph().as_default() as self.graph:
      data = reader.read(
        self.dataset, get_preprocessing('lenet'), SIZE, 1, False
      )
      self.iterator = tf.data.make_initializable_iterator(data)
      self.batch = self.iterator.get_next()
      self.session = tf.Session()

  def read(self) -> list[np.ndarray] | None:
    """Returns all images; None if reading fails, as in the programs."""
    if not count_records(self.path)[1]:
      return None
    images = []
    self.session.run(self.iterator.initializer)
    try:
      while True:
        images.append(self.session.run(self.batch)['image'][0])
    except tf.errors.OutOfRangeError:
      return images
    except REFUSALS:
      return None

  def read_good(self) -> tuple[list[np.ndarray], int]:
    """Returns (remaining images, number of records left out)."""
    bad_records.mend.cache_clear()
    with tf.Graph().as_default():
      fn = get_preprocessing('lenet')
      data = reader.read(
        self.dataset, fn, SIZE, 1, False, skip_bad_records=True
      )
      iterator = tf.data.make_initializable_iterator(data)
      batch, images = iterator.get_next(), []
      with tf.Session() as session:
        session.run([tf.local_variables_initializer(), iterator.initializer])
        with contextlib.suppress(tf.errors.OutOfRangeError):
          while True:
            images.append(session.run(batch)['image'][0])
        return images, int(session.run(reader.skipped_count()))


@pytest.fixture(scope='module')
def pipelines(tmp_path_factory):
  path = tmp_path_factory.mktemp('fuzz') / 'made.tfrecord'
  path.write_bytes(WHOLE)
  made = Pipelines(path)
  yield made
  made.session.close()


@pytest.fixture(scope='module')
def originals(pipelines):
  """Returns the images of the undamaged file."""
  pipelines.path.write_bytes(WHOLE)
  images = pipelines.read()
  assert len(images) == 3
  return images


@pytest.mark.slow
@given(data=damaged(WHOLE))
@fuzz(40)
def test_a_damaged_file_is_refused_and_its_record_named(
  pipelines, originals, data
):
  pipelines.path.write_bytes(data)
  images = pipelines.read()
  found = bad_records.find_bad_record(pipelines.dataset)
  if images is None:
    assert found.startswith(f'{pipelines.path}: record ')
    return
  # A file cut between records has fewer; the remaining ones are unchanged.
  assert found is None
  assert data == WHOLE[: len(data)]
  np.testing.assert_array_equal(images, originals[: len(images)])


@pytest.mark.slow
@given(length=st.integers(0, 2**64 - 1))
@example(length=0)
@example(length=10**12)
@example(length=2**63)
@example(length=2**64 - 16)
@fuzz(10)
def test_a_wrong_length_under_a_correct_checksum_allocates_nothing(
  pipelines, originals, length
):
  pipelines.path.write_bytes(frame(RECORDS[0]) + frame(RECORDS[1], length))
  if length != len(RECORDS[1]):
    assert pipelines.read() is None
    found = bad_records.find_bad_record(pipelines.dataset)
    assert 'record 1 (from 0)' in found
    images, _ = pipelines.read_good()
    np.testing.assert_array_equal(images, originals[:1])


@pytest.mark.slow
@given(data=damaged(WHOLE))
@fuzz(30)
def test_remaining_records_of_a_damaged_file_are_unchanged(
  pipelines, originals, data
):
  pipelines.path.write_bytes(data)
  images, skipped = pipelines.read_good()
  # Two records of the file are the same.
  for image in images:
    assert any(np.array_equal(image, whole) for whole in originals)
  assert len(images) + skipped >= len(data) // (len(WHOLE) // 2)
  if data == WHOLE:
    assert (len(images), skipped) == (3, 0)


@pytest.mark.slow
@given(data=damaged(RECORDS[0]))
@fuzz(40)
def test_damaged_examples_under_correct_checksums_are_named(pipelines, data):
  pipelines.path.write_bytes(frame(RECORDS[1]) + frame(data))
  images = pipelines.read()
  found = bad_records.find_bad_record(pipelines.dataset)
  assert (images is None) == (found is not None)
  if images is None:
    assert 'record 1 (from 0)' in found


@pytest.fixture(scope='module')
def decode():
  """Yields decode(bytes) -> pixels, or None if TensorFlow rejects them."""
  with tf.Graph().as_default():
    encoded = tf.placeholder(tf.string, [])
    whole = decoding.decode(encoded, 3)
    image = decoding.EncodedImage(encoded, 3)
    window = image.crop(tf.concat([image.size // 4, image.size // 2], 0))
    with tf.Session() as session:

      def run(data, cropped=False):
        try:
          return session.run(window if cropped else whole, {encoded: data})
        except REFUSALS:
          return None

      yield run


@pytest.mark.parametrize('form', IMAGES)
@given(data=st.data())
@fuzz(150)
def test_damaged_images_do_not_decode_to_other_pixels(decode, form, data):
  original = IMAGES[form]
  bad = data.draw(damaged(original))
  pixels, part = decode(bad), decode(bad, cropped=True)
  expected = decode(original)
  if pixels is None:
    return
  assert pixels.dtype == np.uint8
  assert pixels.shape[2] == 3
  # A PNG has checksums; in other formats, only truncation is detectable.
  if form == 'PNG' or len(bad) < len(original):
    np.testing.assert_array_equal(pixels, expected)
    height, width = expected.shape[:2]
    middle = slice(height // 4, height // 4 + height // 2)
    np.testing.assert_array_equal(part, expected[middle, middle])
    assert height == width


@pytest.mark.parametrize('form', IMAGES)
def test_headers_of_gigantic_images_are_refused(decode, form):
  place, code, sides = {
    'PNG': (16, '>II', (2**31 - 1, 2**31 - 1)),
    'JPEG': (IMAGES['JPEG'].index(b'\xff\xc0') + 5, '>HH', (65500, 65500)),
    'GIF': (IMAGES['GIF'].index(b'\x2c' + bytes(4)) + 5, '<HH', (65535, 65535)),
    'BMP': (18, '<ii', (2**30, 2**30)),
  }[form]
  data = bytearray(IMAGES[form])
  struct.pack_into(code, data, place, *sides)
  assert decode(bytes(data)) is None


@given(data=st.binary(max_size=60))
@fuzz(200)
def test_noise_is_no_image(decode, data):
  assert decode(data) is None
