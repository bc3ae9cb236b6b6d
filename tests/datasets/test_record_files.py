"""Plain and compressed record files: the same bytes, or damage that is named."""

import gzip
import zlib

import pytest
from original_files import made
from tiny_data import encode_pixels

from datasets import bad_records, reader, record_files
from datasets.bad_records import walk
from datasets.dataset_factory import get_dataset
from datasets.record_order import Order
from datasets.records import count_records, write_shard
from errors import UserError
from preprocessing.preprocessing_factory import get_preprocessing
from tf_compat import tf

COUNT = 60
COMPRESSIONS = {
  'GZIP': gzip.compress,
  'ZLIB': zlib.compress,
  'joined': lambda data: gzip.compress(data[:999]) + gzip.compress(data[999:]),
}


@pytest.fixture
def plain(tmp_path):
  """The bytes of a record file."""
  path = tmp_path / 'plain'
  items = [(made(16, 16, seed=n), n % 10) for n in range(COUNT)]
  write_shard(path, items, encode_pixels)
  return path.read_bytes()


def write(folder, data):
  path = folder / 'made.tfrecord'
  path.write_bytes(data)
  return path


@pytest.mark.parametrize('form', COMPRESSIONS)
def test_a_compression_is_recognized_by_the_first_bytes(tmp_path, plain, form):
  path = write(tmp_path, COMPRESSIONS[form](plain))
  assert record_files.compression(path) == form.replace('joined', 'GZIP')
  assert count_records(path) == (COUNT, True)
  compressed = [record.data for record in walk(str(path))]
  path.write_bytes(plain)
  assert record_files.compression(path) == ''
  assert compressed == [record.data for record in walk(str(path))]


def test_plain_records_that_look_compressed_are_plain(tmp_path):
  for length in (0x088B1F, 0x9C78):  # little-endian: the magic numbers
    path = tmp_path / str(length)
    write_shard(path, [bytes(length)], bytes)
    assert record_files.compression(path) == ''
    assert count_records(path) == (1, True)


@pytest.mark.parametrize(
  ('data', 'whole'),
  [
    (b'', True),
    (gzip.compress(b'', mtime=0), True),
    (b'\x1f', False),
    (b'no', False),
  ],
)
def test_files_without_records(tmp_path, data, whole):
  path = write(tmp_path, data)
  assert count_records(path) == (0, whole)
  assert len(list(walk(str(path)))) == (not whole)


def test_bytes_that_expand_a_thousandfold_are_all_read(tmp_path):
  path = write(tmp_path, b'')
  write_shard(path, [bytes(5 << 20)] * 2, bytes)
  path.write_bytes(gzip.compress(path.read_bytes()))
  assert [len(record.data) for record in walk(str(path))] == [5 << 20] * 2
  assert count_records(path) == (2, True)
  estimate = record_files.uncompressed_size(path)
  assert estimate == pytest.approx(10 << 20, rel=0.1)


@pytest.mark.parametrize('form', ['GZIP', 'ZLIB'])
@pytest.mark.parametrize('place', [0.5, 0.9, -6, -1])
@pytest.mark.parametrize('kind', ['flip', 'cut'])
def test_damaged_compression_is_named_after_the_records_before_it(
  tmp_path, plain, form, place, kind
):
  data = bytearray(COMPRESSIONS[form](plain))
  place = int(place * len(data)) if isinstance(place, float) else place
  if kind == 'cut':
    del data[place:]
  else:
    data[place] ^= 1
  path = write(tmp_path, data)
  intact = [record.data for record in walk(str(write(tmp_path, plain)))]
  path.write_bytes(data)
  *found, last = walk(str(path))
  assert last.problem.startswith('cannot be read: ')
  assert ('is truncated' if kind == 'cut' else 'is damaged') in last.problem
  assert count_records(path) == (len(found), False)
  # Before its end, only a record's own checksum tells of a flipped bit.
  for record, data in zip(found, intact, strict=False):
    assert record.data == (data if record.problem is None else b'')


@pytest.mark.parametrize('length', [1 << 20, 1 << 50])
def test_a_length_beyond_a_compressed_file_allocates_nothing(
  tmp_path, plain, length
):
  header = length.to_bytes(8, 'little')
  data = plain + header + record_files.checksum(header) + b'end'
  path = write(tmp_path, gzip.compress(data))
  assert count_records(path) == (COUNT, False)
  *_, last = walk(str(path))
  assert last.number == COUNT
  assert last.problem == f'is truncated: {length + 1} bytes are missing'


def labels(dataset, is_training=False, **options):
  """Returns the labels that the reader yields, those of one pass sorted."""
  with tf.Graph().as_default(), tf.Session() as session:
    fn = get_preprocessing('lenet', is_training)
    data = reader.read(dataset, fn, 16, 10, is_training, **options)
    iterator = tf.data.make_initializable_iterator(data)
    session.run([tf.local_variables_initializer(), iterator.initializer])
    batch = iterator.get_next()['label']
    found = []
    try:
      while len(found) < dataset.num_records:
        found += session.run(batch).tolist()
    except tf.errors.OutOfRangeError:
      assert not is_training
  return sorted(found)


@pytest.fixture
def mixed(tmp_path, plain):
  """A split of one plain file and two compressed ones."""
  for number, data in enumerate(
    (plain, gzip.compress(plain), zlib.compress(plain))
  ):
    name = f'train-{number:05d}-of-00003'
    (tmp_path / name).write_bytes(data)
  return get_dataset('imagenet', 'train', str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
  'options',
  [
    {'is_training': True, 'order': Order(seed=1)},
    {
      'is_training': True,
      'order': Order(seed=1, num_readers=1),
      'cache': True,
    },
    {'is_training': False},
    {'is_training': False, 'skip_bad_records': True},
  ],
)
def test_compressed_files_of_a_split_are_read_like_plain_ones(mixed, options):
  assert mixed.num_records == 3 * COUNT
  assert labels(mixed, **options) == sorted([*range(10)] * (3 * COUNT // 10))
  assert bad_records.find_bad_record(mixed) is None


def test_damage_in_a_compressed_file_is_refused_or_skipped(mixed):
  path = mixed.files[1]
  with open(path, 'r+b') as file:
    file.truncate(file.seek(0, 2) // 2)
  mixed = get_dataset('imagenet', 'train', mixed.files[0].rpartition('/')[0])
  assert mixed.truncated == (path,)
  with pytest.raises(
    UserError, match=rf'{path}: record \d+ .* the compressed file is truncated'
  ):
    labels(mixed)
  assert 'compressed file is truncated' in bad_records.find_bad_record(mixed)
  assert len(labels(mixed, skip_bad_records=True)) == mixed.num_records
