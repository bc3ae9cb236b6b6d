import gzip
import pathlib
import shutil

import numpy as np
import pytest
from original_files import (
  idx_bytes,
  made,
  read_pixels,
  write_idx,
  write_tarball,
)

from datasets import mnist
from datasets.convert import convert
from datasets.mnist import read_idx
from errors import UserError


@pytest.mark.parametrize('below', ['', 'raw'])
@pytest.mark.parametrize('compress', [False, True])
@pytest.mark.parametrize('separator', ['-', '.'])
@pytest.mark.parametrize('name', ['mnist', 'fashion_mnist'])
def test_round_trip(tmp_path, name, separator, compress, below):
  splits = write_idx(tmp_path / 'in' / below, separator, compress)
  convert(name, str(tmp_path / 'out'), str(tmp_path / 'in'))
  for split, (images, labels) in splits.items():
    path = tmp_path / 'out' / f'{name}_{split}.tfrecord'
    ours, our_labels = read_pixels(path)
    assert (ours == images).all()
    assert (our_labels == labels).all()


def test_originals_of_two_sets_are_not_mixed(tmp_path):
  for name in ('fashion_mnist', 'mnist'):
    write_idx(tmp_path / 'in' / name)
  with pytest.raises(UserError, match=r'several.* fashion_mnist and mnist: pa'):
    convert('mnist', str(tmp_path / 'out'), str(tmp_path / 'in'))
  convert('mnist', str(tmp_path / 'out'), str(tmp_path / 'in' / 'mnist'))


@pytest.mark.parametrize('form', ['zip', 'tar', 'gztar'])
def test_an_archive_of_the_files(tmp_path, form):
  splits = write_idx(tmp_path / 'in' / 'below', compress=form == 'zip')
  path = shutil.make_archive(str(tmp_path / 'mnist'), form, tmp_path / 'in')
  found = mnist.read(pathlib.Path(path))
  for split, (images, labels) in splits.items():
    ours, our_labels = zip(*found[split], strict=True)
    assert np.array_equal(ours, images)
    assert np.array_equal(our_labels, labels)


def test_an_archive_without_the_files_is_refused(tmp_path):
  write_tarball(tmp_path / 'in.tar.gz', {'train-images.txt': b''})
  with pytest.raises(UserError, match=r'No train-images-idx3.* in .*in\.tar'):
    mnist.read(tmp_path / 'in.tar.gz')


def test_any_rank(tmp_path):
  for shape in ((3,), (2, 3), (2, 3, 4)):
    array = made(*shape)
    (tmp_path / 'idx').write_bytes(idx_bytes(array))
    assert np.array_equal(read_idx(tmp_path / 'idx'), array)


@pytest.mark.parametrize(
  ('name', 'change', 'message'),
  [
    ('idx', lambda data: b'', r'Cannot read .*idx as an IDX file'),
    ('idx', lambda data: data[:6], r'Cannot read .*idx as an IDX file'),
    ('idx', lambda data: data[:-1], r'states 24 bytes, but it contains 23'),
    ('idx', lambda data: data + b'x', r'states 24 bytes, but it contains 25'),
    ('idx', lambda data: b'\x89PNG' + data[4:], r'begins with 89504e47'),
    (
      'idx',
      lambda data: data[:2] + b'\x0d' + data[3:],
      r'it begins with 00000d03',
    ),
    (
      'idx',
      lambda data: b'\0\0\x08\x64' + b'\0\0\0\1' * 100 + b'x',
      r'Cannot read .*idx as an IDX file',
    ),
    (
      'idx',
      lambda data: b'\0\0\x08\4' + bytes(4) + b'\xff' * 12,
      r'Cannot read .*idx as an IDX file',
    ),
    ('idx.gz', lambda data: data, r'Cannot read .*idx\.gz as an IDX'),
    ('idx.gz', lambda data: gzip.compress(data)[:-9], r'Cannot read .*idx\.gz'),
  ],
)
def test_damaged_files_are_named(tmp_path, name, change, message):
  path = tmp_path / name
  path.write_bytes(change(idx_bytes(made(2, 3, 4))))
  with pytest.raises(UserError, match=message):
    read_idx(path)


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
  monkeypatch.setattr(mnist, '_MAX_BYTES', 1000)
  path = tmp_path / 'idx.gz'
  path.write_bytes(gzip.compress(idx_bytes(np.zeros((30, 40), np.uint8))))
  with pytest.raises(
    UserError, match=r'idx\.gz .*: it contains more than 1,000'
  ):
    read_idx(path)


@pytest.mark.parametrize(
  ('labels', 'message'),
  [
    (np.zeros(9, np.uint8), r'\(10, 28, 28\) and labels of shape \(9,\)'),
    (np.full(10, 10, np.uint8), r'image 0 has the label 10; .* 0 to 9'),
  ],
)
def test_labels_that_do_not_match_are_refused(tmp_path, labels, message):
  write_idx(tmp_path / 'in')
  (tmp_path / 'in/t10k-labels-idx1-ubyte').write_bytes(idx_bytes(labels))
  with pytest.raises(UserError, match=message):
    convert('mnist', str(tmp_path / 'out'), str(tmp_path / 'in'))


def test_a_folder_of_photos_is_told_the_way_to_its_own_set(tmp_path):
  with pytest.raises(
    UserError, match=r'Another --dataset_name converts photos'
  ):
    convert('mnist', str(tmp_path / 'out'), str(tmp_path))
