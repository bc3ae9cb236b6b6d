import dataclasses
import json
import os
import struct

import pytest
from absl import logging
from original_files import made
from tiny_data import encode_pixels

from datasets import manifest as manifests
from datasets.manifest import Manifest, Shard
from datasets.records import write_shard
from errors import UserError

WHOLE = Manifest(
  'birds',
  3,
  3,
  {'train': {'a': Shard(2, 10)}},
  source='a forest',
  complete=True,
)


def test_a_manifest_is_read_as_written(tmp_path):
  manifests.write(WHOLE, tmp_path)
  assert manifests.read(tmp_path) == WHOLE
  assert json.loads((tmp_path / 'dataset.json').read_text()) == {
    'format': 1,
    'name': 'birds',
    'num_classes': 3,
    'channels': 3,
    'splits': {
      'train': {'records': 2, 'files': {'a': {'records': 2, 'bytes': 10}}}
    },
    'source': 'a forest',
    'complete': True,
  }
  assert [path.name for path in tmp_path.iterdir()] == ['dataset.json']


def test_a_set_is_intact_if_every_file_has_its_size(tmp_path):
  assert not WHOLE.is_intact(tmp_path)
  (tmp_path / 'a').write_bytes(bytes(9))
  assert not WHOLE.is_intact(tmp_path)
  (tmp_path / 'a').write_bytes(bytes(10))
  assert WHOLE.is_intact(tmp_path)


@pytest.mark.parametrize(
  ('changes', 'problem'),
  [
    ({'format': 2}, 'has format 2, not 1'),
    ({'num_classes': 0}, 'has num_classes 0, not 1 or more'),
    ({'num_classes': 'many'}, 'has "many" for num_classes, not a whole number'),
    ({'num_classes': float('inf')}, 'has Infinity for num_classes, not a'),
    ({'num_classes': True}, 'has true for num_classes, not a whole number'),
    ({'channels': 4}, 'has channels 4, not 1 or 3'),
    ({'channels': [3]}, r'has \[3\] for channels, not a whole number'),
    ({'name': None}, 'has null for name, not valid text'),
    ({'splits': {'train': 1}}, 'has 1 for splits.train, not an object'),
    (
      {'splits': {'train': {'files': {'../a': {'records': 2, 'bytes': 1}}}}},
      "has '../a', which is not the name of a file",
    ),
    (
      {'splits': {'train': {'files': {'a': {'records': -2, 'bytes': 1}}}}},
      'has -2 records of a',
    ),
  ],
)
def test_a_value_of_another_kind_is_named(tmp_path, changes, problem):
  manifests.write(WHOLE, tmp_path)
  path = tmp_path / 'dataset.json'
  path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
  with pytest.raises(UserError, match=rf'{path} {problem}.*\. Delete it, and'):
    manifests.read(tmp_path)


@pytest.mark.parametrize(
  'text', ['', '[]', '{}', '\x00', '[' * 10**5, '\udce9']
)
def test_a_damaged_file_is_named(tmp_path, text):
  path = tmp_path / 'dataset.json'
  path.write_bytes(text.encode(errors='surrogateescape'))
  with pytest.raises(UserError, match=rf'{path} .*\. Delete it, and'):
    manifests.read(tmp_path)


def test_a_folder_in_its_place_is_named(tmp_path):
  (tmp_path / 'dataset.json').mkdir()
  with pytest.raises(UserError, match=r'dataset\.json is a folder\.'):
    manifests.read(tmp_path)


def test_labels_are_read_as_written(tmp_path):
  assert manifests.read_labels(tmp_path) == {}
  manifests.write_labels(('T-shirt/top', 'a:b', 'été'), tmp_path)
  text = (tmp_path / 'labels.txt').read_bytes().decode()
  assert text == '0:T-shirt/top\n1:a:b\n2:été\n'
  assert manifests.read_labels(tmp_path) == {
    0: 'T-shirt/top',
    1: 'a:b',
    2: 'été',
  }


def test_labels_of_tf_slim(slim_test_data):
  names = manifests.read_labels(slim_test_data / 'flowers_slim_tfrecords')
  assert names == {
    0: 'daisy',
    1: 'dandelion',
    2: 'roses',
    3: 'sunflowers',
    4: 'tulips',
  }


@pytest.mark.parametrize(
  'line',
  ['daisy', 'a:daisy', ':daisy', '-1:daisy', f'{"9" * 5000}:daisy', '²:daisy'],
)
def test_a_broken_label_is_named(tmp_path, line):
  (tmp_path / 'labels.txt').write_text(f'0:rose\n\n{line}\n')
  with pytest.raises(UserError, match=r'labels\.txt, line 3: '):
    manifests.read_labels(tmp_path)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize('end', ['\n', '\r\n'])
def test_labels_with_a_byte_order_mark_are_read(tmp_path, encoding, end):
  text = f'0:rosé{end}1:tulip\u2028{end}'
  (tmp_path / 'labels.txt').write_bytes(text.encode(encoding))
  assert manifests.read_labels(tmp_path) == {0: 'rosé', 1: 'tulip\u2028'}


@pytest.mark.parametrize(
  ('data', 'problem'),
  [
    ('0:lys\n1:rosé\n'.encode('latin1'), 'line 2 is not text in UTF-8: save'),
    (b'0:lys\n1:ro\0se\n', 'line 2 contains a zero byte'),
    (
      b'0:lys\n1:rose\n\n0:tulip\n',
      "line 4: '0:tulip' names label 0 again, which line 1 names 'lys'",
    ),
  ],
)
def test_labels_that_would_be_misread_are_refused_by_line(
  tmp_path, data, problem
):
  (tmp_path / 'labels.txt').write_bytes(data)
  with pytest.raises(UserError, match=rf'labels\.txt, {problem}'):
    manifests.read_labels(tmp_path)


