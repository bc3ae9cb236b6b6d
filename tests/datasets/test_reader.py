"""The reader on synthetic record files, and on TF-Slim's own."""

import collections
import dataclasses
import io
import os
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from datasets import bad_records, reader, record_files, record_order
from datasets.dataset import Dataset
from datasets.record_order import Order
from errors import UserError
from preprocessing import decoding
from preprocessing.preprocessing_factory import get_preprocessing
from tf_compat import tf

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures('graph')


def picture(value: int, size: int = 8) -> bytes:
  """Returns a PNG of one gray value."""
  file = io.BytesIO()
  Image.fromarray(np.full((size, size), value, np.uint8)).save(file, 'PNG')
  return file.getvalue()


def record(value: int, label=None, encoded=None, **more: bytes) -> bytes:
  """Returns a record with that gray value; its label is value % 10."""
  label = value % 10 if label is None else label
  feature = {
    'image/encoded': tf.train.Feature(
      bytes_list=tf.train.BytesList(value=[encoded or picture(value)])
    ),
    'image/class/label': tf.train.Feature(
      int64_list=tf.train.Int64List(value=[label])
    ),
  }
  for key, text in more.items():
    feature[f'image/{key}'] = tf.train.Feature(
      bytes_list=tf.train.BytesList(value=[text])
    )
  features = tf.train.Features(feature=feature)
  return tf.train.Example(features=features).SerializeToString()


def write(folder, *shards) -> Dataset:
  """Writes shards, lists of records or of values, as a data set."""
  files = []
  for number, shard in enumerate(shards):
    files.append(str(folder / f'made_test-{number:05d}.tfrecord'))
    with tf.io.TFRecordWriter(files[-1]) as writer:
      for item in shard:
        writer.write(item if isinstance(item, bytes) else record(item))
  return Dataset(
    name='made',
    split='test',
    files=tuple(files),
    num_records=sum(map(len, shards)),
    num_classes=10,
    channels=1,
    class_names=tuple('0123456789'),
  )


def read(
  dataset, batch_size=4, is_training=False, preprocessing='lenet', **options
):
  fn = get_preprocessing(preprocessing, is_training)
  names = [field.name for field in dataclasses.fields(Order)]
  order = Order(**{n: options.pop(n) for n in names if n in options})
  return reader.read(
    dataset, fn, 8, batch_size, is_training, order=order, **options
  )


def batches(data, count=None):
  """Returns all batches, or the first `count`, each a dict of arrays."""
  iterator = tf.data.make_initializable_iterator(data)
  batch = iterator.get_next()
  result = []
  with tf.Session() as session:
    session.run([tf.local_variables_initializer(), iterator.initializer])
    try:
      while count is None or len(result) < count:
        result.append(session.run(batch))
    except tf.errors.OutOfRangeError:
      assert count is None, f'only {len(result)} of {count} batches'
    if tf.get_collection('skipped_bad_records'):
      batches.skipped = session.run(reader.skipped_count())
  return result


def values(data, count=None):
  """Returns the gray values of the records that were read, in order."""
  return [
    round(float(image.mean()) * 128 + 128)
    for batch in batches(data, count)
    for image in batch['image']
  ]


def test_evaluation_reads_each_record_once_in_order(tmp_path):
  dataset = write(tmp_path, range(5), range(5, 6), range(6, 11))
  got = batches(read(dataset))
  assert [len(batch['label']) for batch in got] == [4, 4, 3]
  joined = {key: np.concatenate([b[key] for b in got]) for key in got[0]}
  np.testing.assert_array_equal(joined['index'], np.arange(11))
  np.testing.assert_array_equal(joined['label'], np.arange(11) % 10)
  grays = (np.arange(11) - 128) / 128
  np.testing.assert_allclose(joined['image'].mean((1, 2, 3)), grays)
  assert joined['image'].dtype == np.float32
  assert set(joined['filename']) == {b''}


def test_static_shapes(tmp_path):
  dataset = write(tmp_path, range(5))
  training = read(dataset, is_training=True).element_spec
  assert training['image'].shape.as_list() == [4, 8, 8, 1]
  assert training['label'].shape.as_list() == [4]
  color = reader.read(
    dataset, get_preprocessing('vgg'), (40, 48), 4, False, channels=3
  )
  assert color.element_spec['image'].shape.as_list() == [None, 40, 48, 3]
  assert batches(color)[0]['image'].shape == (4, 40, 48, 3)


