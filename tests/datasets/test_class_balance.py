"""Counting the records of each class, and reading each class as often."""

import collections
import dataclasses
import itertools
import json

import pytest

from datasets import class_counts, record_order
from datasets.class_balance import Balance
from datasets.dataset import Dataset
from datasets.record_order import Order
from errors import UserError
from tf_compat import tf

# 17 records of four classes.
LABELS = [0, 0, 1, 2, 0, 0, 0, 2, 3, 0, 0, 2, 0, 0, 2, 0, 0]
COUNTS = (11, 1, 4, 1)


def record(label: int, number: int) -> bytes:
  """A record whose image names it."""
  from tiny_data import encode_example

  return encode_example(f'{number}'.encode(), 'png', label, 8, 8)


def write(folder, *shards, offset=0) -> Dataset:
  """Writes the labels of each shard as records."""
  files, numbers = [], itertools.count()
  for index, labels in enumerate(shards):
    files.append(str(folder / f'made_train-{index:05d}.tfrecord'))
    with tf.io.TFRecordWriter(files[-1]) as writer:
      for label in labels:
        writer.write(record(label + offset, next(numbers)))
  return Dataset(
    name='made',
    split='train',
    files=tuple(files),
    num_records=sum(map(len, shards)),
    num_classes=4 + offset,
    channels=1,
    class_names=tuple('abcd'),
  )


def test_records_are_counted_once(tmp_path):
  dataset = write(tmp_path, LABELS[:9], LABELS[9:])
  read = []
  assert class_counts.count(dataset, read.append).tolist() == list(COUNTS)
  assert sum(read) == 17
  assert class_counts.count(dataset, read.append).tolist() == list(COUNTS)
  assert sum(read) == 17
  # A file that changed is counted again, and only that.
  write(tmp_path, [3, 3])
  changed = class_counts.count(dataset, read.append)
  assert changed.tolist() == [6, 0, 2, 2]
  assert sum(read) == 19


def test_records_are_counted_again_for_more_classes(tmp_path):
  dataset = write(tmp_path, LABELS)
  fewer = dataclasses.replace(dataset, num_classes=3)
  assert class_counts.count(fewer).tolist() == list(COUNTS[:3])
  assert class_counts.count(dataset).tolist() == list(COUNTS)


def test_a_record_without_a_label_is_left_out(tmp_path):
  dataset = write(tmp_path, [0, 1])
  with tf.io.TFRecordWriter(dataset.files[0]) as writer:
    writer.write(record(1, 0))
    writer.write(b'')
    writer.write(record(7, 0))
  assert class_counts.count(dataset).tolist() == [0, 1, 0, 0]


def test_counts_that_are_damaged_are_refused(tmp_path):
  dataset = write(tmp_path, [0, 1])
  class_counts.count(dataset)
  path = tmp_path / class_counts.FILE
  content = json.loads(path.read_text())
  content[next(iter(content))]['counts'] = 'many'
  path.write_text(json.dumps(content))
  with pytest.raises(UserError, match=r'class_counts\.json.*Delete it'):
    class_counts.count(dataset)


def test_a_folder_that_cannot_be_written_is_counted(tmp_path, monkeypatch):
  def fail(*arguments):
    raise PermissionError

  monkeypatch.setattr(class_counts.files, 'write_json', fail)
  dataset = write(tmp_path, LABELS)
  assert class_counts.count(dataset).tolist() == list(COUNTS)


def stream(
  dataset, count, *, offset=0, shard=(1, 0), cache=False, **options
) -> list:
  """The first (label, number) of a worker's balanced stream."""
  with tf.Graph().as_default(), tf.Session() as session:
    order = Order(balance=Balance(COUNTS, offset), **options)
    records = record_order.shuffled(dataset, shard, 5, order, cache)
    values = tf.data.make_one_shot_iterator(records).get_next()
    found = []
    for _ in range(count):
      _, data = session.run(values)
      feature = tf.train.Example.FromString(data).features.feature
      found.append(
        (
          feature['image/class/label'].int64_list.value[0],
          int(feature['image/encoded'].bytes_list.value[0]),
        )
      )
  return found


@pytest.mark.parametrize('cache', [False, True])
@pytest.mark.parametrize('cut', [17, 9])
def test_each_class_is_as_often_and_each_record_of_it(tmp_path, cut, cache):
  dataset = write(tmp_path, *filter(None, (LABELS[:cut], LABELS[cut:])))
  found = stream(dataset, 4 * 17, cache=cache)
  for start in range(0, 4 * 17, 17):
    # 17 = 4 · 4 + 1: one class is one ahead.
    epoch = collections.Counter(label for label, _ in found[start : start + 17])
    assert sorted(epoch.values()) == [4, 4, 4, 5]
  assert set(collections.Counter(label for label, _ in found).values()) == {17}
  for label, count in enumerate(COUNTS):
    numbers = collections.Counter(n for other, n in found if other == label)
    assert len(numbers) == count
    assert max(numbers.values()) - min(numbers.values()) <= 1
  assert found[:17] != found[17:34]


def test_labels_are_counted_from_the_offset(tmp_path):
  found = stream(write(tmp_path, LABELS, offset=2), 17, offset=2)
  assert sorted(collections.Counter(label for label, _ in found)) == [
    2,
    3,
    4,
    5,
  ]


@pytest.mark.parametrize('start', [1, 16, 17, 40])
@pytest.mark.parametrize('cache', [False, True])
def test_the_stream_starts_anywhere(tmp_path, start, cache):
  dataset = write(tmp_path, LABELS[:9], LABELS[9:])
  whole = stream(dataset, start + 30, num_readers=1, cache=cache)
  assert (
    stream(dataset, 30, num_readers=1, cache=cache, start=start)
    == (whole[start:])
  )


def test_workers_share_an_epoch(tmp_path):
  dataset = write(tmp_path, LABELS[:9], LABELS[9:])
  shares = [
    stream(dataset, length, shard=(2, worker))
    for worker, length in enumerate((9, 8))
  ]
  epoch = collections.Counter(label for share in shares for label, _ in share)
  assert sorted(epoch.values()) == [4, 4, 4, 5]
  # The second of them begins its second epoch where it would have.
  later = stream(dataset, 5, shard=(2, 1), start=8)
  assert later == stream(dataset, 13, shard=(2, 1))[8:]
