import dataclasses
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from original_files import (
  photo_bytes,
  read_examples,
  write_photos,
  write_tarball,
  write_tree,
)

from datasets import convert as converters
from datasets import photo_folder, process_pool, staging
from datasets.convert import Options, Summary, convert, num_shards
from datasets.dataset_factory import DATASETS, get_dataset
from datasets.download import Download
from errors import UserError
from registry import Table

ROOT = pathlib.Path(converters.__file__).parents[1]
# For originals of a few of a data set's classes.
SAMPLE = Options(keep_empty_classes=True)


def contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize('name', DATASETS)
def test_every_set_converts_and_is_found(name, originals, tmp_path):
  source, records = originals[name]
  source = source and str(source)
  folder = tmp_path / 'records'
  summary = convert(name, str(folder), source, SAMPLE)
  spec = DATASETS[name]
  assert dataclasses.replace(summary, empty_classes=()) == Summary(
    name, str(folder), spec.num_classes, spec.channels, records
  )
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
    empty = {spec.class_names.index(name) for name in summary.empty_classes}
    assert not empty & set(labels)
  first = contents(folder)
  again = convert(name, str(folder), source)
  assert again == dataclasses.replace(
    summary, empty_classes=(), already_complete=True
  )
  assert contents(folder) == first
  convert(name, str(tmp_path / 'again'), source, SAMPLE)
  assert contents(tmp_path / 'again') == first


@pytest.mark.parametrize('name', DATASETS)
def test_labels_txt_as_tf_slim_has_it(name, originals, tmp_path):
  convert(name, str(tmp_path / 'out'), originals[name][0], SAMPLE)
  lines = (tmp_path / 'out/labels.txt').read_text().splitlines()
  first = {
    'digits': '0:zero',
    'mnist': '0:zero',
    'fashion_mnist': '0:T-shirt/top',
    'cifar10': '0:airplane',
    'cifar100': '0:apple',
    'flowers': '0:daisy',
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
  assert num_shards(DATASETS['flowers'], split, max(records, 5)) == 5


def test_shards_are_even_and_hold_everything(tmp_path):
  photos = write_photos(tmp_path / 'raw', 'validation', ['n01440764'], 300)
  convert('imagenet', str(tmp_path / 'out'), str(tmp_path / 'raw'), SAMPLE)
  shards = sorted((tmp_path / 'out').glob('validation-*-of-00002'))
  examples = [read_examples(path) for path in shards]
  assert [len(shard) for shard in examples] == [150, 150]
  written = {
    example['image/filename'].decode(): example['image/encoded']
    for shard in examples
    for example in shard
  }
  assert written == photos


def test_a_set_with_a_missing_file_is_converted_again(originals, tmp_path):
  source = originals['mnist'][0]
  folder = tmp_path / 'out'
  convert('mnist', str(folder), source)
  first = contents(folder)
  (folder / 'mnist_test.tfrecord').unlink()
  assert not convert('mnist', str(folder), source).already_complete
  assert contents(folder) == first


def test_a_set_that_was_only_counted_is_converted(originals, tmp_path):
  source = originals['mnist'][0]
  folder = tmp_path / 'out'
  convert('mnist', str(folder), source)
  (folder / 'dataset.json').unlink()
  get_dataset('mnist', 'train', str(folder))
  assert not convert('mnist', str(folder), source).already_complete


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path):
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
    ('digits', '.', r'omit --source_dir\. Another --dataset_name converts'),
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


def test_a_source_that_is_a_file_is_refused(tmp_path):
  (tmp_path / 'file').touch()
  for name in ('mnist', 'imagenet'):
    with pytest.raises(UserError, match=r'file'):
      convert(name, str(tmp_path / 'out'), str(tmp_path / 'file'))


