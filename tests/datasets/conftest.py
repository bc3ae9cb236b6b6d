"""Small originals of every data set in the table."""

import pytest
from absl import logging
from original_files import (
  TEST,
  TRAIN,
  cifar100_files,
  cifar_files,
  flower_files,
  write_files,
  write_idx,
  write_photos,
  write_tree,
)


@pytest.fixture
def originals(tmp_path):
  """Returns data set -> (--source_dir or None, split -> number of records)."""
  for name in ('mnist', 'fashion_mnist'):
    write_idx(tmp_path / 'raw' / name)
  write_files(tmp_path / 'raw/cifar10', cifar_files('binary'))
  write_files(tmp_path / 'raw/cifar100', cifar100_files('binary'))
  write_tree(tmp_path / 'raw/flowers/flower_photos', flower_files())
  photos = tmp_path / 'raw/imagenet'
  write_photos(photos, 'train', ['n01440764', 'n02123045'])
  write_photos(photos, 'validation', ['n01440764'])
  idx = {'train': TRAIN, 'test': TEST}
  return {
    'digits': (None, {'train': 1437, 'test': 360}),
    'mnist': (tmp_path / 'raw/mnist', idx),
    'fashion_mnist': (tmp_path / 'raw/fashion_mnist', idx),
    'cifar10': (tmp_path / 'raw/cifar10', {'train': 20, 'test': 4}),
    'cifar100': (tmp_path / 'raw/cifar100', {'train': 5, 'test': 5}),
    'flowers': (tmp_path / 'raw/flowers', {'train': 10, 'validation': 350}),
    'imagenet': (photos, {'train': 4, 'validation': 2}),
  }


@pytest.fixture
def warnings(monkeypatch):
  """Returns the list that warnings of the test are added to."""
  texts = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *values: texts.append(text % values)
  )
  return texts
