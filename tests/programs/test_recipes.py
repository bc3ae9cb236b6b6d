"""--recipe and lengths in epochs, as processes."""

import csv
import json

import pytest

# Each starts processes.
pytestmark = pytest.mark.slow


@pytest.fixture
def train(run, digits, tmp_path):
  """train(**flags) -> the Process, and the options it recorded."""

  def train(**more):
    defaults = {
      'train_dir': 'run', 'model_name': 'lenet', 'dataset_name': 'digits',
      'dataset_dir': digits, 'batch_size': 8,
    }  # fmt: skip
    process = run('train', **{**defaults, **more})
    path = tmp_path / 'run' / 'job.json'
    return process, json.loads(path.read_text())['options']

  return train


def test_flags_win_over_the_recipe_and_the_run_over_both(train, run):
  """40 records in batches of 8: an epoch has five steps."""
  process, job = train(recipe='fine_tune', num_epochs=0.4, label_smoothing=0.05)
  assert process.code == 0, process.stderr
  assert 'by the recipe fine_tune' in process.stderr
  assert (job['recipe'], job['optimizer']) == ('fine_tune', 'momentum')
  assert (job['label_smoothing'], job['max_number_of_steps']) == (0.05, 2)
  # Resumed with another length; what was set by a flag before remains.
  process, job = train(recipe='fine_tune', max_number_of_steps=3)
  assert process.code == 0, process.stderr
  assert (job['label_smoothing'], job['max_number_of_steps']) == (0.05, 3)
  assert job['num_epochs'] is None
  process, _ = train(recipe='original')
  assert process.code == 2
  assert 'was trained with --recipe=fine_tune' in process.stderr


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ({'recipe': 'finetune'}, "Unknown --recipe 'finetune'. Did you mean"),
    (
      {'num_epochs': 1, 'max_number_of_steps': 5},
      '--num_epochs and --max_number_of_steps mean the same: omit one.',
    ),
  ],
)
def test_wrong_recipes_and_lengths(run, digits, flags, message):
  process = run(
    'train', train_dir='run', model_name='lenet', dataset_name='digits',
    dataset_dir=digits, **flags,
  )  # fmt: skip
  assert process.code == 2
  assert message in process.stderr


def test_checkpoints_and_evaluations_by_epoch(train, tmp_path):
  process, job = train(
    num_epochs=2, save_every_n_epochs=0.4, eval_every_n_epochs=1,
    optimizer='sgd',
  )  # fmt: skip
  assert process.code == 0, process.stderr
  assert (job['save_every_n_steps'], job['eval_every_n_steps']) == (2, 5)
  steps = {int(p.stem.partition('-')[2]) for p in
           (tmp_path / 'run').glob('model.ckpt-*.index')}  # fmt: skip
  assert {5, 6, 8, 10} <= steps
  path = tmp_path / 'run' / 'eval' / 'results.csv'
  with path.open() as file:
    assert [row['global_step'] for row in csv.DictReader(file)] == ['5', '10']
