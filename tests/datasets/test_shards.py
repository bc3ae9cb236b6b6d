import pytest
from absl import logging

from datasets.shards import (
  PATTERNS,
  find_shards,
  shard_names,
  warn_of_missing,
)
from errors import UserError


def touch(folder, *names):
  for name in names:
    (folder / name).touch()


def test_names():
  assert shard_names('{split}-{shard}', 'train', 2) == [
    'train-00000-of-00002',
    'train-00001-of-00002',
  ]
  assert shard_names('digits_{split}.tfrecord', 'test', 1) == [
    'digits_test.tfrecord'
  ]


@pytest.mark.parametrize(
  'name',
  [
    'birds_train.tfrecord',
    'birds_train-00000-of-00001.tfrecord',
    'birds_train_00000-of-00001.tfrecord',
  ],
)
def test_every_naming_is_found(tmp_path, name):
  touch(tmp_path, name, f'.{name}.partial', f'big_{name}', f'{name}.bak')
  patterns = [pattern.replace('{name}', 'birds') for pattern in PATTERNS]
  assert find_shards(tmp_path, patterns) == {'train': [tmp_path / name]}


def test_imagenet_shards_are_sorted(tmp_path):
  names = shard_names('{split}-{shard}', 'train', 12)
  touch(tmp_path, *reversed(names), 'train-notes.txt', 'labels.txt')
  found = find_shards(tmp_path, ['{split}-{shard}'])
  assert [path.name for path in found['train']] == names


def test_a_pattern_is_not_a_regular_expression(tmp_path):
  touch(tmp_path, 'axb_train.tfrecord')
  assert find_shards(tmp_path, ['a.b_{split}.tfrecord']) == {}


@pytest.mark.parametrize(
  'other',
  ['birds_train-00000-of-00003.tfrecord', 'birds_train.tfrecord'],
)
def test_two_conversions_are_refused(tmp_path, other):
  touch(tmp_path, 'birds_train-00000-of-00002.tfrecord', other)
  patterns = [pattern.replace('{name}', 'birds') for pattern in PATTERNS]
  with pytest.raises(
    UserError, match=r"'train' from several conversions: birds"
  ):
    find_shards(tmp_path, patterns)


def test_missing_shards_cause_a_warning(tmp_path, monkeypatch):
  warnings = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *values: warnings.append(text % values)
  )
  names = shard_names('{split}-{shard}', 'train', 5)
  warn_of_missing('train', [tmp_path / name for name in names])
  warn_of_missing('train', [tmp_path / 'digits_train.tfrecord'])
  assert warnings == []
  warn_of_missing('train', [tmp_path / name for name in names[1:3]])
  (warning,) = warnings
  assert "3 of 5 shards of split 'train' are missing" in warning
  assert str(tmp_path) in warning
