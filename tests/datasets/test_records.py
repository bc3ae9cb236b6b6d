import pytest
from original_files import made, read_examples, read_pixels
from tiny_data import encode_example, encode_pixels

from datasets.records import count_records, write_shard


@pytest.fixture
def shard(tmp_path):
  path = tmp_path / 'some.tfrecord'
  images = made(5, 6, 7, 3)
  items = [(image, label) for label, image in enumerate(images)]
  assert write_shard(path, items, encode_pixels) == 5
  return path, images


def test_pixels_and_keys_are_read_as_written(shard):
  path, images = shard
  pixels, labels = read_pixels(path)
  assert (pixels == images).all()
  assert labels.tolist() == [0, 1, 2, 3, 4]
  example = read_examples(path)[3]
  del example['image/encoded']
  assert example == {
    'image/format': b'png',
    'image/class/label': 3,
    'image/height': 6,
    'image/width': 7,
  }


def test_tensorflow_accepts_the_checksums(shard, graph):
  from tf_compat import tf

  path, _ = shard
  records = tf.data.TFRecordDataset(str(path)).batch(9)
  batch = tf.data.make_one_shot_iterator(records).get_next()
  with tf.Session(graph=graph) as session:
    assert len(session.run(batch)) == 5


def test_further_keys_and_the_same_bytes_every_time():
  more = {'class__synset': 'n01440764', 'channels': 3, 'filename': 'é.JPEG'}
  record = encode_example(b'jpeg', 'JPEG', 1, 2, 3, **more)
  turned = dict(reversed(more.items()))
  assert record == encode_example(b'jpeg', 'JPEG', 1, 2, 3, **turned)
  for key in (b'image/class/synset', b'image/channels', 'é'.encode()):
    assert key in record


def test_count_is_that_of_tensorflow(slim_test_data, graph):
  from tf_compat import tf

  folder = slim_test_data / 'flowers_slim_tfrecords'
  for path in sorted(folder.glob('*.tfrecord')):
    theirs = sum(1 for _ in tf.python_io.tf_record_iterator(str(path)))
    assert count_records(path) == (theirs, True)


@pytest.mark.parametrize(
  ('cut', 'count'), [(1, 4), (17, 4), (-8, 5), (-20, 5), (-(1 << 62), 5)]
)
def test_count_stops_where_a_file_is_damaged(shard, cut, count):
  path, _ = shard
  data = path.read_bytes()
  # Cut at the end, or followed by a short or wrong header.
  tail = (1 << 63).to_bytes(8, 'little') + bytes(12)
  path.write_bytes(data[:-cut] if cut > 0 else data + tail[: min(-cut, 20)])
  assert count_records(path) == (count, False)


def test_count_of_an_empty_file(tmp_path):
  path = tmp_path / 'empty'
  path.touch()
  assert count_records(path) == (0, True)


def test_a_shard_that_fails_leaves_nothing(tmp_path):
  path = tmp_path / 'some.tfrecord'
  items = [(made(4, 4), 0), None]
  with pytest.raises(TypeError):
    write_shard(path, items, encode_pixels)
  assert list(tmp_path.iterdir()) == []
