"""The first commands after installation: converts, trains and evaluates."""

import json
import re

import pytest


@pytest.mark.slow
def test_digits_from_conversion_to_accuracy(run, tmp_path):
  convert = run(
    'convert', dataset_name='digits', dataset_dir='digits', cold=True
  )
  assert convert.code == 0, convert.stderr
  assert '1437 train, 360 test records of 10 classes' in convert.stderr
  again = run('convert', dataset_name='digits', dataset_dir='digits')
  assert 'is complete already' in again.stderr
  # Conversion ends with a command to train, which must work.
  suggested = re.search(r'Train on it with (.*)', convert.stderr)[1].split()
  training = run(
    'train', *suggested, train_dir='train', model_name='lenet',
    attention_module='se_block', optimizer='adam', opt_epsilon=1e-8,
    learning_rate=0.001, max_number_of_steps=120, batch_size=64, seed=1,
    cold=True,
  )  # fmt: skip
  assert training.code == 0, training.stderr
  evaluation = run('eval', checkpoint_path='train', cold=True)
  assert evaluation.code == 0, evaluation.stderr
  results = json.loads((tmp_path / 'train/eval/results.json').read_text())
  assert results['count'] == 360
  assert results['metrics']['Accuracy'] > 0.9
  # In int8 too, the network that was trained keeps its accuracy.
  export = run(
    'export', checkpoint_path='train', output_dir='out', quantize='int8'
  )
  assert export.code == 0, export.stderr
  rows = json.loads((tmp_path / 'out/export.json').read_text())['files']
  accuracy = {row['file']: row['accuracy'] for row in rows}
  assert accuracy['checkpoint'] == results['metrics']['Accuracy']
  assert accuracy['model_int8.tflite'] > accuracy['checkpoint'] - 0.02
  assert accuracy['model_int8.onnx'] > accuracy['checkpoint'] - 0.02
