"""Tiny record files that a network can learn, and jobs that train on them."""

import pathlib

import numpy as np
import pytest


def striped_images(count: int, seed: int):
  """Noise of 32 x 32 with a bright row that tells the label of ten."""
  rng = np.random.default_rng(seed)
  labels = np.arange(count) % 10
  images = rng.integers(0, 60, (count, 32, 32)).astype(np.uint8)
  for image, label in zip(images, labels, strict=True):
    image[2 + 3 * label : 4 + 3 * label] = 250
  return images, labels


def write_digits(folder: pathlib.Path, train: int, test: int) -> pathlib.Path:
  """Writes both splits of a set that goes by the name of digits."""
  from datasets import records

  folder.mkdir(parents=True, exist_ok=True)
  for seed, (split, count) in enumerate({'train': train, 'test': test}.items()):
    images, labels = striped_images(count, seed)
    records.write_shard(
      folder / f'digits_{split}.tfrecord',
      zip(images, labels, strict=True),
      records.encode_pixels,
    )
  return folder


@pytest.fixture(scope='session')
def digits(tmp_path_factory) -> pathlib.Path:
  """40 training and 23 test records; never changed by a test."""
  return write_digits(tmp_path_factory.mktemp('data') / 'digits', 40, 23)


@pytest.fixture
def train_job(digits, tmp_path):
  """train_job(**options) -> a job of lenet in tmp_path/train."""
  from engine.job import TrainJob

  def make(**options):
    defaults = {
      'train_dir': str(tmp_path / 'train'),
      'dataset_name': 'digits',
      'dataset_dir': str(digits),
      'model_name': 'lenet',
      'batch_size': 8,
      'optimizer': 'momentum',
      'learning_rate': 0.003,
      'max_number_of_steps': 4,
      'log_every_n_steps': 1,
      'seed': 1,
      'num_readers': 1,
      'num_preprocessing_threads': 1,
    }
    return TrainJob(**defaults | options)

  return make


@pytest.fixture
def train(train_job):
  """train(**options) -> the summary of a run whose given flags are these."""
  from engine import training

  def run(**options):
    given = {'train_dir', 'dataset_name', 'dataset_dir', 'model_name', *options}
    return training.train(train_job(**options), frozenset(given))

  return run


@pytest.fixture
def evaluate(tmp_path):
  """evaluate(checkpoint_path, **options) -> the result, given flags only."""
  from engine import evaluation
  from engine.job import EvalJob

  def run(checkpoint_path=None, **options):
    options['checkpoint_path'] = str(checkpoint_path or tmp_path / 'train')
    return evaluation.evaluate(EvalJob(**options), frozenset(options))

  return run
