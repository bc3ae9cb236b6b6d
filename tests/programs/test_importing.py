"""import_weights.py, after which evaluation and training need no more flags."""

import json
import pathlib
import tarfile

import pytest
import safetensors.numpy
from foreign import FOREIGN, tensors_of

from engine.run_dir import results_csv

# Each starts processes.
pytestmark = pytest.mark.slow

NAME = 'timm:mobilenetv2_035'


@pytest.fixture
def weights(tmp_path) -> pathlib.Path:
  """Returns a file of timm's smallest network, for 10 classes."""
  path = tmp_path / 'model.safetensors'
  safetensors.numpy.save_file(tensors_of(FOREIGN[NAME]), path)
  return path


def test_weights_of_timm_are_evaluated_and_trained(
  run, weights, digits, tmp_path
):
  process = run(
    'import', weights=weights, dataset_name='digits', dataset_dir=digits,
    image_size=32, output_dir='imported',
  )  # fmt: skip
  assert process.code == 0, process.stderr
  assert f'is {NAME}: mobilenet_v2_035, 10 classes' in process.stdout
  assert '--padding=symmetric' in process.stdout
  process = run('eval', checkpoint_path='imported')
  assert process.code == 0, process.stderr
  (row,) = results_csv.read(tmp_path / 'imported' / 'eval' / 'results.csv')
  assert row['global_step'] == 0
  flags = {
    'train_dir': 'tuned', 'dataset_name': 'digits', 'dataset_dir': digits,
    'attention_module': 'cbam_block', 'batch_size': 4, 'optimizer': 'sgd',
    'max_number_of_steps': 1,
  }  # fmt: skip
  process = run('train', checkpoint_path='imported', padding='same', **flags)
  assert process.code == 2
  assert '--padding' in process.stderr
  process = run('train', checkpoint_path='imported', **flags)
  assert process.code == 0, process.stderr
  job = json.loads((tmp_path / 'tuned' / 'job.json').read_text())['options']
  assert job['padding'] == 'symmetric'
  assert job['train_image_size'] == 32
  assert job['model_name'] == 'mobilenet_v2_035'


def test_a_file_that_does_not_fit_leaves_nothing(run, weights, tmp_path):
  path = tmp_path / 'short.safetensors'
  path.write_bytes(weights.read_bytes()[:-100])
  process = run('import', weights=path, output_dir='imported')
  assert process.code == 2
  assert 'download was interrupted' in process.stderr
  assert len(process.stderr.splitlines()) <= 2
  assert {each.name for each in tmp_path.iterdir()} <= {
    'model.safetensors', 'short.safetensors'
  }  # fmt: skip


def test_a_release_reaches_its_published_graphs_accuracy(
  run, slim_test_data, tmp_path
):
  process = run(
    'convert', dataset_name='imagenet', dataset_dir='records',
    source_dir=slim_test_data / 'imagenet_sample',
  )  # fmt: skip
  assert process.code == 0, process.stderr
  archive = tmp_path / 'mobilenet_v1_0.25_128.tgz'
  with tarfile.open(archive, 'w:gz') as file:
    folder = slim_test_data / 'slim_checkpoints'
    for part in folder.glob('mobilenet_v1_0.25_128.*'):
      file.add(part, part.name)
  process = run(
    'import', weights=archive, dataset_dir='records', output_dir='imported'
  )
  assert process.code == 0, process.stderr
  process = run('eval', checkpoint_path='imported')
  assert process.code == 0, process.stderr
  (row,) = results_csv.read(tmp_path / 'imported' / 'eval' / 'results.csv')
  assert row['count'] == 1000
  assert abs(row['Accuracy'] - 0.466) <= 0.002