def test_a_folder_that_cannot_be_created_is_named(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(
    UserError, match=r'Cannot create --dataset_dir=.*file/out'
  ):
    convert('digits', str(tmp_path / 'file/out'))


def test_a_folder_that_holds_another_set(originals, tmp_path):
  folder = str(tmp_path / 'out')
  convert('mnist', folder, originals['mnist'][0])
  with pytest.raises(UserError, match=r"already contains the data set 'mnist'"):
    convert('cifar10', folder, originals['cifar10'][0])


def test_records_of_another_conversion_are_not_mixed(originals, tmp_path):
  folder = tmp_path / 'out'
  folder.mkdir()
  (folder / 'train-00000-of-01024').touch()
  with pytest.raises(UserError, match=r'such as train-00000-of-01024: move'):
    convert('imagenet', str(folder), originals['imagenet'][0], SAMPLE)


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
  assert convert('mnist', str(folder)).splits == records
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


PHOTOS = 40


def write_birds(folder, bad=()):
  """Writes photos of three classes; the contents in `bad` replace the first."""
  files = {
    f'{["crow", "gull", "wren"][number % 3]}/{number}.jpg': photo_bytes(
      size=(40, 30), seed=number
    )
    for number in range(PHOTOS)
  }
  for path in sorted(files)[: len(bad)]:
    files[path] = bad[sorted(files).index(path)]
  write_tree(folder, files)
  return files


@pytest.fixture
def small_shards(monkeypatch):
  """Makes shards of ten records, and a worker for every five."""
  spec = photo_folder.spec

  def small(*args):
    return dataclasses.replace(spec(*args), records_per_shard=10)

  monkeypatch.setattr(photo_folder, 'spec', small)
  monkeypatch.setattr(process_pool, 'ITEMS_PER_WORKER', 5)
  monkeypatch.setattr(process_pool, 'CHUNK', 3)


@pytest.mark.slow
def test_the_same_bytes_with_any_number_of_processes(tmp_path, small_shards):
  bad = b'no photo', b'', photo_bytes()[:200]
  write_birds(tmp_path / 'in', bad)
  written = []
  for processes in (1, 2, 3):
    options = Options(num_processes=processes, max_rejected_fraction=0.1)
    folder = tmp_path / f'out{processes}'
    summary = convert('birds', str(folder), str(tmp_path / 'in'), options)
    assert summary.rejected == len(bad)
    written.append(contents(folder))
  assert written[0] == written[1] == written[2]
  assert len(list((tmp_path / 'out1').glob('birds_train-*-of-00003*'))) == 3


def test_rejected_photos_are_listed_with_the_reason(tmp_path):
  files = write_birds(tmp_path / 'in', [b'<html>'])
  options = Options(max_rejected_fraction=1 / PHOTOS)
  folder = tmp_path / 'out'
  summary = convert('birds', str(folder), str(tmp_path / 'in'), options)
  assert summary.rejected == 1
  assert sum(summary.splits.values()) == PHOTOS - 1
  bad = sorted(files)[0]
  lines = (folder / 'rejected.csv').read_text().splitlines()
  assert lines[0] == 'path,reason'
  assert lines[1].startswith(f'{bad},is not an image in a known format')
  assert len(lines) == 2
  # Repaired photos are no longer listed.
  write_birds(tmp_path / 'in')
  (folder / 'dataset.json').unlink()
  convert('birds', str(folder), str(tmp_path / 'in'), options)
  assert not (folder / 'rejected.csv').exists()


def test_too_many_rejected_stop_and_are_listed(tmp_path, small_shards):
  write_birds(tmp_path / 'in', [b'', b'x', b'y'])
  folder, source = tmp_path / 'out', str(tmp_path / 'in')
  options = Options(max_rejected_fraction=2 / PHOTOS, num_processes=1)
  with pytest.raises(
    UserError, match=r'^3 of 40 originals .*_fraction=0\.05: (crow|gull)/'
  ):
    convert('birds', str(folder), source, options)
  assert len((folder / 'rejected.csv').read_text().splitlines()) == 4
  with pytest.raises(UserError, match=r'was interrupted'):
    get_dataset('birds', 'train', str(folder))
  more = dataclasses.replace(options, max_rejected_fraction=0.1, resume=True)
  assert convert('birds', str(folder), source, more).rejected == 3
  convert('birds', str(tmp_path / 'expected'), source, more)
  assert contents(folder) == contents(tmp_path / 'expected')


def test_too_many_rejected_leave_no_half_shard(tmp_path):
  write_birds(tmp_path / 'in', [b'', b'x', b'y'])
  with pytest.raises(UserError, match=r'of 40 originals cannot be used'):
    convert('birds', str(tmp_path / 'out'), str(tmp_path / 'in'))
  left = [path.name for path in (tmp_path / 'out').iterdir()]
  assert left == ['rejected.csv']


def stop_at(monkeypatch, shard, error):
  """Makes writing fail within a shard."""
  write_shard = staging.write_shard

  def failing(path, items, encode):
    def until_stopped():
      for place, item in enumerate(items):
        if shard in path.name and place == 4:
          raise error
        yield item

    return write_shard(path, until_stopped(), encode)

  monkeypatch.setattr(staging, 'write_shard', failing)


@pytest.mark.parametrize(
  ('error', 'caught', 'message'),
  [
    (KeyboardInterrupt('Ctrl-C'), KeyboardInterrupt, 'Ctrl-C'),
    (OSError(28, 'No space left on device'), UserError, 'No space left'),
  ],
)
def test_an_interrupted_conversion_keeps_hidden_shards_for_resume(
  tmp_path, monkeypatch, small_shards, error, caught, message
):
  write_birds(tmp_path / 'in', [b'no photo'])
  source, folder = str(tmp_path / 'in'), tmp_path / 'out'
  options = Options(num_processes=1)
  convert('birds', str(tmp_path / 'expected'), source, options)
  with monkeypatch.context() as patched:
    stop_at(patched, 'train-00002', error)
    with pytest.raises(caught, match=message):
      convert('birds', str(folder), source, options)
  assert [path.name for path in folder.iterdir()] == ['.conversion']
  with pytest.raises(UserError, match=r'was interrupted.* --resume'):
    get_dataset('birds', 'train', str(folder))
  done = folder / '.conversion/birds_train-00000-of-00003.tfrecord'
  inode = done.stat().st_ino
  resumed = dataclasses.replace(options, resume=True)
  convert('birds', str(folder), source, resumed)
  assert contents(folder) == contents(tmp_path / 'expected')
  assert (folder / done.name).stat().st_ino == inode


def test_resume_does_not_trust_shards_of_other_originals(
  tmp_path, monkeypatch, small_shards
):
  write_birds(tmp_path / 'in')
  source, folder = str(tmp_path / 'in'), tmp_path / 'out'
  with monkeypatch.context() as patched:
    stop_at(patched, 'train-00002', KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
      convert('birds', str(folder), source, Options(num_processes=1))
  for path in (tmp_path / 'in').glob('*/*.jpg'):
    path.write_bytes(photo_bytes(size=(50, 30)))
  changed = Options(num_processes=1, resume=True)
  convert('birds', str(folder), source, changed)
  convert('birds', str(tmp_path / 'expected'), source, changed)
  assert contents(folder) == contents(tmp_path / 'expected')


def test_resume_notices_replaced_photos_of_the_same_size(
  tmp_path, monkeypatch, small_shards
):
  names = [f'{["crow", "gull"][n % 2]}/{n}.bmp' for n in range(PHOTOS)]
  files = {name: photo_bytes('BMP', seed=n) for n, name in enumerate(names)}
  write_tree(tmp_path / 'in', files)
  source, folder = str(tmp_path / 'in'), tmp_path / 'out'
  with monkeypatch.context() as patched:
    stop_at(patched, 'train-00002', KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
      convert('birds', str(folder), source, Options(num_processes=1))
  for n, path in enumerate(sorted((tmp_path / 'in').glob('*/*'))):
    before = path.stat()
    path.write_bytes(photo_bytes('BMP', seed=100 + n))
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(0, before.st_mtime_ns + 1))
  convert('birds', str(folder), source, Options(num_processes=1, resume=True))
  convert('birds', str(tmp_path / 'expected'), source, Options(num_processes=1))
  assert contents(folder) == contents(tmp_path / 'expected')


def test_resume_with_fewer_shards_leaves_none_of_the_others(
  tmp_path, monkeypatch, small_shards
):
  write_birds(tmp_path / 'in', [b'no photo'])
  source, folder = str(tmp_path / 'in'), tmp_path / 'out'
  with monkeypatch.context() as patched:
    stop_at(patched, 'train-00002', KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
      convert('birds', str(folder), source, Options(num_processes=1))
  # Files that a kill leaves within a shard and while writing the list.
  for name in ('.birds_train-00002-of-00003.tfrecord.partial', 'rejected.csv'):
    (folder / '.conversion' / name).write_bytes(b'half')
  for path in sorted((tmp_path / 'in').glob('*/*.jpg'))[:20]:
    path.unlink()
  resumed = Options(num_processes=1, resume=True)
  convert('birds', str(folder), source, resumed)
  convert('birds', str(tmp_path / 'expected'), source, resumed)
  assert contents(folder) == contents(tmp_path / 'expected')


@pytest.mark.parametrize('compression', ['', 'gz'])
def test_resume_works_with_an_archive(
  tmp_path, monkeypatch, small_shards, compression
):
  write_tarball(tmp_path / 'in.tar', write_birds(tmp_path / 'in'), compression)
  source, folder = str(tmp_path / 'in.tar'), tmp_path / 'out'
  with monkeypatch.context() as patched:
    stop_at(patched, 'train-00002', KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
      convert('birds', str(folder), source, Options(num_processes=1))
  done = folder / '.conversion/birds_train-00001-of-00003.tfrecord'
  inode = done.stat().st_ino
  convert('birds', str(folder), source, Options(num_processes=1, resume=True))
  assert (folder / done.name).stat().st_ino == inode
  convert('birds', str(tmp_path / 'expected'), source)
  assert contents(folder) == contents(tmp_path / 'expected')


@pytest.mark.parametrize('moves', range(6))
def test_a_kill_while_publishing_is_repaired(
  tmp_path, monkeypatch, small_shards, moves
):
  write_birds(tmp_path / 'in', [b'no photo'])
  source, folder = str(tmp_path / 'in'), tmp_path / 'out'
  options = Options(num_processes=1)
  expected = convert('birds', str(tmp_path / 'expected'), source, options)
  replace, count = os.replace, iter(range(100))

  def until_killed(origin, target):
    if pathlib.Path(target).parent == folder and next(count) == moves:
      raise KeyboardInterrupt
    replace(origin, target)

  with monkeypatch.context() as patched:
    patched.setattr(staging.os, 'replace', until_killed)
    with pytest.raises(KeyboardInterrupt):
      convert('birds', str(folder), source, options)
  with pytest.raises(UserError, match='was interrupted'):
    get_dataset('birds', 'train', str(folder))
  # Even if the originals no longer exist.
  again = convert('birds', str(folder), 'gone')
  assert again.splits == expected.splits
  assert again.already_complete
  assert contents(folder) == contents(tmp_path / 'expected')


# Kills itself within the third shard, and so orphans its workers.
KILLED = """
import os, signal, sys

if __name__ == '__main__':
  from datasets import convert as converters, process_pool, staging

  write_shard = staging.write_shard

  def write(path, items, encode):
    def until_killed():
      for place, item in enumerate(items):
        if 'train-00002' in path.name and place == 50:
          for child in __import__('multiprocessing').active_children():
            print(child.pid)
          sys.stdout.flush()
          os.kill(os.getpid(), signal.SIGKILL)
        yield item
    return write_shard(path, until_killed(), encode)

  staging.write_shard = write
  process_pool.ITEMS_PER_WORKER = 100
  options = converters.Options(num_processes=2, keep_empty_classes=True)
  converters.convert(*sys.argv[1:], options)
"""


def is_alive(process):
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  stat = pathlib.Path(f'/proc/{process}/stat')
  # A process without a waiting parent stays as a zombie.
  return not stat.exists() or stat.read_text().rpartition(') ')[2][0] != 'Z'


@pytest.mark.slow
def test_a_killed_conversion_leaves_no_half_set_and_no_workers(tmp_path):
  synsets = ['n01440764', 'n02123045']
  write_photos(tmp_path / 'raw', 'train', synsets, 320)
  expected, folder = tmp_path / 'expected', tmp_path / 'out'
  source = str(tmp_path / 'raw')
  convert('imagenet', str(expected), source, SAMPLE)
  program = tmp_path / 'killed.py'
  program.write_text(KILLED)
  killed = subprocess.run(
    [sys.executable, str(program), 'imagenet', str(folder), source],
    env={**os.environ, 'PYTHONPATH': os.fspath(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
    check=False,
  )
  assert killed.returncode == -signal.SIGKILL
  left_alone = [int(line) for line in killed.stdout.split()]
  assert len(left_alone) == 2
  assert [path.name for path in folder.iterdir()] == ['.conversion']
  with pytest.raises(UserError, match='was interrupted'):
    get_dataset('imagenet', 'train', str(folder))
  resumed = dataclasses.replace(SAMPLE, resume=True)
  convert('imagenet', str(folder), source, resumed)
  assert contents(folder) == contents(expected)
  deadline = time.monotonic() + 30
  while any(map(is_alive, left_alone)):
    assert time.monotonic() < deadline
    time.sleep(0.05)


@pytest.mark.parametrize('kind', ['pipe', 'device'])
def test_a_source_that_is_no_file_is_refused_at_once(tmp_path, kind):
  source = pathlib.Path('/dev/zero')
  if kind == 'pipe':
    source = tmp_path / 'pipe.tar'
    os.mkfifo(source)
  with pytest.raises(UserError, match='is neither a folder nor a file'):
    convert('birds', str(tmp_path / 'out'), str(source))


def write_classes(folder, **photos):
  """Writes class -> contents of its photos."""
  write_tree(
    folder,
    {
      f'{name}/{number}.jpg': data
      for name, contents in photos.items()
      for number, data in enumerate(contents)
    },
  )


def test_a_class_whose_photos_are_all_rejected_is_refused_or_kept(tmp_path):
  good = [photo_bytes(seed=seed) for seed in range(20)]
  write_classes(tmp_path / 'in', crow=good, gull=[b'x'], wren=good)
  folder, source = tmp_path / 'out', str(tmp_path / 'in')
  options = Options(max_rejected_fraction=0.5, validation_fraction=0)
  with pytest.raises(
    UserError,
    match=r'^No original can be used of gull: see .*rejected\.csv\. .*--resume',
  ):
    convert('birds', str(folder), source, options)
  assert 'gull/0.jpg' in (folder / 'rejected.csv').read_text()
  with pytest.raises(UserError, match='was interrupted'):
    get_dataset('birds', 'train', str(folder))
  kept = dataclasses.replace(options, keep_empty_classes=True, resume=True)
  summary = convert('birds', str(folder), source, kept)
  assert summary.empty_classes == ('gull',)
  labels = (folder / 'labels.txt').read_text()
  assert labels == '0:crow\n1:gull\n2:wren\n'


def test_resume_does_not_trust_shards_of_another_bound(tmp_path):
  """Photos that were too large then may be accepted now."""
  folder = tmp_path / 'out'
  folder.mkdir()
  first = staging.Staging(folder, 'max_megapixels=1')
  first.open(['a'], resume=False)
  report = first.write('a', ['item'], [])
  for settings, found in (('max_megapixels=1', report), ('', None)):
    again = staging.Staging(folder, settings)
    again.open(['a'], resume=True)
    assert again.find('a', ['item']) == found
