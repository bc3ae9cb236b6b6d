"""Jobs that train on tiny record files."""

import pathlib

import pytest
from tiny_data import write_digits


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