@pytest.fixture
def shards(tmp_path):
  paths = [tmp_path / name for name in ('a', 'b')]
  for path, count in zip(paths, (3, 4), strict=True):
    write_shard(path, [(made(2, 2), 0)] * count, encode_pixels)
    os.utime(path, (0, 0))  # older than any dataset.json
  return paths


def count_calls(monkeypatch):
  counted = []
  original = manifests.count_records

  def count(path):
    counted.append(path.name)
    return original(path)

  monkeypatch.setattr(manifests, 'count_records', count)
  return counted


def test_records_are_counted_once(tmp_path, shards, monkeypatch):
  counted = count_calls(monkeypatch)
  empty = Manifest('birds', 3, 3, {})
  assert manifests.count(empty, 'train', shards) == (7, ())
  kept = manifests.read(tmp_path)
  assert not kept.complete
  assert kept.num_records() == {'train': 7}
  assert manifests.count(kept, 'train', shards) == (7, ())
  assert counted == ['a', 'b']
  # Only existing files count.
  assert manifests.count(kept, 'train', shards[1:]) == (4, ())
  assert manifests.read(tmp_path) == kept


def test_counting_a_split_keeps_the_others(tmp_path, shards):
  manifests.count(Manifest('birds', 3, 3, {}), 'train', shards[:1])
  manifests.count(manifests.read(tmp_path), 'test', shards[1:])
  assert manifests.read(tmp_path).num_records() == {'train': 3, 'test': 4}


def test_a_changed_shard_is_counted_again(tmp_path, shards):
  manifests.count(Manifest('birds', 3, 3, {}), 'train', shards)
  write_shard(shards[0], [(made(2, 2), 0)] * 9, encode_pixels)
  kept = manifests.read(tmp_path)
  assert manifests.count(kept, 'train', shards) == (13, ())
  assert manifests.read(tmp_path).num_records() == {'train': 13}


def test_a_newer_shard_of_the_same_size_is_counted_again(tmp_path, shards):
  manifests.count(Manifest('birds', 3, 3, {}), 'train', shards)
  kept = manifests.read(tmp_path)
  data = shards[1].read_bytes()
  # A length beyond the file; counting does not verify its checksum.
  shards[1].write_bytes(struct.pack('<Q', 1 << 40) + data[8:])
  assert manifests.count(kept, 'train', shards) == (3, (str(shards[1]),))
  assert manifests.read(tmp_path) == kept


def test_a_copied_set_is_counted_once_and_stays_complete(
  tmp_path, shards, monkeypatch
):
  manifests.count(Manifest('birds', 3, 3, {}), 'train', shards[:1])
  manifests.count(manifests.read(tmp_path), 'test', shards[1:])
  whole = dataclasses.replace(manifests.read(tmp_path), complete=True)
  manifests.write(whole, tmp_path)
  # Copied before the records were.
  os.utime(tmp_path / 'dataset.json', (0, 0))
  counted = count_calls(monkeypatch)
  for split, files in (('train', shards[:1]), ('test', shards[1:])) * 2:
    manifests.count(manifests.read(tmp_path), split, files)
  assert sorted(counted) == ['a', 'b']
  assert manifests.read(tmp_path) == whole


def test_a_truncated_shard_is_reported_every_time(tmp_path, shards):
  shards[0].write_bytes(shards[0].read_bytes()[:-1])
  for _ in range(2):
    found = manifests.count(Manifest('birds', 3, 3, {}), 'train', shards)
    assert found == (6, (str(shards[0]),))
  assert manifests.read(tmp_path) is None


def test_a_changed_shard_of_a_conversion_causes_a_warning(
  tmp_path, shards, monkeypatch
):
  warnings = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *values: warnings.append(text % values)
  )
  manifests.count(Manifest('birds', 3, 3, {}), 'train', shards)
  whole = dataclasses.replace(manifests.read(tmp_path), complete=True)
  write_shard(shards[0], [(made(2, 2), 0)] * 2, encode_pixels)
  assert manifests.count(whole, 'train', shards) == (6, ())
  assert warnings == [
    f'{shards[0]} has changed since it was converted: 2 records now, 3 then.'
  ]


def test_a_changed_shard_causes_one_warning_for_all_splits(
  tmp_path, shards, monkeypatch
):
  warnings = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *values: warnings.append(text % values)
  )
  manifests.count(Manifest('birds', 3, 3, {}), 'train', shards[:1])
  manifests.count(manifests.read(tmp_path), 'test', shards[1:])
  whole = dataclasses.replace(manifests.read(tmp_path), complete=True)
  shards[0].write_bytes(shards[0].read_bytes()[:-1])
  for split, files in (('train', shards[:1]), ('test', shards[1:])):
    manifests.count(whole, split, files)
  assert warnings == [
    f'{shards[0]} has changed since it was converted: 2 records now, 3 then.'
  ]


def test_counting_works_in_a_folder_that_cannot_be_written(shards, monkeypatch):
  def fail(*_):
    raise PermissionError('read-only')

  monkeypatch.setattr(manifests, 'write', fail)
  found = manifests.count(Manifest('birds', 3, 3, {}), 'train', shards)
  assert found == (7, ())