def test_filename_and_labels_offset(tmp_path):
  shard = [record(3, label=1, filename=b'a.jpg'), record(4, label=9)]
  (batch,) = batches(read(write(tmp_path, shard), labels_offset=1))
  assert batch['filename'].tolist() == [b'a.jpg', b'']
  assert batch['label'].tolist() == [0, 8]


@pytest.mark.slow
@pytest.mark.parametrize('start', [5, 20, 47])
@pytest.mark.parametrize(
  'options',
  [
    {},
    {'cache': True},
    {'num_readers': 1},
    {'shard': (3, 1)},
    {'shard': (2, 0)},
    {'shard': (2, 1), 'cache': True},
  ],
  ids=str,
)
def test_training_starts_at_any_position_of_the_stream(
  tmp_path, start, options
):
  dataset = write(tmp_path, range(7), range(7, 9), range(9, 20))

  def stream(start, count):
    data = read(
      dataset,
      batch_size=1,
      is_training=True,
      preprocessing='cifarnet',
      seed=3,
      start=start,
      **options,
    )
    return batches(data, count)

  whole, rest = stream(0, start + 9), stream(start, 9)
  for expected, got in zip(whole[start:], rest, strict=True):
    assert got['label'] == expected['label']
    np.testing.assert_array_equal(got['image'], expected['image'])


@pytest.mark.parametrize('threads', [None, 1, 3])
def test_each_training_pass_has_every_record_once_in_a_new_order(
  tmp_path, threads
):
  dataset = write(tmp_path, range(7), range(7, 9), range(9, 20))
  got = values(
    read(
      dataset,
      batch_size=5,
      is_training=True,
      num_readers=threads,
      threads=threads,
      seed=1,
    ),
    count=12,
  )
  passes = [got[start : start + 20] for start in (0, 20, 40)]
  for order in passes:
    assert sorted(order) == list(range(20))
    assert order != list(range(20))
  assert passes[0] != passes[1] != passes[2]


def test_a_batch_may_be_larger_than_the_set(tmp_path):
  got = values(read(write(tmp_path, range(3)), 7, is_training=True), count=1)
  assert collections.Counter(got).most_common()[0][1] == 3


@pytest.mark.slow
@pytest.mark.parametrize(
  ('threads', 'skip_bad_records'), [(None, False), (1, False), (None, True)]
)
def test_a_seed_determines_order_and_distortions(
  tmp_path, threads, skip_bad_records
):
  dataset = write(tmp_path, *[range(n, n + 4) for n in range(0, 32, 4)])

  def run(seed):
    with tf.Graph().as_default():
      data = read(
        dataset,
        is_training=True,
        preprocessing='cifarnet',
        seed=seed,
        num_readers=threads,
        threads=threads,
        skip_bad_records=skip_bad_records,
      )
      return batches(data, 12)

  first, again, other = run(5), run(5), run(6)
  for one, two in zip(first, again, strict=True):
    for key in one:
      np.testing.assert_array_equal(one[key], two[key])
  assert any(
    not np.array_equal(one['label'], two['label'])
    for one, two in zip(first, other, strict=True)
  )


def test_the_count_of_bad_records_may_be_initialized_last(tmp_path):
  dataset = read(write(tmp_path, range(8)), skip_bad_records=True)
  iterator = tf.data.make_initializable_iterator(dataset)
  batch = iterator.get_next()
  with tf.Session() as session:
    session.run(iterator.initializer)
    time.sleep(0.2)  # A reader that has started would have failed by then.
    session.run(tf.local_variables_initializer())
    assert session.run(batch['label']).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize('preprocessing', ['cifarnet', 'inception'])
def test_groups_of_records_give_what_single_records_give(
  tmp_path, monkeypatch, preprocessing, is_training
):
  rng = np.random.default_rng(0)
  data = []
  for number in range(11):
    pixels = rng.integers(0, 256, (9, 9 + number), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, 'PNG')
    data.append(
      record(number, encoded=file.getvalue(), filename=b'%d' % number)
    )
  dataset = write(tmp_path, data)

  def run(group_bytes):
    monkeypatch.setattr(reader, 'GROUP_BYTES', group_bytes)
    with tf.Graph().as_default():
      data = read(dataset, 4, is_training, preprocessing, seed=1)
      return batches(data, 6 if is_training else None)

  singles, groups = run(1), run(3 * record_order.mean_size(dataset))
  assert len(singles) == len(groups)
  for one, two in zip(singles, groups, strict=True):
    for key in one:
      if key == 'image':  # Compiled apart, sums differ in their last digit.
        np.testing.assert_allclose(one[key], two[key], rtol=0, atol=1e-5)
      else:
        np.testing.assert_array_equal(one[key], two[key])


