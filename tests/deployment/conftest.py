"""Runs of a network without randomness on tiny record files."""

import pytest


@pytest.fixture
def train(digits, tmp_path, monkeypatch):
  """train(name, **options) -> the summary of a run in tmp_path/name."""
  from tiny_network import register

  from engine.config.jobs import TrainJob
  from engine.training import loop

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
    return loop.train(TrainJob(**defaults | options), frozenset(options))

  return run
