"""Jobs of a network that repeats exactly on tiny record files."""

import pathlib

import pytest
from tiny_data import write_digits


@pytest.fixture(scope='session')
def digits(tmp_path_factory) -> pathlib.Path:
  """40 training and 23 test records; never changed by a test."""
  return write_digits(tmp_path_factory.mktemp('data') / 'digits', 40, 23)


@pytest.fixture
def train(digits, tmp_path, monkeypatch):
  """train(name, **options) -> the summary of a run in tmp_path/name."""
  from tiny_network import register

  from engine import training
  from engine.job import TrainJob

  register(monkeypatch.setattr)

  def run(name, **options):
    defaults = {
      'train_dir': str(tmp_path / name),
      'dataset_name': 'digits',
      'dataset_dir': str(digits),
      'model_name': 'tiny',
      'batch_size': 8,
      'optimizer': 'momentum',
      'learning_rate': 0.05,
      'max_number_of_steps': 3,
      'log_every_n_steps': 1,
      'seed': 1,
      'num_readers': 1,
      'num_preprocessing_threads': 1,
    }
    return training.train(TrainJob(**defaults | options), frozenset(options))

  return run