def test_small_records_are_grouped_within_a_batch(tmp_path, monkeypatch):
  dataset = write(tmp_path, range(20))
  assert reader._group(dataset, 7) == 7
  monkeypatch.setattr(reader, 'GROUP_BYTES', 1)
  assert reader._group(dataset, 7) == 1


@pytest.mark.parametrize('is_training', [False, True])
def test_a_cache_needs_the_files_once(tmp_path, is_training):
  dataset = write(tmp_path, range(7), range(7, 12))
  data = read(dataset, 4, is_training, cache=True, seed=3)
  iterator = tf.data.make_initializable_iterator(data)
  label = iterator.get_next()['index']
  with tf.Session() as session:
    session.run(iterator.initializer)
    first = [session.run(label).tolist() for _ in range(3)]
    if not is_training:
      assert first == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
      return
    for file in dataset.files:
      os.truncate(file, 0)
    more = [session.run(label).tolist() for _ in range(9)]
  passes = np.reshape(first + more, (4, 12))
  assert (np.sort(passes) == np.arange(12)).all()
  assert len({tuple(order) for order in passes.tolist()}) == 4


def test_a_cache_must_fit(tmp_path, monkeypatch):
  monkeypatch.setattr(reader, 'CACHE_PART', 1e-12)
  with pytest.raises(
    UserError, match=r'--cache: .* of made/test are more than'
  ):
    read(write(tmp_path, range(3)), cache=True)


RESIDENT = """
import resource, sys
from datasets import reader, record_order
from datasets.dataset import Dataset
from preprocessing.preprocessing_factory import get_preprocessing
from tf_compat import tf
file, count, is_training = sys.argv[1], int(sys.argv[2]), sys.argv[3] == 'train'
record_order.SHUFFLE_BYTES = 4 << 20
data = Dataset('made', 'test', (file,), count, 10, 1, tuple('0123456789'))
fn = get_preprocessing('lenet', is_training)
data = reader.read(data, fn, 32, 50, is_training, order=record_order.Order(seed=1))
iterator = tf.data.make_initializable_iterator(data)
label = iterator.get_next()['label']
with tf.Session() as session:
  session.run(iterator.initializer)
  for _ in range(count // 50):
    session.run(label)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize('purpose', ['train', 'evaluate'])
def test_ten_times_the_records_need_no_more_memory(tmp_path, purpose):
  pixels = np.random.default_rng(0).integers(0, 256, (120, 120), np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'PNG')
  resident = []
  for count in (1000, 10000):
    path = tmp_path / f'{count}.tfrecord'
    with tf.io.TFRecordWriter(str(path)) as writer:
      for number in range(count):
        writer.write(record(number % 10, encoded=file.getvalue()))
    command = [sys.executable, '-c', RESIDENT, str(path), str(count), purpose]
    output = subprocess.run(
      command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    resident.append(int(output))
  # The ten times larger set is 150 MB; TensorFlow itself takes some 400.
  assert resident[1] < 1.1 * resident[0], resident


def test_each_pass_distorts_a_record_anew(tmp_path):
  image = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'PNG')
  dataset = write(tmp_path, [record(0, encoded=file.getvalue())])
  (batch,) = batches(
    read(dataset, 6, True, preprocessing='cifarnet', seed=3), 1
  )
  assert len({image.tobytes() for image in batch['image']}) == 6


@pytest.mark.parametrize('shards', [1, 3, 4])
def test_each_record_goes_to_one_worker(tmp_path, shards):
  dataset = write(tmp_path, *[range(n, 24, shards) for n in range(shards)])
  seen = []
  for worker in range(2):
    data = read(
      dataset, 1, is_training=True, shard=(2, worker), num_readers=3, seed=0
    )
    got = values(data, 24)
    # A worker's share, and the same share in another order.
    assert sorted(got[:12]) == sorted(got[12:])
    seen += got[:12]
  assert sorted(seen) == list(range(24))


def test_a_worker_of_empty_files_reads_records(tmp_path):
  dataset = write(tmp_path, range(4), [], range(4, 8), [])
  data = read(dataset, 1, is_training=True, shard=(2, 1), num_readers=2, seed=0)
  assert len({*values(data, 4)}) == 4


def test_evaluation_shards_keep_the_index_of_the_whole(tmp_path):
  dataset = write(tmp_path, range(5), range(5, 9))
  got = batches(read(dataset, shard=(2, 1)), 1)[0]
  assert got['index'].tolist() == [1, 3, 5, 7]
  assert got['label'].tolist() == [1, 3, 5, 7]


def test_nothing_to_read_is_refused(tmp_path):
  dataset = write(tmp_path, range(2))
  with pytest.raises(UserError, match=r'2 records .* too few for 3'):
    read(dataset, shard=(3, 0))
  with pytest.raises(UserError, match="'made' has no files of split 'test'"):
    read(Dataset('made', 'test', (), 0, 10, 1, ()))


def test_works_in_a_monitored_session(tmp_path):
  data = read(
    write(tmp_path, [*range(6), record(6, label=77)]),
    batch_size=3,
    is_training=True,
    skip_bad_records=True,
    seed=2,
  )
  iterator = tf.data.make_initializable_iterator(data)
  label = iterator.get_next()['label']
  tf.train.get_or_create_global_step()
  skipped = reader.skipped_count()
  scaffold = tf.train.Scaffold(
    local_init_op=tf.group(
      tf.local_variables_initializer(), iterator.initializer
    )
  )
  with tf.train.MonitoredTrainingSession(scaffold=scaffold) as session:
    for _ in range(20):
      assert max(session.run(label)) < 6
    assert session.run(skipped) >= 9


def test_a_small_shuffle_buffer_for_large_records(tmp_path, monkeypatch):
  dataset = write(tmp_path, range(100))
  assert record_order.shuffle_buffer(dataset) == 100
  monkeypatch.setattr(record_order, 'SHUFFLE_AT_LEAST', 2)
  monkeypatch.setattr(record_order, 'SHUFFLE_BYTES', 2000)
  assert 5 <= record_order.shuffle_buffer(dataset) <= 20


class MeanColor:
  """A minimal preprocessing: a photo's mean color [1, 1, 3]."""

  def from_encoded(self, encoded, height, width, channels, *, seed):
    def mean(one):
      pixels = tf.cast(decoding.decode(one, channels), tf.float32)
      return tf.reduce_mean(pixels, [0, 1], keepdims=True)

    return (
      tf.map_fn(mean, encoded, tf.float32)
      if encoded.shape.rank
      else mean(encoded)
    )


