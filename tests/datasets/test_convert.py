import dataclasses
import pathlib
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
from original_files import read_examples, write_photos

from datasets import convert as converters
from datasets.convert import convert, num_shards
from datasets.dataset_factory import DATASETS, get_dataset
from datasets.download import Download
from errors import UserError
from registry import Table


def contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize('name', DATASETS)
def test_every_set_converts_and_is_found(name, originals, tmp_path):
  source, records = originals[name]
  source = source and str(source)
  folder = tmp_path / 'records'
  summary = convert(name, str(folder), source)
  spec = DATASETS[name]
  assert summary == {
    'name': name,
    'dataset_dir': str(folder),
    'num_classes': spec.num_classes,
    'channels': spec.channels,
    'splits': records,
    'already_complete': False,
  }
  for split, count in records.items():
    dataset = get_dataset(name, split, str(folder))
    assert dataset.num_records == count
    assert dataset.class_names == spec.class_names
    labels = [
      example['image/class/label']
      for path in map(type(folder), dataset.files)
      for example in read_examples(path)
    ]
    assert len(labels) == count
    assert set(labels) <= set(range(spec.num_classes))
  first = contents(folder)
  again = convert(name, str(folder), source)
  assert again == {**summary, 'already_complete': True}
  assert contents(folder) == first
  convert(name, str(tmp_path / 'again'), source)
  assert contents(tmp_path / 'again') == first


@pytest.mark.parametrize('name', DATASETS)
def test_labels_txt_as_tf_slim_has_it(name, originals, tmp_path):
  convert(name, str(tmp_path / 'out'), originals[name][0])
  lines = (tmp_path / 'out/labels.txt').read_text().splitlines()
  first = {
    'digits': '0:zero',
    'mnist': '0:zero',
    'fashion_mnist': '0:T-shirt/top',
    'cifar10': '0:airplane',
    'imagenet': '0:background',
  }
  assert lines[0] == first[name]
  assert len(lines) == DATASETS[name].num_classes


@pytest.mark.parametrize(
  ('split', 'records', 'shards'),
  [
    ('train', 1281167, 1024),
    ('validation', 50000, 128),
    ('validation', 1000, 7),
    ('train', 3, 1),
  ],
)
def test_shards_of_imagenet(split, records, shards):
  assert num_shards(DATASETS['imagenet'], split, records) == shards
  assert num_shards(DATASETS['mnist'], split, records) == 1


def test_shards_are_even_and_hold_everything(tmp_path):
  photos = write_photos(tmp_path / 'raw', 'validation', ['n01440764'], 300)
  convert('imagenet', str(tmp_path / 'out'), str(tmp_path / 'raw'))
  shards = sorted((tmp_path / 'out').glob('validation-*-of-00002'))
  examples = [read_examples(path) for path in shards]
  assert [len(shard) for shard in examples] == [150, 150]
  written = {
    example['image/filename'].decode(): example['image/encoded']
    for shard in examples
    for example in shard
  }
  assert written == photos


def test_a_set_that_lost_a_file_is_made_again(originals, tmp_path):
  source = originals['mnist'][0]
  folder = tmp_path / 'out'
  convert('mnist', str(folder), source)
  first = contents(folder)
  (folder / 'mnist_test.tfrecord').unlink()
  assert not convert('mnist', str(folder), source)['already_complete']
  assert contents(folder) == first


def test_a_counted_set_is_no_complete_one(originals, tmp_path):
  source = originals['mnist'][0]
  folder = tmp_path / 'out'
  convert('mnist', str(folder), source)
  (folder / 'dataset.json').unlink()
  get_dataset('mnist', 'train', str(folder))
  assert not convert('mnist', str(folder), source)['already_complete']


def test_a_failure_leaves_no_mark_of_a_complete_set(tmp_path, originals):
  source = originals['imagenet'][0]
  folder = tmp_path / 'out'
  bad = source / 'validation/n01440764/bad.JPEG'
  bad.write_bytes(b'no photo')
  with pytest.raises(UserError, match=r'bad\.JPEG does not decode'):
    convert('imagenet', str(folder), str(source))
  assert sorted(path.name for path in folder.iterdir()) == [
    'train-00000-of-00001'
  ]
  bad.unlink()
  assert not convert('imagenet', str(folder), source)['already_complete']


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
  try:
    with pytest.raises(UserError, match=r"Cannot convert 'digits' into"):
      convert('digits', str(tmp_path / 'out'))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert list((tmp_path / 'out').iterdir()) == []


