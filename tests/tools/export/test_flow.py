"""The flow of an export: what is refused when, and who is asked."""

import importlib.util
import logging
import types

import numpy as np
import pytest

from engine.config.jobs import ExportJob
from errors import UserError
from tools.export import export, onnx, proof, samples


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
  find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util,
    'find_spec',
    lambda name: None if name == 'tf2onnx' else find(name),
  )
  with pytest.raises(UserError, match=r'onnx needs tf2onnx.*setup.sh export'):
    export.export_model(ExportJob(output_dir='out', formats='onnx'))


@pytest.fixture
def expected(tmp_path):
  """Two images of two classes, and what a checkpoint computes."""
  np.save(tmp_path / 'pixels.npy', np.zeros([2, 4, 4, 1], np.float32))
  np.save(tmp_path / 'lengths.npy', [1, 1])
  (tmp_path / 'encoded.bin').write_bytes(b'ab')
  shares = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
  return proof.Expected(tmp_path, np.array([0, 0]), shares, 1.0)


def test_rows_compare_with_the_checkpoint(expected):
  got = expected.probabilities[::-1]
  row = proof._row('file', None, 7, [expected.probabilities, got], expected, 2)
  assert row.max_difference == pytest.approx(0.7)
  assert (row.agreement, row.accuracy) == (1.0, 0.5)


def test_a_checkpoint_that_diverged_is_refused(tmp_path, monkeypatch):
  pixels = np.zeros([1, 4, 4, 1], np.float32)
  batch = samples.Batch(np.array([0]), [b'a'], pixels, pixels)
  monkeypatch.setattr(samples, 'read', lambda *_: [batch])
  setup = types.SimpleNamespace(
    job=types.SimpleNamespace(num_images=1),
    dataset=types.SimpleNamespace(num_records=1),
    image_size=4,
    channels=1,
    checkpoint='model.ckpt-3',
  )
  network = types.SimpleNamespace(probabilities=lambda _: np.array([[np.nan]]))
  with pytest.raises(UserError, match=r'ckpt-3 computes .* choose an earlier'):
    proof.expect(setup, network, tmp_path)


def test_a_model_that_cannot_be_run_is_refused(expected, tmp_path):
  path = tmp_path / 'model.tflite'
  path.write_bytes(b'no model')
  with pytest.raises(UserError, match=r'LiteRT cannot run model.tflite: .+'):
    proof.run('tflite', path, expected)
  with pytest.raises(UserError, match=r'omit --quantize=int8, or leave tflite'):
    proof.run('tflite', path, expected, 'int8')


@pytest.mark.slow
def test_a_file_that_computes_something_else_is_not_published(
  train, tmp_path, monkeypatch
):
  train()
  monkeypatch.setattr(proof, 'TOLERANCE', 0.0)
  job = {
    'checkpoint_path': str(tmp_path / 'train'),
    'output_dir': str(tmp_path / 'out'),
    'formats': 'tflite',
    'num_images': 4,
  }
  with pytest.raises(UserError, match=r'a probability differs by .*: |Nothing'):
    export.export_model(ExportJob(**job), frozenset(job))
  assert [path.name for path in tmp_path.iterdir()] == ['train']


@pytest.mark.slow
def test_the_checkpoint_is_judged_as_evaluation_judges_it(
  train, evaluate, tmp_path
):
  train(moving_average_decay=0.5)
  job = {
    'checkpoint_path': str(tmp_path / 'train'),
    'output_dir': str(tmp_path / 'out'),
    'formats': 'saved_model',
  }
  first, exported = export.export_model(ExportJob(**job), frozenset(job))
  result = evaluate()
  assert first.accuracy == exported.accuracy == result.metrics['Accuracy']
  assert exported.max_difference < 1e-5


def test_int8_without_a_record_to_calibrate_is_refused(monkeypatch):
  monkeypatch.setattr(samples, 'read', lambda *_, shuffle: iter([]))
  setup = types.SimpleNamespace(job=types.SimpleNamespace(calibration_images=9))
  dataset = types.SimpleNamespace(name='fish')
  with pytest.raises(UserError, match='No training record of fish can be read'):
    export._calibration(setup, dataset)


def test_a_model_that_onnx_cannot_quantize_is_refused_quietly(tmp_path):
  """With the root logger, by which the quantization logs, as it was."""
  (tmp_path / 'model.onnx').write_bytes(b'no model')
  level = logging.getLogger().level
  with pytest.raises(
    UserError, match=r'cannot quantize the model: .*Omit --quan'
  ):
    onnx.write_int8(tmp_path / 'model.onnx', 'ab', tmp_path / 'int8.onnx', [])
  assert logging.getLogger().level == level
  assert [path.name for path in tmp_path.iterdir()] == ['model.onnx']