@pytest.mark.slow
def test_reads_records_of_tf_slim(slim_test_data):
  folder = slim_test_data / 'flowers_slim_tfrecords'
  files = sorted(map(str, folder.glob('*.tfrecord')))
  data = []
  for file in files:
    data += tf.io.tf_record_iterator(file)
  examples = [
    tf.train.Example.FromString(item).features.feature for item in data
  ]
  dataset = Dataset(
    'flowers', 'validation', tuple(files), len(data), 5, 3, tuple('abcde')
  )
  fn = get_preprocessing('inception')
  got = batches(reader.read(dataset, fn, 64, 50, is_training=False))
  labels = np.concatenate([batch['label'] for batch in got])
  expected = [e['image/class/label'].int64_list.value[0] for e in examples]
  np.testing.assert_array_equal(labels, expected)
  # Every photo has the color that Pillow sees in it.
  got = batches(reader.read(dataset, MeanColor(), 1, 50, is_training=False))
  photos = [
    Image.open(io.BytesIO(e['image/encoded'].bytes_list.value[0]))
    for e in examples
  ]
  np.testing.assert_allclose(
    np.concatenate([batch['image'] for batch in got])[:, 0, 0],
    [np.asarray(photo).mean((0, 1)) for photo in photos],
    atol=2,  # of 255: two decoders of colors at half the resolution
  )
  got = batches(reader.read(dataset, fn, 64, 1, is_training=False), 1)
  # The middle 87.5% of the first photo, as Pillow decodes and averages it.
  photo = photos[0]
  height, width = photo.height, photo.width
  top, left = height // 16, width // 16
  middle = np.asarray(photo)[top : height - top, left : width - left]
  np.testing.assert_allclose(
    got[0]['image'][0].mean((0, 1)),
    middle.mean((0, 1)) / 127.5 - 1,
    atol=0.02,
  )
  train = reader.read(
    dataset, get_preprocessing('inception', True), 64, 8, is_training=True
  )
  assert batches(train, 2)[1]['image'].shape == (8, 64, 64, 3)