@pytest.mark.parametrize(
  ('name', 'source', 'message'),
  [
    ('minst', None, r"Did you mean 'mnist'\?"),
    ('imagenet', None, r"'imagenet' cannot be downloaded .*--source_dir"),
    ('digits', '.', r'leave --source_dir out'),
    ('mnist', 'nowhere', r'--source_dir=nowhere does not exist'),
    ('mnist', '.', r'No train-images-idx3-ubyte or .* in \.'),
    ('cifar10', '.', r'No data_batch_1\.bin or .*cifar-10-python\.tar\.gz'),
    ('imagenet', '.', r'No photos in \.: expected train/<synset>'),
  ],
)
def test_wrong_arguments(name, source, message, tmp_path, monkeypatch):
  (tmp_path / 'raw').mkdir()
  monkeypatch.chdir(tmp_path / 'raw')
  with pytest.raises(UserError, match=message):
    convert(name, str(tmp_path / 'out'), source)


def test_a_source_that_is_a_file(tmp_path):
  (tmp_path / 'file').touch()
  for name in ('mnist', 'imagenet'):
    with pytest.raises(UserError, match=r'file'):
      convert(name, str(tmp_path / 'out'), str(tmp_path / 'file'))


def test_a_folder_that_cannot_be_made(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match=r'Cannot make --dataset_dir=.*file/out'):
    convert('digits', str(tmp_path / 'file/out'))


def test_a_folder_that_holds_another_set(originals, tmp_path):
  folder = str(tmp_path / 'out')
  convert('mnist', folder, originals['mnist'][0])
  with pytest.raises(UserError, match=r"holds the data set 'mnist' already"):
    convert('cifar10', folder, originals['cifar10'][0])


def test_records_of_another_conversion_are_not_mixed(originals, tmp_path):
  folder = tmp_path / 'out'
  folder.mkdir()
  (folder / 'train-00000-of-01024').touch()
  with pytest.raises(UserError, match=r'such as train-00000-of-01024: move'):
    convert('imagenet', str(folder), originals['imagenet'][0])


def test_without_a_source_the_originals_are_fetched(
  originals, tmp_path, monkeypatch
):
  source, records = originals['mnist']
  asked = []

  def fetch(download, folder):
    asked.append(download)
    (folder / download.name).write_bytes((source / download.name).read_bytes())

  names = sorted(path.name for path in source.iterdir())
  spec = dataclasses.replace(
    DATASETS['mnist'],
    downloads=tuple(Download(f'https://host/{name}', '') for name in names),
  )
  monkeypatch.setattr(converters, 'DATASETS', Table('data set', [spec]))
  monkeypatch.setattr(converters, 'fetch', fetch)
  folder = tmp_path / 'out'
  assert convert('mnist', str(folder))['splits'] == records
  assert asked == list(spec.downloads)
  assert sorted(path.name for path in folder.iterdir()) == [
    'dataset.json',
    'labels.txt',
    'mnist_test.tfrecord',
    'mnist_train.tfrecord',
  ]


def test_a_failed_download_leaves_nothing(tmp_path, monkeypatch):
  def fetch(download, folder):
    raise UserError(f'Cannot download {download.url}')

  monkeypatch.setattr(converters, 'fetch', fetch)
  folder = tmp_path / 'out'
  with pytest.raises(UserError, match=r'Cannot download https://'):
    convert('cifar10', str(folder))
  assert list(folder.iterdir()) == []


def test_digits_are_split_evenly_by_class(tmp_path):
  convert('digits', str(tmp_path))
  counts = []
  for split in ('train', 'test'):
    examples = read_examples(tmp_path / f'digits_{split}.tfrecord')
    labels = [example['image/class/label'] for example in examples]
    counts.append(np.bincount(labels))
  train, test = counts
  assert (train.sum(), test.sum()) == (1437, 360)
  assert (abs(test - (train + test) * 360 / 1797) <= 1).all()


# Kills itself with the fourth shard half written.
KILLED = """
import os, signal, sys
from datasets import convert as converters

write_shard = converters.write_shard

def write(path, items, encode):
  def until_killed():
    yield from items[:50]
    if path.name.startswith('train-00003'):
      os.kill(os.getpid(), signal.SIGKILL)
    yield from items[50:]
  return write_shard(path, until_killed(), encode)

converters.write_shard = write
converters.convert('imagenet', *sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_conversion_is_made_whole_by_the_next(tmp_path):
  synsets = ['n01440764', 'n02123045']
  write_photos(tmp_path / 'raw', 'train', synsets, 320)
  expected, folder = tmp_path / 'expected', tmp_path / 'out'
  source = str(tmp_path / 'raw')
  convert('imagenet', str(expected), source)
  killed = subprocess.run(
    [sys.executable, '-c', KILLED, str(folder), source],
    cwd=pathlib.Path(converters.__file__).parents[1],
    stderr=subprocess.DEVNULL,
    check=False,
  )
  assert killed.returncode == -signal.SIGKILL
  left = {path.name: path for path in folder.glob('[!.]*')}
  assert sorted(left) == [f'train-0000{n}-of-00005' for n in range(3)]
  for name, path in left.items():
    assert path.read_bytes() == (expected / name).read_bytes()
  assert not convert('imagenet', str(folder), source)['already_complete']
  assert contents(folder) == contents(expected)