# Bad records: each entry of BAD is a shard of 0..5 with one bad record.


def flip_byte(dataset, fraction=0.5):
  """Changes one byte in the data of record 2."""
  _change(
    dataset,
    2,
    lambda data, start, end: data.__setitem__(
      start + 12 + int((end - start - 16) * fraction),
      data[start + 12 + int((end - start - 16) * fraction)] ^ 1,
    ),
  )


def flip_length(dataset):
  """Changes the stored length of record 2."""
  _change(
    dataset,
    2,
    lambda data, start, end: data.__setitem__(start, data[start] ^ 1),
  )


def cut(dataset):
  """Ends the file within its last record."""
  _change(
    dataset, 5, lambda data, start, end: data.__delitem__(slice(end - 3, end))
  )


def cut_header(dataset):
  """Ends the file within the length of its last record."""
  _change(
    dataset, 5, lambda data, start, end: data.__delitem__(slice(start + 5, end))
  )


def _change(dataset, number, change):
  """Calls change(bytes, start, end) for a record in the file of six."""
  path = max(dataset.files, key=os.path.getsize)
  with open(path, 'rb') as file:
    data = bytearray(file.read())
  start = 0
  for place in range(number + 1):
    length = int.from_bytes(data[start : start + 8], 'little')
    end = start + 16 + length
    if place < number:
      start = end
  change(data, start, end)
  with open(path, 'wb') as file:
    file.write(data)


def whole(dataset):
  pass


GOOD = list(range(6))
NO_LABEL = tf.train.Example(
  features=tf.train.Features(
    feature={
      'image/encoded': tf.train.Feature(
        bytes_list=tf.train.BytesList(value=[picture(2)])
      )
    }
  )
).SerializeToString()
HALF_PNG = picture(2, size=64)[:90]
# name: (records, damage, message, remaining records of 0..5)
BAD = {
  'label': (
    [0, 1, record(2, label=12), 3, 4, 5],
    whole,
    r'record 2 \(from 0\) at byte \d+ has a wrong label: '
    r'label 12 is outside 0\.\.9$',
    [0, 1, 3, 4, 5],
  ),
  'negative label': (
    [0, 1, record(2, label=-1), 3, 4, 5],
    whole,
    r'record 2 .* label -1 is outside 0\.\.9$',
    [0, 1, 3, 4, 5],
  ),
  'no image': (
    [0, 1, record(2, encoded=b'not an image'), 3, 4, 5],
    whole,
    r'record 2 .* does not decode: Unknown image file format',
    [0, 1, 3, 4, 5],
  ),
  'half an image': (
    [0, 1, record(2, encoded=HALF_PNG), 3, 4, 5],
    whole,
    r'record 2 .* does not decode: ',
    [0, 1, 3, 4, 5],
  ),
  'no label': (
    [0, 1, NO_LABEL, 3, 4, 5],
    whole,
    r'record 2 .* has no image/class/label$',
    [0, 1, 3, 4, 5],
  ),
  'label in words': (
    [0, 1, record(2, **{'class/label': b'two'}), 3, 4, 5],
    whole,
    r"record 2 .* has the text 'two' under image/class/label, not one integer$",
    [0, 1, 3, 4, 5],
  ),
  'no example': (
    [0, 1, b'\xff\xff\xff', 3, 4, 5],
    whole,
    r'record 2 .* is not a tf\.train\.Example$',
    [0, 1, 3, 4, 5],
  ),
  'empty': (
    [0, 1, b'', 3, 4, 5],
    whole,
    r'record 2 .* has no image/encoded$',
    [0, 1, 3, 4, 5],
  ),
  'flipped byte': (
    GOOD,
    flip_byte,
    r'record 2 .* is corrupt: wrong checksum$',
    [0, 1, 3, 4, 5],
  ),
  'flipped length': (
    GOOD,
    flip_length,
    r'record 2 .* is corrupt, and so is its length: the rest of the file is',
    [0, 1],
  ),
  'cut': (GOOD, cut, r'record 5 .* is truncated: 3 bytes', [0, 1, 2, 3, 4]),
  'cut header': (
    GOOD,
    cut_header,
    r'record 5 .* is truncated: 7 bytes of its length',
    [0, 1, 2, 3, 4],
  ),
}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_record_is_found(tmp_path, name):
  records, damage, message, _ = BAD[name]
  dataset = write(tmp_path, range(6, 9), records)
  damage(dataset)
  found = bad_records.find_bad_record(dataset, 1, 0)
  assert found.startswith(f'{dataset.files[1]}: record ')
  assert '\n' not in found
  assert re.search(message, found), found


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', ['flipped byte', 'flipped length', 'cut', 'cut header']
)
def test_damaged_records_are_left_out_and_counted(tmp_path, name):
  records, damage, _, good = BAD[name]
  dataset = write(tmp_path, records, range(6, 9))
  damage(dataset)
  assert values(read(dataset, skip_bad_records=True)) == [*good, 6, 7, 8]
  assert batches.skipped == 6 - len(good)


def test_unusable_records_are_left_out_and_counted(tmp_path):
  unusable = [
    item
    for records, damage, _, _ in BAD.values()
    if damage is whole
    for item in records
    if isinstance(item, bytes)
  ]
  dataset = write(tmp_path, [0, *unusable, 1], [2])
  assert len(unusable) == 8
  assert values(read(dataset, skip_bad_records=True)) == [0, 1, 2]
  assert batches.skipped == 8


@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize('name', ['label', 'no image', 'flipped byte', 'cut'])
def test_a_bad_record_stops_reading(tmp_path, name, is_training):
  records, damage, _, _ = BAD[name]
  dataset = write(tmp_path, records)
  damage(dataset)
  refusals = tf.errors.DataLossError, tf.errors.InvalidArgumentError, UserError
  with pytest.raises(refusals):
    batches(read(dataset, is_training=is_training), 10)


@pytest.mark.parametrize('is_training', [False, True])
@pytest.mark.parametrize('length', [1 << 20, 1 << 40, (1 << 64) - 17])
def test_a_length_beyond_the_file_is_refused_before_any_is_read(
  tmp_path, is_training, length
):
  dataset = write(tmp_path, [0, 1], GOOD)
  header = length.to_bytes(8, 'little')
  header += record_files.checksum(header)
  _change(
    dataset,
    2,
    lambda data, start, end: data.__setitem__(slice(start, start + 12), header),
  )
  with pytest.raises(
    UserError,
    match=re.escape(dataset.files[1]) + r': record 2 .* is truncated: \d{7,} ',
  ):
    read(dataset, is_training=is_training)
  assert values(read(dataset, skip_bad_records=True)) == [0, 1, 0, 1]


@pytest.mark.parametrize('name', ['no image', 'flipped length'])
def test_training_leaves_out_bad_records_at_each_pass(tmp_path, name):
  records, damage, _, good = BAD[name]
  dataset = write(tmp_path, records)
  damage(dataset)
  size = len(good)
  got = values(
    read(dataset, size, is_training=True, skip_bad_records=True, seed=0), 3
  )
  assert [sorted(got[n * size :][:size]) for n in range(3)] == [good] * 3
  assert batches.skipped >= 2 * (6 - size)


def test_the_index_counts_bad_records(tmp_path):
  dataset = write(tmp_path, GOOD, range(6, 9))
  flip_length(dataset)
  got = batches(read(dataset, 9, skip_bad_records=True))[0]
  assert got['index'].tolist() == [0, 1, 6, 7, 8]


def test_a_truncated_record_beyond_num_records_is_counted(tmp_path):
  dataset = write(tmp_path, GOOD)
  cut(dataset)
  dataset = Dataset(**{**vars(dataset), 'num_records': 5})
  assert values(read(dataset, skip_bad_records=True)) == GOOD[:5]
  assert batches.skipped == 1


def test_the_error_in_the_pipeline_names_label_and_range(tmp_path):
  dataset = write(tmp_path, [record(0, label=0)])
  with pytest.raises(
    tf.errors.InvalidArgumentError,
    match=r'label 0 is outside 1\.\.9 \(labels_offset is 1\)',
  ):
    batches(read(dataset, labels_offset=1))


def test_no_usable_record_at_all_does_not_hang(tmp_path):
  dataset = write(tmp_path, [b''] * 3)
  data = read(dataset, is_training=True, skip_bad_records=True)
  with pytest.raises(
    tf.errors.InvalidArgumentError,
    match='no record can be used: 6 bad records in a row',
  ):
    batches(data, 1)
  assert batches(read(dataset, skip_bad_records=True)) == []


def test_intact_sets_have_no_bad_record(tmp_path):
  dataset = write(tmp_path, range(3), range(3, 5))
  assert bad_records.find_bad_record(dataset, 1, 0) is None
  assert values(read(dataset, skip_bad_records=True)) == [*range(5)]
  assert batches.skipped == 0
